//! A caption as the words that a network learns.

/// The words of a caption: in lower case, without punctuation.
///
/// This is how the CS231n set and Karpathy's files were made: signs are taken out, `close-up` becomes `closeup` and
/// `someone's` `someones`, and what white space separates then is a word. Typographic signs go the same way; dashes and
/// dots that typography puts between words separate them. Whatever a caption says, no word of it reads like a special
/// word of a vocabulary.
///
/// Scores take captions apart in another way, that of the treebank, which the public coco-caption tool uses: words in
/// this form come through it unchanged but for `cannot` and its like.
///
/// ```
/// use engine_datasets::captions::words;
/// assert_eq!(words("A close-up of someone's DOG… (no. 7)."), ["a", "closeup", "of", "someones", "dog", "no", "7"]);
/// ```
pub fn words(caption: &str) -> Vec<String> {
    let plain: String = caption.chars().filter_map(plain).collect();
    plain.split_whitespace().map(str::to_lowercase).collect()
}

/// What becomes of a character: itself, a space, or nothing.
fn plain(c: char) -> Option<char> {
    match c {
        '–' | '—' | '―' | '…' | '、' | '。' | '，' => Some(' '),
        // General punctuation, spaces of some width among it.
        '\u{2000}'..='\u{206f}' if !c.is_whitespace() => None,
        '\u{ad}' | '\u{feff}' | '«' | '»' | '¡' | '¿' | '·' => None,
        _ if c.is_control() && !c.is_whitespace() => None,
        _ if c.is_ascii_punctuation() => None,
        _ => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Vocabulary;

    #[test]
    fn captions_become_words() {
        for (caption, expected) in [
            ("A man's t-shirt .", "a mans tshirt"),
            ("two dogs,one cat", "two dogsone cat"),
            ("  Über\u{a0}allem — “Ruhe”…\n", "über allem ruhe"),
            ("dogs–cats and/or 1/2", "dogs cats andor 12"),
            ("<END> <NULL> <unk>", "end null unk"),
            ("¿Qué? हिन्दी 猫。犬", "qué हिन्दी 猫 犬"),
            ("zero\u{200b}width\u{0}", "zerowidth"),
            ("... - !?", ""),
            ("", ""),
        ] {
            assert_eq!(words(caption).join(" "), expected, "{caption:?}");
        }
    }

    #[test]
    fn words_of_words_are_the_same_and_none_is_special() {
        let signs: Vec<char> =
            "aZé5 '\"-./,:;?!&()[]<>END_…’“\u{301}\u{ad}中İß\t\n".chars().collect();
        let mut stream = crate::random::Stream::new(5, crate::random::Purpose::Order, 0);
        for _ in 0..2000 {
            let length = stream.below(30);
            let text: String = (0..length).map(|_| *stream.choose(&signs)).collect();
            let once = words(&text);
            assert_eq!(words(&once.join(" ")), once, "{text:?}");
            for word in &once {
                assert!(!word.is_empty() && !word.contains(char::is_whitespace), "{text:?}");
                assert!(!Vocabulary::SPECIAL.contains(&word.as_str()), "{text:?}");
            }
        }
    }
}
