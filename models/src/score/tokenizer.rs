//! Sentences as words, in the way of the Penn Treebank.
//!
//! The public coco-caption tool splits with the treebank tokenizer of Stanford's CoreNLP, lower-cases, and leaves
//! punctuation out. This one has its rules for what captions hold: contractions, abbreviations, acronyms, numbers, words with
//! hyphens and slashes, brackets by name, quotes of all kinds.

/// The words of a sentence: lower-cased, without punctuation.
///
/// ```
/// assert_eq!(engine::score::tokenize("He can't see the U.S. flag (no. 7)..."),
///     ["he", "ca", "n't", "see", "the", "u.s.", "flag", "-lrb-", "no.", "7", "-rrb-"]);
/// ```
pub fn tokenize(sentence: &str) -> Vec<String> {
    let text: Vec<char> = sentence.chars().filter(|c| *c != SOFT_HYPHEN).map(plain).collect();
    let mut scanner = Scanner { text: &text, at: 0, tokens: Vec::new() };
    while scanner.at < text.len() {
        scanner.token();
    }
    scanner.tokens
}

/// The words of a sentence that is tokenized already: what stands between spaces.
pub fn spaced(sentence: &str) -> Vec<String> {
    sentence.split_whitespace().map(str::to_owned).collect()
}

const SOFT_HYPHEN: char = '\u{ad}';

/// One sign for each kind of quote, dash and apostrophe.
fn plain(c: char) -> char {
    match c {
        '’' | 'ʼ' | '′' => '\'',
        '“' | '”' | '„' | '«' | '»' | '″' | '‘' | '‚' | '`' => '"',
        '–' | '—' | '―' | '‒' | '−' => '-',
        '‐' | '‑' => '-',
        '…' => '.',
        '。' => '.',
        '，' | '、' => ',',
        _ => c,
    }
}

/// What follows an apostrophe in a contraction.
const CLITICS: [&str; 6] = ["s", "m", "d", "ll", "re", "ve"];

/// Words that are two, with the length of the first.
const PAIRS: [(&str, usize); 6] =
    [("cannot", 3), ("gonna", 3), ("gotta", 3), ("lemme", 3), ("gimme", 3), ("wanna", 3)];

/// Abbreviations that begin with a capital and keep their period.
const ABBREVIATIONS: &str = "Mr Mrs Ms Messrs Dr Drs Prof Profs Sen Sens Rep Reps Gov Govs Lt Col Gen Adm Rev Maj Sgt Cpl \
    Pvt Capt St Ste Ave Blvd Rd Pres Lieut Hon Brig Cmdr Pfc Det Inc Co Cos Corp Ltd Plc Bros Dept Assn Univ Intl Jr Sr Esq \
    Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thurs Fri Ala Ariz Ark Calif Colo Conn Del Fla Ga \
    Ill Ind Kan Ky La Mass Md Mich Minn Miss Mo Mont Neb Nev Okla Ore Pa Penn Tenn Tex Va Vt Wash Wis Wyo Mt Ft";

/// Abbreviations that keep their period however they are written.
const ALWAYS: [&str; 6] = ["etc", "vs", "al", "cf", "seq", "bldg"];

/// Abbreviations that keep their period before a number.
const BEFORE_NUMBERS: [&str; 6] = ["no", "nos", "fig", "figs", "pp", "p"];

/// Ends of addresses.
const DOMAINS: [&str; 4] = ["com", "net", "org", "edu"];

struct Scanner<'a> {
    text: &'a [char],
    at: usize,
    tokens: Vec<String>,
}

