//! The text of a graph file, with values from the command line spliced in, and the way back from any position in it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ron::value::RawValue;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::fault::Fault;
use super::suggest::did_you_mean;
use super::syntax::{Child, Fields, children, fault_in, is_list, ron_options, skip_blank, title};

/// A RON text made of pieces of its sources: the file, the files that it imports, and each `--set` argument.
///
/// Behind the text follow copies of the blocks that its nodes use, made of pieces as well, so that whatever is read from
/// a copy leads back to where it is written.
#[derive(Debug, Clone)]
pub struct Document {
    pub(super) sources: Vec<Source>,
    pieces: Vec<Piece>,
    /// Where each piece begins in the text.
    starts: Vec<usize>,
    text: String,
    /// Where the copies begin.
    written: usize,
    /// The copies of its block that a `Use` or a `Repeat` stands for, by the place where that begins.
    pub(super) copies: BTreeMap<usize, Vec<Range<usize>>>,
    /// What is wrong with imports, blocks and their uses.
    pub(super) faults: Vec<Fault>,
}

#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
    /// Where the paths of what it imports begin; none for a text that was never a file.
    pub(super) folder: Option<PathBuf>,
    /// The file, and the source that imports it.
    pub(super) imported: Option<(PathBuf, usize)>,
}

/// A source, and a byte of its text. What is copied has the same origin in all copies.
pub(super) type Origin = (usize, usize);

/// A stretch of the document's text and where it was copied from.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) source: usize,
    pub(super) range: Range<usize>,
}

/// A position in one of a document's sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place<'a> {
    /// The file's name, or the argument: `--set train.epochs`.
    pub source: &'a str,
    /// The whole text of that source.
    pub text: &'a str,
    /// Bytes of that text.
    pub span: Range<usize>,
}

impl Place<'_> {
    /// Line and column, both from 1, the column in characters.
    pub fn line_column(&self) -> (usize, usize) {
        let before = &self.text[..self.span.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.source)
    }
}

