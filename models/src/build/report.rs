//! What a build came to.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use engine_datasets::captions::{CaptionFile, Format};
use engine_datasets::{Split, quote};

use super::Options;
use super::images::{Image, Images, Refused};
use super::sentences::Sentences;

/// What a build came to. Its `Display` is what the command says at the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The folder.
    pub out: PathBuf,
    /// How the captions were written.
    pub format: Format,
    /// Training pictures.
    pub train: usize,
    /// Validation pictures.
    pub val: usize,
    /// The captions of all.
    pub captions: usize,
    /// The size of the vocabulary, special words included.
    pub vocabulary: usize,
    /// Features of a picture.
    pub features: usize,
    /// Principal components of these.
    pub components: Option<usize>,
    /// Words of all captions, and how many of them have no number.
    pub words: (usize, usize),
    /// Captions that were cut, and to how many words.
    pub cut: (usize, usize),
    /// Captions without a word.
    pub empty: usize,
    /// Pictures that the captions list without a caption.
    pub bare: usize,
    /// Pictures of a test split.
    pub set_aside: usize,
    /// Pictures that captions name and the folder does not hold.
    pub absent: Vec<String>,
    /// Pictures that could not be read.
    pub refused: Vec<Refused>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Report {
    /// The report of a build from its parts.
    pub(super) fn of(
        options: &Options,
        file: &CaptionFile,
        images: Images,
        shown: &[Image],
        sentences: &Sentences,
    ) -> Self {
        let count = |split| shown.iter().filter(|image| image.split == split).count();
        Report {
            out: options.out.clone(),
            format: file.format,
            train: count(Split::Train),
            val: count(Split::Val),
            captions: shown.iter().map(|image| image.captions.len()).sum(),
            vocabulary: sentences.vocabulary.len(),
            features: 0,
            components: options.pca,
            words: (sentences.words, sentences.unknown),
            cut: (sentences.cut, options.max_length),
            empty: images.empty,
            bare: file.bare,
            set_aside: images.set_aside,
            absent: images.absent,
            refused: Vec::new(),
            elapsed: Duration::ZERO,
        }
    }
}

/// Names that are shown of many.
const SHOWN: usize = 5;

/// The first few of a list, and how many there are besides.
fn few(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let shown: Vec<String> = names.take(SHOWN).collect();
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, unknown) = self.words;
        let mut remark = |said: bool, text: String| match said {
            true => writeln!(f, "{text}"),
            false => Ok(()),
        };
        let refused =
            self.refused.iter().map(|Refused { name, reason }| format!("{name} ({reason})"));
        remark(
            !self.refused.is_empty(),
            format!(
                "{} pictures cannot be read and are left out: {}",
                self.refused.len(),
                few(refused)
            ),
        )?;
        remark(
            !self.absent.is_empty(),
            format!(
                "{} pictures that the captions name are not in the folder: {}",
                self.absent.len(),
                few(self.absent.iter().cloned())
            ),
        )?;
        remark(self.set_aside > 0, format!("{} test pictures are left out", self.set_aside))?;
        remark(self.bare > 0, format!("{} pictures have no caption and are left out", self.bare))?;
        remark(self.empty > 0, format!("{} captions have no word and are left out", self.empty))?;
        remark(self.cut.0 > 0, format!("{} captions are cut to {} words", self.cut.0, self.cut.1))?;
        remark(
            unknown > 0,
            format!(
                "{unknown} of {words} words ({:.1} %) are too rare and read <UNK>",
                100.0 * unknown as f64 / words as f64
            ),
        )?;
        let components = self.components.map(|n| format!(" and {n} principal components"));
        writeln!(
            f,
            "{}: {} training and {} validation pictures, {} captions of {} words, {} features{}, in {:.1} s",
            self.out.display(),
            self.train,
            self.val,
            self.captions,
            self.vocabulary,
            self.features,
            components.unwrap_or_default(),
            self.elapsed.as_secs_f64()
        )?;
        write!(
            f,
            "train on it with: engine train graphs/caption_lstm.ron --data {}",
            quote(&self.out)
        )
    }
}