impl Scanner<'_> {
    fn token(&mut self) {
        let c = self.text[self.at];
        let (previous, next) = (self.at.checked_sub(1).map(|at| self.text[at]), self.peek(1));
        let begins = previous.is_none_or(char::is_whitespace);
        match c {
            _ if c.is_alphanumeric() => self.word(),
            '+' | '-' | '.' if begins && next.is_some_and(|c| c.is_ascii_digit()) => self.word(),
            '\'' => self.apostrophe(),
            '?' | '!' => self.marks(),
            '&' => self.ampersand(),
            '<' => self.tag(),
            _ => {
                self.at += 1;
                self.tokens.extend(sign(c));
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    fn is_alphanumeric(&self, at: usize) -> bool {
        self.text.get(at).is_some_and(|c| is_word(*c))
    }

    fn push(&mut self, from: usize, to: usize) {
        let letters = self.text[from..to].iter();
        let mut token = String::with_capacity(to - from);
        for c in letters {
            if *c == '/' {
                token.push('\\');
            }
            token.extend(c.to_lowercase());
        }
        if !token.is_empty() {
            self.tokens.push(token);
        }
    }

    fn matches(&self, at: usize, word: &str) -> bool {
        let mut letters = self.text[at.min(self.text.len())..].iter();
        word.chars().all(|c| letters.next().is_some_and(|l| l.to_lowercase().eq([c])))
    }

    /// From an apostrophe: the end of the contraction there, `'s`, if it is one.
    fn clitic(&self, at: usize) -> Option<usize> {
        let ends =
            |word: &&&str| self.matches(at + 1, word) && !self.is_alphanumeric(at + 1 + word.len());
        CLITICS.iter().find(ends).map(|word| at + 1 + word.len())
    }

    fn word(&mut self) {
        let from = self.at;
        if let Some(end) = self.acronym(from) {
            self.push(from, end);
            self.at = end;
            return;
        }
        let mut end = self.body(from);
        let word: String = self.text[from..end].iter().collect();
        if self.text.get(end) == Some(&'.') && self.keeps_period(&word, end) {
            end += 1;
        }
        self.at = end;
        // `can't`: its `n` belongs to what follows.
        let is_not = |at: usize| {
            self.text[at - 1].eq_ignore_ascii_case(&'n')
                && self.matches(at, "'t")
                && !self.is_alphanumeric(at + 2)
        };
        if is_not(end) {
            self.push(from, end - 1);
            self.push(end - 1, end + 2);
            self.at = end + 2;
        } else if let Some((_, first)) = PAIRS.iter().find(|(pair, _)| word.to_lowercase() == *pair)
        {
            self.push(from, from + first);
            self.push(from + first, end);
        } else {
            self.push(from, end);
        }
    }

    /// The end of letters with a period after each: `U.S.`
    fn acronym(&self, from: usize) -> Option<usize> {
        let is_letter = |at: usize| self.text.get(at).is_some_and(|c| c.is_alphabetic());
        let mut end = from;
        // A period before a whole word ends a sentence: `dog.Cat` is no acronym.
        let begins_word = |at: usize| is_letter(at) && is_letter(at + 1);
        while is_letter(end) && self.text.get(end + 1) == Some(&'.') && !begins_word(end + 2) {
            end += 2;
        }
        let letters = (end - from) / 2;
        // `J. Smith`, but not the last word of a sentence.
        let initial = letters == 1
            && self.text[from].is_uppercase()
            && self.text[end..].iter().any(|c| c.is_alphanumeric());
        (letters > 1 || initial).then_some(end)
    }

    /// The end of a word or number, with what joins its parts: hyphens, slashes, the signs within numbers.
    fn body(&self, from: usize) -> usize {
        let is_digit = |at: usize| self.text.get(at).is_some_and(|c| c.is_ascii_digit());
        let mut end = from;
        if !self.is_alphanumeric(end) {
            end += 1;
        }
        let mut slashes = 0;
        loop {
            while self.is_alphanumeric(end) {
                end += 1;
            }
            let Some(joint) = self.text.get(end) else { return end };
            let last = end.checked_sub(1).filter(|last| *last >= from);
            let joins = self.is_alphanumeric(end + 1)
                && match joint {
                    '-' | '_' => true,
                    '/' => {
                        slashes += 1;
                        slashes <= 2
                    }
                    '.' => {
                        last.is_some_and(is_digit) && is_digit(end + 1)
                            || self.is_domain(end + 1)
                            || self.matches(from, "www.")
                    }
                    ',' | ':' => last.is_some_and(is_digit) && is_digit(end + 1),
                    '&' => {
                        last.is_some_and(|last| self.text[last].is_uppercase())
                            && self.text[end + 1].is_uppercase()
                    }
                    // O'Neil, o'clock, hors d'oeuvres
                    '\'' => {
                        end == from + 1
                            && matches!(self.text[from].to_ascii_lowercase(), 'd' | 'o' | 'l')
                            && self.clitic(end).is_none()
                    }
                    _ => false,
                };
            let maam = *joint == '\'' && end == from + 2 && self.matches(from, "ma'am");
            if !(joins || maam) {
                return end;
            }
            end += 1;
        }
    }

    fn is_domain(&self, at: usize) -> bool {
        DOMAINS.iter().any(|end| self.matches(at, end) && !self.is_alphanumeric(at + end.len()))
    }

    /// Whether the period at `at` belongs to the word before it.
    fn keeps_period(&self, word: &str, at: usize) -> bool {
        let lower = word.to_lowercase();
        let rest = self.text[at + 1..].iter().find(|c| !c.is_whitespace());
        ABBREVIATIONS.split_whitespace().any(|abbreviation| abbreviation == word)
            || ALWAYS.contains(&lower.as_str())
            || BEFORE_NUMBERS.contains(&lower.as_str()) && rest.is_some_and(char::is_ascii_digit)
    }

    /// `'s` on its own, `'tis`, `'90s`; else a quote.
    fn apostrophe(&mut self) {
        let from = self.at;
        let year = (1..=2).all(|at| self.peek(at).is_some_and(|c| c.is_ascii_digit()));
        if let Some(end) = self.clitic(from) {
            self.push(from, end);
            self.at = end;
        } else if ["'tis", "'twas"].iter().any(|word| self.matches(from, word)) {
            self.push(from, from + 2);
            self.at = from + 2;
        } else if year {
            let end = from + 3 + usize::from(self.peek(3) == Some('s'));
            let end = if self.is_alphanumeric(end) { from + 1 } else { end };
            if end > from + 1 {
                self.push(from, end);
            }
            self.at = end;
        } else {
            self.at += 1;
        }
    }

    /// One mark is punctuation, several are a word.
    fn marks(&mut self) {
        let from = self.at;
        while matches!(self.peek(0), Some('?' | '!')) {
            self.at += 1;
        }
        if self.at > from + 1 {
            self.push(from, self.at);
        }
    }

    /// `<UNK>` is one word.
    fn tag(&mut self) {
        let from = self.at;
        self.at += 1;
        let inner = self.text[self.at..].iter().take_while(|c| is_word(**c) || **c == '_').count();
        if inner > 0 && self.peek(inner) == Some('>') {
            self.at += inner + 1;
        }
        self.push(from, self.at);
    }

    fn ampersand(&mut self) {
        self.tokens.push("&".to_owned());
        self.at += if self.matches(self.at, "&amp;") { 5 } else { 1 };
    }
}

/// Letters, digits, and the marks over them.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\u{300}'..='\u{36f}')
}

/// What a sign is called; nothing for space and punctuation.
fn sign(c: char) -> Option<String> {
    let name = match c {
        '(' => "-lrb-",
        ')' => "-rrb-",
        '[' => "-lsb-",
        ']' => "-rsb-",
        '{' => "-lcb-",
        '}' => "-rcb-",
        '/' => "\\/",
        '*' => "\\*",
        '£' => "#",
        '€' => "$",
        '¢' => "cents",
        '.' | ',' | ';' | ':' | '"' | '-' | '\'' => return None,
        _ if c.is_whitespace() || c.is_control() => return None,
        _ => return Some(c.to_string()),
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn sentences_are_split_in_the_way_of_the_treebank() {
        for (sentence, words) in [
            ("A man can't won't isn't.", "a man ca n't wo n't is n't"),
            (
                "It's a boy's; they're we've I'd I'll I'm",
                "it 's a boy 's they 're we 've i 'd i 'll i 'm",
            ),
            ("a man 's dog n't , the dogs' bowl", "a man 's dog n't the dogs bowl"),
            ("the U.S. flag near 5th Ave.", "the u.s. flag near 5th ave."),
            ("in Washington D.C.", "in washington d.c."),
            ("at 5 p.m., Dr. No saw Mr. T. Rex etc.", "at 5 p.m. dr. no saw mr. t. rex etc."),
            ("train (no. 7) says no.", "train -lrb- no. 7 -rrb- says no"),
            ("(approx.)", "-lrb- approx -rrb-"),
            ("a 12-inch half-eaten pizza -- really - yes", "a 12-inch half-eaten pizza really yes"),
            ("wait... what?! no!! yes?", "wait what ?! no !! yes"),
            ("“Stop” ‘go’ \"now\" it’s", "stop go now it 's"),
            ("3.5 km, 1,000 at 12:30 or -5", "3.5 km 1,000 at 12:30 or -5"),
            ("$5 50% #1 A&W and/or 1/2", "$ 5 50 % # 1 a&w and\\/or 1\\/2"),
            ("O'Neil at ten o'clock, ma'am", "o'neil at ten o'clock ma'am"),
            ("I cannot, gonna 'tis the '90s", "i can not gon na 't is the '90s"),
            ("Ünïcode café — naïve…", "ünïcode café naïve"),
            ("see www.example.com, now at x.org.", "see www.example.com now at x.org"),
            ("dog.Cat", "dog cat"),
            ("a <UNK> dog <3 < cats", "a <unk> dog < 3 < cats"),
            ("", ""),
            (" \t\n", ""),
        ] {
            assert_eq!(tokenize(sentence).join(" "), words, "{sentence}");
        }
    }

    #[test]
    fn any_text_has_words_without_spaces() {
        let signs: Vec<char> = "aZé5 '\"-./,:;?!&()[]$#_…’“\u{301}\u{ad}中😀nts".chars().collect();
        for seed in 0..2000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let length = rng.random_range(0..30);
            let text: String =
                (0..length).map(|_| signs[rng.random_range(0..signs.len())]).collect();
            for token in tokenize(&text) {
                assert!(!token.is_empty(), "seed {seed}: {text:?}");
                assert!(!token.contains(char::is_whitespace), "seed {seed}: {text:?} {token:?}");
            }
        }
    }
}