impl Document {
    /// A document of one text. The name is for messages.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::of(Source { name: name.into(), text: text.into(), folder: None, imported: None })
    }

    fn of(source: Source) -> Self {
        let mut document = Document {
            pieces: vec![Piece { source: 0, range: 0..source.text.len() }],
            starts: vec![0],
            written: source.text.len(),
            text: source.text.clone(),
            sources: vec![source],
            copies: BTreeMap::new(),
            faults: Vec::new(),
        };
        document.complete();
        document
    }

    /// Puts the text of files in the place of imports, and copies of blocks behind the text.
    fn complete(&mut self) {
        self.faults.clear();
        self.import();
        self.expand();
    }

    /// The text of a file and of all that it imports, and what is wrong with it as a text. Bytes that are not UTF-8 are
    /// replaced.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(path: &Path) -> std::io::Result<(Self, Option<Fault>)> {
        let name = path.display().to_string();
        let error = match String::from_utf8(std::fs::read(path)?) {
            Ok(text) => {
                let folder = Some(path.parent().unwrap_or(Path::new("")).to_owned());
                let file = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
                return Ok((
                    Self::of(Source { name, text, folder, imported: Some((file, 0)) }),
                    None,
                ));
            }
            Err(error) => error,
        };
        let at = error.utf8_error().valid_up_to();
        let fault = Fault::error(format!(
            "expected a text in UTF-8, found the byte {:#04x}",
            error.as_bytes()[at]
        ))
        .at(at..at + char::REPLACEMENT_CHARACTER.len_utf8())
        .help("is this a graph file?");
        Ok((Self::new(name, String::from_utf8_lossy(error.as_bytes())), Some(fault)))
    }

    /// The name that the whole value bears: `Graph` in `Graph(..)`.
    pub(super) fn title(&self) -> &str {
        title(skip_blank(self.text()))
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.sources[0].name
    }

    /// The text with everything spliced in.
    pub fn text(&self) -> &str {
        &self.text[..self.written]
    }

    /// The text and the copies behind it.
    pub(super) fn whole(&self) -> &str {
        &self.text
    }

    /// Where the given bytes of [`text`](Self::text), or of the copies behind it, came from.
    pub fn place(&self, span: &Range<usize>) -> Place<'_> {
        // Nothing at the very end of the text belongs to the copy that follows.
        let closes = span.is_empty() && span.start == self.written;
        let at = self.piece_at(if closes { span.start.saturating_sub(1) } else { span.start });
        let piece = &self.pieces[at];
        let from = (piece.range.start + span.start - self.starts[at]).min(piece.range.end);
        let to = (from + span.len()).min(piece.range.end);
        let source = &self.sources[piece.source];
        Place { source: &source.name, text: &source.text, span: from..to }
    }

    /// The piece that a byte of the text lies in; the last takes every byte behind the text.
    fn piece_at(&self, at: usize) -> usize {
        // Of several that begin there, all but the last are empty.
        self.starts.partition_point(|start| *start <= at).saturating_sub(1)
    }

    /// Puts `value` in place of what stands at `path`, or adds it where nothing does.
    ///
    /// A path names fields, list items by number, or nodes by name: `train.optimizer.learning_rate`,
    /// `nodes.hidden.layer`.
    ///
    /// # Errors
    /// When the path leads through something that does not exist, or the value is not RON.
    pub fn set(&mut self, path: &str, value: &str) -> Result<(), Fault> {
        let argument = || format!("--set {path}={value}");
        if let Err(error) = ron_options().from_str::<&RawValue>(value) {
            let help =
                "quote the argument for the shell: --set 'nodes.hidden.layer=Gru(units: 256)'";
            return Err(Fault::error(format!("{}: {}", argument(), error.code)).help(help));
        }
        let target = self.target(path).map_err(|message| {
            Fault::error(format!("{}: {}", argument(), message.0)).help(message.1)
        })?;
        let name = format!("--set {path}");
        let (span, text) = match target {
            Target::Replace(span) => (span, value.to_owned()),
            Target::Insert { at, fields } => {
                let (first, inner) = fields.split_first().expect("a path has a last segment");
                // A map's names are strings.
                let first = match self.text[..at].ends_with('{') {
                    true => format!("{first:?}: "),
                    false => format!("{first}: "),
                };
                let open: String = inner.iter().map(|field| format!("({field}: ")).collect();
                (at..at, format!("{first}{open}{value}{}, ", ")".repeat(inner.len())))
            }
        };
        // What an argument imports, it names from where the command runs.
        let folder = self.sources[0].folder.as_ref().map(|_| PathBuf::new());
        let piece = self.source(Source { name, text, folder, imported: None });
        self.splice(span, piece);
        self.complete();
        Ok(())
    }

    /// Adds a source, of which all can be a piece.
    pub(super) fn source(&mut self, source: Source) -> Piece {
        let range = 0..source.text.len();
        self.sources.push(source);
        Piece { source: self.sources.len() - 1, range }
    }

    fn target(&self, path: &str) -> Result<Target, (String, String)> {
        let segments: Vec<&str> = path.split('.').collect();
        if segments.iter().any(|segment| segment.is_empty()) {
            return Err((
                "the path has an empty part".into(),
                "write it as train.epochs or nodes.hidden.layer".into(),
            ));
        }
        let mut here = skip_blank(self.text());
        for (depth, segment) in segments.iter().enumerate() {
            let children = children(here).unwrap_or_default();
            let found = children
                .iter()
                .enumerate()
                .find(|(i, child)| child.answers_to(segment, *i))
                .map(|(_, child)| child.text);
            match found {
                Some(child) => here = child,
                None if is_list(here) => {
                    let names = children.iter().filter_map(Child::item_name);
                    return Err((
                        format!("there is no `{segment}`"),
                        did_you_mean(segment, names.collect::<Vec<_>>().iter().map(String::as_str)),
                    ));
                }
                None => match here.find(['(', '{']) {
                    Some(open) => {
                        return Ok(Target::Insert {
                            at: self.offset(here) + open + 1,
                            fields: segments[depth..].iter().map(|s| (*s).to_owned()).collect(),
                        });
                    }
                    None => {
                        return Err((
                            format!("`{here}` has no fields, so no `{segment}`"),
                            "give the value itself, without the last part of the path".into(),
                        ));
                    }
                },
            }
        }
        let start = self.offset(here);
        Ok(Target::Replace(start..start + here.len()))
    }

    /// Where a slice of the text starts in it.
    pub(crate) fn offset(&self, slice: &str) -> usize {
        slice.as_ptr() as usize - self.text.as_ptr() as usize
    }

    /// The bytes that a slice of the text takes.
    pub fn span_of(&self, slice: &str) -> Range<usize> {
        let start = self.offset(slice);
        start..start + slice.len()
    }

    /// The source of a byte of the text, and where it stands there.
    pub(super) fn origin(&self, at: usize) -> Origin {
        let found = self.piece_at(at);
        let piece = &self.pieces[found];
        (piece.source, piece.range.start + at - self.starts[found])
    }

    /// Replaces bytes of the text by a piece. Copies go, for what they are made of may change.
    pub(super) fn splice(&mut self, span: Range<usize>, piece: Piece) {
        let before = self.pieces_of(0..span.start);
        let after = self.pieces_of(span.end..self.written);
        (self.text, self.pieces, self.starts) = Default::default();
        self.append(before.into_iter().chain([piece]).chain(after));
        self.written = self.text.len();
        self.copies.clear();
    }

    /// Puts pieces behind the text, and says where they are.
    pub(super) fn append(&mut self, pieces: impl IntoIterator<Item = Piece>) -> Range<usize> {
        let start = self.text.len();
        for piece in pieces {
            self.starts.push(self.text.len());
            self.text.push_str(&self.sources[piece.source].text[piece.range.clone()]);
            self.pieces.push(piece);
        }
        start..self.text.len()
    }

    /// The pieces that a stretch of the text is made of.
    pub(super) fn pieces_of(&self, span: Range<usize>) -> Vec<Piece> {
        let first = self.piece_at(span.start);
        let pieces = self.pieces[first..].iter().zip(&self.starts[first..]);
        let cut = pieces.take_while(|(_, start)| **start < span.end).map(|(piece, start)| {
            let inside = |at: usize| piece.range.start + at.saturating_sub(*start);
            let range = inside(span.start)..inside(span.end).min(piece.range.end);
            Piece { source: piece.source, range }
        });
        cut.filter(|piece| !piece.range.is_empty()).collect()
    }

    /// Reads `slice`, a part of this document's text, as a `T`.
    ///
    /// # Errors
    /// One fault with its place in the document.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self, slice: &'a str) -> Result<T, Fault> {
        ron_options().from_str(slice).map_err(|error| {
            let (fault, span) = fault_in(slice, &error);
            let start = self.offset(slice);
            fault.at(start + span.start..start + span.end)
        })
    }

    /// Reads a struct of which every field can be left out, field by field, so that each wrong one is told.
    ///
    /// # Errors
    /// A fault for each field that is wrong, or one for all where the text is no struct.
    pub fn parse_fields<T: DeserializeOwned>(&self, slice: &str) -> Result<T, Vec<Fault>> {
        let fault = match self.parse(slice) {
            Ok(value) => return Ok(value),
            Err(fault) => fault,
        };
        let one_field = |child: Child<'_>| {
            let name = child.name?;
            let before = format!("({name}: ");
            let alone = format!("{before}{})", child.text);
            let error = ron_options().from_str::<T>(&alone).err()?;
            let (fault, span) = fault_in(&alone, &error);
            let start = self.offset(child.text);
            if span.start < before.len() {
                let start = self.text[..start].rfind(&name)?;
                return Some(fault.at(start..start + name.len()));
            }
            let inside = |at: usize| start + at - before.len();
            Some(fault.at(inside(span.start)..inside(span.end)))
        };
        let faults: Vec<Fault> =
            children(slice).into_iter().flatten().filter_map(one_field).collect();
        Err(if faults.is_empty() { vec![fault] } else { faults })
    }

    /// The named parts of the whole document: `[("inputs", ..), ("nodes", ..)]`.
    ///
    /// # Errors
    /// When the text is not RON.
    pub fn sections(&self) -> Result<Vec<(String, &str)>, Fault> {
        let fields: Fields<'_> = self.parse(self.text())?;
        Ok(fields.0.into_iter().map(|child| (child.name.unwrap_or_default(), child.text)).collect())
    }
}

