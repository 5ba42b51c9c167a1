//! RON cut into words, blanks and the rest, without reading it.

use std::ops::Range;

/// What a stretch of RON is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// A bare word: a name of a type, a field or a size, `true`; not a number.
    Word,
    /// Spaces and comments.
    Blank,
    /// Strings, characters, numbers, punctuation.
    Other,
}

/// The tokens of a text, one after the other, without gaps. What a text leaves open ends with it.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = (Token, Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        let (token, length) = first(rest);
        let start = at;
        at += length;
        Some((token, start..at))
    })
}

/// `text` without the blanks and comments that it ends with.
pub(super) fn without_end(text: &str) -> &str {
    let said = tokens(text).filter(|(token, _)| *token != Token::Blank);
    &text[..said.last().map_or(0, |(_, range)| range.end)]
}

/// The token that a text starts with, and its length.
fn first(text: &str) -> (Token, usize) {
    let first = text.chars().next().unwrap_or_default();
    let end = |part: Option<usize>| part.unwrap_or(text.len());
    match first {
        _ if first.is_whitespace() => (Token::Blank, end(text.find(|c: char| !c.is_whitespace()))),
        '/' if text.starts_with("//") => (Token::Blank, end(text.find('\n'))),
        '/' if text.starts_with("/*") => (Token::Blank, block_comment(text)),
        '"' => (Token::Other, 1 + string(&text[1..], '"')),
        '\'' => (Token::Other, 1 + string(&text[1..], '\'')),
        'r' | 'b' if raw_string(text).is_some() => (Token::Other, end(raw_string(text))),
        'b' if text[1..].starts_with(['"', '\'']) => {
            let quote = if text[1..].starts_with('"') { '"' } else { '\'' };
            (Token::Other, 2 + string(&text[2..], quote))
        }
        _ if first.is_alphabetic() || first == '_' => (Token::Word, end(text.find(no_letter))),
        // A number takes the letters in it: `1e3`, `0xff`.
        _ if first.is_ascii_digit() => (Token::Other, end(text.find(no_letter))),
        _ => (Token::Other, first.len_utf8()),
    }
}

fn no_letter(c: char) -> bool {
    !(c.is_alphanumeric() || c == '_')
}

/// The length of the comment that `text` starts with; comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the rest of a string whose quote is open, its last quote included.
fn string(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of the raw string that `text` starts with, if it does: `r#".."#`, `br".."`.
fn raw_string(text: &str) -> Option<usize> {
    let marks = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let content = marks.trim_start_matches('#');
    let close = format!("\"{}", "#".repeat(marks.len() - content.len()));
    let content = content.strip_prefix('"')?;
    let before = text.len() - content.len();
    Some(before + content.find(&close).map_or(content.len(), |at| at + close.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let words = tokens(text).filter(|(token, _)| *token == Token::Word);
        words.map(|(_, range)| &text[range]).collect()
    }

    #[test]
    fn words_are_outside_strings_comments_and_numbers() {
        assert_eq!(
            words("Affine(units: Width, x: [Width])"),
            ["Affine", "units", "Width", "x", "Width"]
        );
        assert_eq!(words(r#""Width" 'W' "a\"Width" b"Width" 1e3 0xff"#), [""; 0]);
        assert_eq!(words("// Width\n/* a /* Width */ Width */ r#\"Width\" Width\"# W"), ["W"]);
        assert_eq!(words("r width br bread"), ["r", "width", "br", "bread"]);
    }

    #[test]
    fn tokens_cover_any_text() {
        for text in ["", "\"", "'", "/*", "r#\"", "é/ü*/", "b'", "a\u{300}b", "\"\\", "/* é", "r#é"]
        {
            let mut at = 0;
            for (_, range) in tokens(text) {
                assert_eq!(range.start, at);
                assert!(range.end > at && text.is_char_boundary(range.end), "{text:?} {range:?}");
                at = range.end;
            }
            assert_eq!(at, text.len(), "{text:?}");
        }
    }

    #[test]
    fn comments_at_the_end_go() {
        assert_eq!(without_end("256 // wide\n"), "256");
        assert_eq!(without_end("Block(a: \"//\") /* x */ // y"), "Block(a: \"//\")");
        assert_eq!(without_end(" // all\n"), "");
    }
}
