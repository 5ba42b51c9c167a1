//! Names with gaps: `fire{n}/squeeze`.

use std::fmt;

use serde::Deserialize;

/// Text with gaps. A gap `{n}` takes letters, digits, `_` and `-`, one or more; `{}` takes anything and has no name.
/// Where a name is written, `{n+1}` and `{n-1}` are numbers beside `n`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Text(String),
    Any,
    Gap { name: String, plus: i64 },
}

/// What the gaps of a pattern stand for in a name, by the gaps' names.
pub(super) type Filled<'a> = Vec<(&'a str, &'a str)>;

impl Pattern {
    /// What the gaps stand for if the pattern is to be `name`; `None` if it cannot be.
    pub(super) fn fill<'a>(&'a self, name: &'a str) -> Option<Filled<'a>> {
        let mut filled = Vec::new();
        fill(&self.parts, name, &mut filled).then_some(filled)
    }

    /// The name that the pattern is with these gaps; `None` if it has others, or reckons with what is no number.
    pub(super) fn write(&self, filled: &Filled<'_>) -> Option<String> {
        let mut name = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => name += text,
                Part::Any => return None,
                Part::Gap { name: gap, plus } => {
                    let (_, value) = filled.iter().find(|(known, _)| known == gap)?;
                    match plus {
                        0 => name += value,
                        plus => {
                            name += &(value.parse::<i64>().ok()?.checked_add(*plus)?).to_string()
                        }
                    }
                }
            }
        }
        Some(name)
    }

    /// Whether it has gaps.
    pub(super) fn is_open(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part, Part::Text(_)))
    }

    /// The first gap that is none of another pattern's.
    pub(super) fn gap_beside(&self, other: &Pattern) -> Option<&str> {
        let gaps = |pattern: &'_ Pattern, name: &str| {
            pattern.parts.iter().any(|p| matches!(p, Part::Gap { name: own, .. } if own == name))
        };
        self.parts.iter().find_map(|part| match part {
            Part::Any => Some(""),
            Part::Gap { name, .. } if !gaps(other, name) => Some(name.as_str()),
            _ => None,
        })
    }
}

fn fill<'a>(parts: &'a [Part], name: &'a str, filled: &mut Filled<'a>) -> bool {
    let Some((part, rest)) = parts.split_first() else { return name.is_empty() };
    match part {
        Part::Text(text) => name.strip_prefix(text.as_str()).is_some_and(|n| fill(rest, n, filled)),
        Part::Any => {
            let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.any(|end| fill(rest, &name[end..], filled))
        }
        Part::Gap { name: gap, .. } => {
            let inside = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            let most = name.find(|c| !inside(c)).unwrap_or(name.len());
            let count = filled.len();
            let mut ends = (1..=most).rev().filter(|end| name.is_char_boundary(*end));
            ends.any(|end| {
                filled.truncate(count);
                let same = filled.iter().all(|(known, v)| known != gap || *v == &name[..end]);
                filled.push((gap, &name[..end]));
                same && fill(rest, &name[end..], filled)
            })
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let Some((gap, after)) = after.split_once('}') else {
                return Err(format!("`{text}`: expected a `}}` after each `{{`"));
            };
            parts.push(Part::gap(gap).ok_or_else(|| {
                format!("`{text}`: expected a gap such as {{}}, {{n}} or {{n+1}}, found {{{gap}}}")
            })?);
            rest = after;
        }
        if rest.contains('}') {
            return Err(format!("`{text}`: expected a `{{` before each `}}`"));
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Pattern { text, parts })
    }
}

impl Part {
    fn gap(text: &str) -> Option<Part> {
        if text.is_empty() {
            return Some(Part::Any);
        }
        let sign = text.find(['+', '-']);
        let (name, plus) = match sign {
            None => (text, 0),
            Some(at) => (&text[..at], text[at..].parse().ok()?),
        };
        let word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
        word.then(|| Part::Gap { name: name.to_owned(), plus })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::try_from(text.to_owned()).unwrap()
    }

    fn renamed(from: &str, to: &str, name: &str) -> Option<String> {
        let (from, to) = (pattern(from), pattern(to));
        to.write(&from.fill(name)?)
    }

    #[test]
    fn names_are_filled_and_written() {
        let same = |from, to, name, expected: Option<&str>| {
            assert_eq!(renamed(from, to, name).as_deref(), expected, "{from} {to} {name}");
        };
        same("conv1", "features.0", "conv1", Some("features.0"));
        same("conv1", "features.0", "conv12", None);
        same(
            "fire{n}/squeeze",
            "features.{n+1}.squeeze",
            "fire2/squeeze",
            Some("features.3.squeeze"),
        );
        same("fire{n}/{part}", "f{n-2}.{part}", "fire12/a_b", Some("f10.a_b"));
        same("{a}/{b}", "{b}.{a}", "x/y", Some("y.x"));
        same("{a}/{b}", "{b}.{a}", "x/y/z", None);
        same("{a}{b}", "{b}", "xyz", Some("z"));
        same("{a}-{a}", "{a}", "xy-xy", Some("xy"));
        same("{a}-{a}", "{a}", "xy-xz", None);
        same("x{n}", "{n+1}", "xy", None);
    }

    #[test]
    fn a_gap_without_a_name_takes_anything() {
        assert!(
            pattern("{}.num_batches_tracked").fill("layer1.0.bn1.num_batches_tracked").is_some()
        );
        assert!(pattern("fc{}").fill("fc").is_some());
        assert!(pattern("fc{}").fill("conv").is_none());
    }

    #[test]
    fn bad_patterns_are_refused() {
        for text in ["{", "}", "{n+}", "{n+x}", "{1}", "a{b", "a}b", "{n 1}"] {
            assert!(Pattern::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert_eq!(pattern("a.{n}").gap_beside(&pattern("b{m}")), Some("n"));
        assert_eq!(pattern("a.{n+1}").gap_beside(&pattern("b{n}")), None);
    }
}
