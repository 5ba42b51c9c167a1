//! Decoders that cannot write.

use engine_core::engine::StepError;
use engine_core::graph::nearest;
use engine_datasets::Vocabulary;

/// A decoder that cannot write with a network or with its words.
#[derive(Debug, Clone, PartialEq, thiserror::Error, miette::Diagnostic)]
pub enum DecodeError {
    /// The network cannot run step by step, or the context does not fit it.
    #[error(transparent)]
    #[diagnostic(help("{}", step_help(_0)))]
    Step(#[from] StepError),
    /// A network that writes about something is to go on with a text.
    #[error(
        "the network writes about the input `{input}`, and a text alone does not say what that is"
    )]
    #[diagnostic(help("leave --text out"))]
    NeedsSubject {
        /// The input.
        input: String,
    },
    /// A prompt with a word that the network does not know.
    #[error("the prompt has {word:?}, which the vocabulary has not")]
    #[diagnostic(help("{}", known_word(nearest)))]
    UnknownWord {
        /// The word, or the character.
        word: String,
        /// The nearest word.
        nearest: Option<String>,
    },
    /// A prompt without anything in it.
    #[error("the prompt is empty, expected at least one character to go on from")]
    #[diagnostic(help("leave --text out to begin as the training text does"))]
    EmptyPrompt,
    /// A word to ban that there is not.
    #[error("`rules.ban` in `sample`: the vocabulary has no word `{word}`")]
    #[diagnostic(help("{}", known_ban(nearest)))]
    UnknownBan {
        /// The word.
        word: String,
        /// The nearest word.
        nearest: Option<String>,
    },
    /// A ban of what is no word of a sentence.
    #[error("`rules.ban` in `sample`: expected words of sentences, found `{word}`")]
    #[diagnostic(help("{}", ban_of_mark(*ends)))]
    BanOfMark {
        /// The mark.
        word: String,
        /// Whether it is the one that ends sentences.
        ends: bool,
    },
    /// No word but `<END>` is allowed.
    #[error("`rules.ban` in `sample` leaves none of the {words} words of the vocabulary to write")]
    #[diagnostic(help("ban fewer words"))]
    NothingLeft {
        /// The size of the vocabulary.
        words: usize,
    },
    /// A beam with more places than words.
    #[error(
        "`width` in `sample`: expected at most {words}, the words of the vocabulary, found {width}"
    )]
    #[diagnostic(help("3 to 5 places are enough for captions"))]
    TooWide {
        /// The width.
        width: usize,
        /// The size of the vocabulary.
        words: usize,
    },
    /// Groups that do not share the places of a beam evenly.
    #[error("`groups` in `sample`: expected a divisor of the width {width}, found {groups}")]
    #[diagnostic(help("one of: {}", divisors(*width)))]
    Groups {
        /// The number of groups.
        groups: usize,
        /// The width of all.
        width: usize,
    },
    /// Sentences that would have to be longer than they may be.
    #[error(
        "`min_length` in `sample`: expected at most max_length, which is {most}, found {least}"
    )]
    #[diagnostic(help("both count `<START>` and `<END>`; raise max_length or lower min_length"))]
    Lengths {
        /// The least length.
        least: usize,
        /// The greatest.
        most: usize,
    },
    /// More sentences than a beam has places.
    #[error("`best` in `sample`: expected at most the width {width}, found {best}")]
    #[diagnostic(help("widen the beam: width: {best}"))]
    TooManyBest {
        /// The number of sentences.
        best: usize,
        /// The width.
        width: usize,
    },
}

impl DecodeError {
    /// A word to ban that is not in the vocabulary.
    pub(super) fn unknown_ban(word: &str, vocabulary: &Vocabulary) -> Self {
        let nearest = nearest(word, vocabulary.words()).map(str::to_owned);
        DecodeError::UnknownBan { word: word.to_owned(), nearest }
    }
}

fn step_help(error: &StepError) -> &'static str {
    match error {
        StepError::NoValue(_) => {
            "call the node that scores words `scores`, or say outputs: {\"loss\": .., \"scores\": ..}"
        }
        _ => "the graph's inputs and the data must agree; see `engine data info DIR`",
    }
}

fn known_word(nearest: &Option<String>) -> String {
    let none =
        || "write it with what the training text holds; the run's vocabulary.json lists it".into();
    nearest.as_ref().map_or_else(none, |word| format!("did you mean `{word}`?"))
}

fn known_ban(nearest: &Option<String>) -> String {
    let none = || "leave it out: a word that is not there is never written".into();
    nearest.as_ref().map_or_else(none, |word| format!("did you mean `{word}`?"))
}

fn ban_of_mark(ends: bool) -> &'static str {
    match ends {
        true => {
            "sentences could not end; to make them longer, set min_length or length_penalty of Beam"
        }
        false => "leave it out: it stands around sentences, not in them",
    }
}

fn divisors(width: usize) -> String {
    let divisors = (1..=width).filter(|groups| width.is_multiple_of(*groups));
    divisors.map(|groups| groups.to_string()).collect::<Vec<_>>().join(", ")
}
