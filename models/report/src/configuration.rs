//! The section with the graph file as it was run.

use maud::{Markup, html};

use crate::error::ReportError;
use crate::section::{Body, Section};
use crate::subject::Subject;

pub(crate) const SECTION: Section =
    Section { id: "configuration", title: "Configuration", body: configuration };

fn configuration(subject: &Subject<'_>) -> Result<Body, ReportError> {
    let text = subject.experiment.document.text();
    Ok(Some(html! {
        p class="note" { "The graph file, values of the command line included." }
        pre class="scroll" tabindex="0" role="region" aria-label="The graph file" { code { (coloured(text)) } }
    }))
}

/// The text with a colour for each kind of token.
fn coloured(text: &str) -> Markup {
    html! {
        @for (kind, token) in tokens(text) {
            @if kind.is_empty() { (token) } @else { span class=(kind) { (token) } }
        }
    }
}

/// A RON text cut into tokens, each with its kind; together they are the text. Kinds: `comment`, `string`, `number`,
/// `type` for what opens a parenthesis, `field` for what stands before a colon, nothing for the rest.
fn tokens(text: &str) -> Vec<(&'static str, &str)> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = if rest.starts_with("//") {
            ("comment", rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            ("comment", rest.find("*/").map_or(rest.len(), |end| end + 2))
        } else if first == '"' {
            ("string", string_length(rest))
        } else if first.is_ascii_digit() {
            ("number", run(rest, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
        } else if first.is_alphabetic() || first == '_' {
            let length = run(rest, |c| c.is_alphanumeric() || c == '_');
            let kind = match rest[length..].trim_start().chars().next() {
                Some('(') => "type",
                Some(':') => "field",
                _ => "",
            };
            (kind, length)
        } else {
            (
                "",
                run(rest, |c| !(c.is_alphanumeric() || matches!(c, '_' | '"' | '/')))
                    .max(first.len_utf8()),
            )
        };
        let (token, after) = rest.split_at(length);
        tokens.push((kind, token));
        rest = after;
    }
    tokens
}

/// The bytes at the beginning whose characters are all like this.
fn run(text: &str, is: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is(c)).unwrap_or(text.len())
}

/// The bytes of the string that the text begins with, its quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, quote)| at + quote.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_add_up_to_the_text() {
        for text in [
            "Graph(a: \"x\\\"y\", b: 1e-3, // c\n d: Lstm(units: 5))",
            "/* ä */ ß: \"open",
            "///",
            "a/b \u{1f600} \"\\",
            "",
        ] {
            let joined: String = tokens(text).iter().map(|(_, token)| *token).collect();
            assert_eq!(joined, text);
        }
    }

    #[test]
    fn kinds_are_told_apart() {
        let found = tokens("a: Lstm(units: 5), // c");
        let kinds: Vec<_> = found.into_iter().filter(|(kind, _)| !kind.is_empty()).collect();
        let expected = [
            ("field", "a"),
            ("type", "Lstm"),
            ("field", "units"),
            ("number", "5"),
            ("comment", "// c"),
        ];
        assert_eq!(kinds, expected);
    }
}
