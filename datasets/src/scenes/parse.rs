//! From a sentence to what it says.
//!
//! ```text
//! sentence = [ "there is" | "the picture shows" ] clause          "there is" stands in place of the verb
//!          | relation object [ "there" ] "is" object              "above a red star is a blue cross"
//! clause   = object { "and" object } [ verb ] stands { "and" ( stands | object ) }
//!          | object "with" object where { "and" object where }
//!          | object "and" where object
//! stands   = relation object | "between" object "and" object
//! relation = [ "to the" ] ( "left" | "right" ) "of" | "above" | "below"
//! where    = "to its" ( "left" | "right" ) | ( "above" | "below" ) "it"
//! object   = ( "a" | "an" ) [ size ] colour shape
//! verb     = "is" after one object, "are" after several
//! ```

use super::claim::{Claim, Claims, Named, Relation};
use super::scene::{Colour, Shape, Size};

/// What a sentence says, or why it is no sentence of the grammar.
pub(crate) fn parse(sentence: &str) -> Result<Claims, String> {
    let words: Vec<&str> = sentence.split_whitespace().collect();
    let mut parser = Parser { words: &words, at: 0, said: Claims::default() };
    parser.sentence()?;
    match parser.peek() {
        None => Ok(parser.said),
        Some(word) => Err(format!("`{word}` (word {}) has no place there", parser.at + 1)),
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    at: usize,
    said: Claims,
}

impl<'a> Parser<'a> {
    fn sentence(&mut self) -> Result<(), String> {
        if self.takes(&["there", "is"]) || self.takes(&["the", "picture", "shows"]) {
            return self.clause(false);
        }
        match self.relation() {
            Some(relation) => self.fronted(relation),
            None => self.clause(true),
        }
    }

    /// "above a red star is a blue cross".
    fn fronted(&mut self, relation: Relation) -> Result<(), String> {
        let ground = self.object()?;
        self.takes(&["there"]);
        self.expect("is")?;
        let subject = self.object()?;
        self.said.claims.push(Claim::Stands(subject, relation, ground));
        Ok(())
    }

    fn clause(&mut self, verb_allowed: bool) -> Result<(), String> {
        let mut subjects = vec![self.object()?];
        if self.takes(&["with"]) {
            return self.companions(subjects[0]);
        }
        while self.takes(&["and"]) {
            if subjects.len() == 1
                && let Some(relation) = self.whereabouts()
            {
                let other = self.object()?;
                self.said.claims.push(Claim::Stands(other, relation, subjects[0]));
                return Ok(());
            }
            subjects.push(self.object()?);
        }
        if verb_allowed {
            let (verb, other) = if subjects.len() == 1 { ("is", "are") } else { ("are", "is") };
            if self.peek() == Some(other) {
                return Err(format!("`{other}` (word {}) should be `{verb}`", self.at + 1));
            }
            self.takes(&[verb]);
        }
        self.predicate(&subjects)
    }

    /// "above a red star and a blue cross and to the left of a pink heart".
    fn predicate(&mut self, subjects: &[usize]) -> Result<(), String> {
        let mut last = self.stands(subjects)?;
        while self.takes(&["and"]) {
            last = match last {
                Some(relation) if matches!(self.peek(), Some("a" | "an")) => {
                    let ground = self.object()?;
                    self.claim_all(subjects, relation, ground);
                    Some(relation)
                }
                _ => self.stands(subjects)?,
            };
        }
        Ok(())
    }

    /// One relation of all subjects; what a following "and a blue cross" would continue.
    fn stands(&mut self, subjects: &[usize]) -> Result<Option<Relation>, String> {
        if self.takes(&["between"]) {
            let one = self.object()?;
            self.expect("and")?;
            let two = self.object()?;
            for subject in subjects {
                self.said.claims.push(Claim::Between(*subject, one, two));
            }
            return Ok(None);
        }
        let relation = self.relation().ok_or_else(|| self.wanted("a relation"))?;
        let ground = self.object()?;
        self.claim_all(subjects, relation, ground);
        Ok(Some(relation))
    }

    fn claim_all(&mut self, subjects: &[usize], relation: Relation, ground: usize) {
        let claims = subjects.iter().map(|subject| Claim::Stands(*subject, relation, ground));
        self.said.claims.extend(claims);
    }

    /// "a red star above it and a blue cross to its left".
    fn companions(&mut self, subject: usize) -> Result<(), String> {
        loop {
            let other = self.object()?;
            let relation = self.whereabouts().ok_or_else(|| self.wanted("where it is"))?;
            self.said.claims.push(Claim::Stands(other, relation, subject));
            if !self.takes(&["and"]) {
                return Ok(());
            }
        }
    }

    fn relation(&mut self) -> Option<Relation> {
        let forms: [(&[&str], Relation); 6] = [
            (&["to", "the", "left", "of"], Relation::LeftOf),
            (&["to", "the", "right", "of"], Relation::RightOf),
            (&["left", "of"], Relation::LeftOf),
            (&["right", "of"], Relation::RightOf),
            (&["above"], Relation::Above),
            (&["below"], Relation::Below),
        ];
        forms.into_iter().find(|(form, _)| self.takes(form)).map(|(_, relation)| relation)
    }

    fn whereabouts(&mut self) -> Option<Relation> {
        let forms: [(&[&str], Relation); 4] = [
            (&["to", "its", "left"], Relation::LeftOf),
            (&["to", "its", "right"], Relation::RightOf),
            (&["above", "it"], Relation::Above),
            (&["below", "it"], Relation::Below),
        ];
        forms.into_iter().find(|(form, _)| self.takes(form)).map(|(_, relation)| relation)
    }

    /// "a small red star": its place among the objects named.
    fn object(&mut self) -> Result<usize, String> {
        let article = self.peek().filter(|word| matches!(*word, "a" | "an"));
        let article = article.ok_or_else(|| self.wanted("`a` or `an`"))?;
        self.at += 1;
        let next = self.peek().unwrap_or_default();
        if (article == "an") != next.starts_with(['a', 'e', 'i', 'o', 'u']) {
            return Err(format!("`{article}` (word {}) does not go with `{next}`", self.at));
        }
        let size = self.word_of(Size::from_word);
        let colour = self.word_of(Colour::from_word).ok_or_else(|| self.wanted("a colour"))?;
        let shape = self.word_of(Shape::from_word).ok_or_else(|| self.wanted("a shape"))?;
        self.said.objects.push(Named { size, colour, shape });
        Ok(self.said.objects.len() - 1)
    }

    fn word_of<T>(&mut self, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let found = read(self.peek()?)?;
        self.at += 1;
        Some(found)
    }

    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    /// Goes past these words if they come next.
    fn takes(&mut self, form: &[&str]) -> bool {
        let next = self.words[self.at..].starts_with(form);
        if next {
            self.at += form.len();
        }
        next
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.takes(&[word]) { Ok(()) } else { Err(self.wanted(&format!("`{word}`"))) }
    }

    fn wanted(&self, what: &str) -> String {
        match self.peek() {
            Some(word) => format!("`{word}` (word {}) should be {what}", self.at + 1),
            None => format!("it ends where {what} should follow"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(sentence: &str, objects: usize, claims: &[Claim]) {
        let said = parse(sentence).unwrap_or_else(|e| panic!("{sentence}: {e}"));
        assert_eq!(said.objects.len(), objects, "{sentence}");
        assert_eq!(said.claims, claims, "{sentence}");
    }

    #[test]
    fn every_form_is_understood() {
        use Claim::{Between, Stands};
        use Relation::*;
        says("a small red circle is to the left of a blue square", 2, &[Stands(0, LeftOf, 1)]);
        says("there is a green star above a yellow cross", 2, &[Stands(0, Above, 1)]);
        says("a blue square with a red heart below it", 2, &[Stands(1, Below, 0)]);
        says("a red circle right of a blue square", 2, &[Stands(0, RightOf, 1)]);
        says("below a yellow cross is a green star", 2, &[Stands(1, Below, 0)]);
        says("to the left of a red star there is a large pink heart", 2, &[Stands(1, LeftOf, 0)]);
        says("the picture shows an orange star above a black cross", 2, &[Stands(0, Above, 1)]);
        says("a red star and to its right a blue cross", 2, &[Stands(1, RightOf, 0)]);
        says("a red star is between a blue cross and a pink heart", 3, &[Between(0, 1, 2)]);
        says("there is a red star between a blue cross and a pink heart", 3, &[Between(0, 1, 2)]);
        says(
            "a red star with a blue cross above it and a pink heart to its left",
            3,
            &[Stands(1, Above, 0), Stands(2, LeftOf, 0)],
        );
        says(
            "a red star is above a blue cross and left of a pink heart",
            3,
            &[Stands(0, Above, 1), Stands(0, LeftOf, 2)],
        );
        says(
            "a red star is above a blue cross and a pink heart",
            3,
            &[Stands(0, Above, 1), Stands(0, Above, 2)],
        );
        says(
            "a red star and a blue cross are above a pink heart",
            3,
            &[Stands(0, Above, 2), Stands(1, Above, 2)],
        );
    }

    #[test]
    fn other_sentences_are_refused() {
        for (sentence, reason) in [
            ("", "it ends where `a` or `an` should follow"),
            ("a red", "it ends where a shape should follow"),
            ("a circle is above a red star", "`circle` (word 2) should be a colour"),
            ("a red star a blue cross", "should be a relation"),
            ("a red star are above a blue cross", "`are` (word 4) should be `is`"),
            ("a red star and a blue cross is above a pink heart", "should be `are`"),
            ("a orange star is above a blue cross", "`a` (word 1) does not go with `orange`"),
            ("an red star is above a blue cross", "does not go with `red`"),
            ("a red star is above a blue cross above", "has no place there"),
            ("there is a red star is above a blue cross", "should be a relation"),
            ("a red star with a blue cross", "where it is"),
            ("a red star <UNK> a blue cross", "`<UNK>` (word 4)"),
            ("above a red star a blue cross", "should be `is`"),
        ] {
            let error = parse(sentence).unwrap_err();
            assert!(error.contains(reason), "{sentence}: {error}, not {reason}");
        }
    }
}