/// What a `--set` path leads to.
enum Target {
    Replace(Range<usize>),
    /// Nothing yet: these fields, each in the one before, belong at this position.
    Insert {
        at: usize,
        fields: Vec<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "// a (comment)\nGraph(\n  nodes: [\n    (name: \"a\", layer: Lstm(units: 5)), // x\n    (name: \"b\", layer: Relu()),\n  ],\n  train: (epochs: 3),\n)\n";

    fn set(paths: &[(&str, &str)]) -> Document {
        let mut document = Document::new("g.ron", TEXT);
        for (path, value) in paths {
            document.set(path, value).unwrap();
        }
        document
    }

    #[test]
    fn replaces_values_by_path() {
        let document = set(&[
            ("nodes.a.layer", "Gru(units: 7)"),
            ("train.epochs", "12"),
            ("nodes.1.name", "\"c\""),
        ]);
        assert!(document.text().contains("(name: \"a\", layer: Gru(units: 7)), // x"));
        assert!(document.text().contains("(name: \"c\", layer: Relu())"));
        assert!(document.text().contains("train: (epochs: 12)"));
    }

    #[test]
    fn adds_what_is_not_there() {
        let document =
            set(&[("train.seed", "4"), ("data.dir", "\"x\""), ("nodes.b.layer.slope", "2")]);
        assert!(document.text().contains("train: (seed: 4, epochs: 3)"), "{}", document.text());
        assert!(document.text().contains("Graph(data: (dir: \"x\"), "), "{}", document.text());
        assert!(document.text().contains("Relu(slope: 2, )"), "{}", document.text());
        assert!(document.sections().is_ok());
    }

    #[test]
    fn later_values_go_into_earlier_ones() {
        let document = set(&[("train.optimizer", "Adam()"), ("train.optimizer.beta1", "0.5")]);
        assert!(document.text().contains("optimizer: Adam(beta1: 0.5, )"), "{}", document.text());
    }

    #[test]
    fn positions_lead_back_to_file_and_argument() {
        let document = set(&[("nodes.a.layer", "Gru(units: 7)")]);
        let at = |word: &str| {
            let start = document.text().find(word).unwrap();
            document.place(&(start..start + word.len())).to_string()
        };
        assert_eq!(at("nodes"), "g.ron:3:3");
        assert_eq!(at("units"), "--set nodes.a.layer:1:5");
        assert_eq!(at("Relu"), "g.ron:5:24");
        assert_eq!(at("epochs"), "g.ron:7:11");
    }

    #[test]
    fn bad_paths_and_values_are_faults() {
        let mut document = Document::new("g.ron", TEXT);
        let fault = document.set("nodes.aa.layer", "Relu()").unwrap_err();
        assert!(fault.message.contains("no `aa`"), "{fault:?}");
        assert!(fault.help.unwrap().contains("`a`"));
        assert!(document.set("train.epochs", "(((").is_err());
        assert!(document.set("train.epochs.x", "1").is_err());
        assert!(document.set("train..x", "1").is_err());
        assert_eq!(document.text(), TEXT);
    }

    #[test]
    fn parse_errors_have_their_place() {
        let document = Document::new("g.ron", "Graph(\n  a: 1\n  b: 2)");
        let fault = document.sections().unwrap_err();
        let (line, _) = document.place(&fault.span.unwrap()).line_column();
        assert_eq!(line, 3);
    }
}
