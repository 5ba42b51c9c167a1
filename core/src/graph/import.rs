//! Blocks from other files: `File("blocks/attend.ron")` becomes the text of that file.

use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ron::value::RawValue;
use serde::Deserialize;

use super::block::BLOCK;
use super::document::{Document, Piece, Source};
use super::fault::Fault;
use super::syntax::{children, fault_in, ron_options, skip_blank, title};
use super::tokens::without_end;

/// How a value begins that a file takes the place of.
pub(super) const FILE: &str = "File";

/// How many files a graph file can import, those that they import included.
const MOST_FILES: usize = 256;

/// How long an imported file can be, in bytes.
const LONGEST: u64 = 1 << 20;

#[derive(Deserialize)]
enum Import {
    File(String),
}

/// An import that is still in the text: the block's name, and the bytes of `File(..)`.
struct Site {
    name: String,
    span: Range<usize>,
}

/// What is wrong with an import: at its place, or within the file.
enum Refused {
    Here(Fault),
    Within(Piece, Fault),
}

impl Document {
    /// Puts the text of files in the place of imports. One that is refused stays, and is told among the faults.
    pub(super) fn import(&mut self) {
        let (mut from, mut count) = (0, 0);
        let mut within = Vec::new();
        while let Some(site) = self.next_import(from) {
            count += 1;
            if count > MOST_FILES {
                let message = format!("block `{}`: more than {MOST_FILES} imports", site.name);
                let help = "say once, in the graph file's own `blocks`, what many blocks use";
                self.faults.push(Fault::error(message).at(site.span).help(help));
                break;
            }
            match self.imported(&site) {
                Ok(piece) => {
                    from = site.span.start;
                    self.splice(site.span, piece);
                }
                Err(refused) => {
                    from = site.span.end;
                    let whose = format!("block `{}`", site.name);
                    match refused {
                        Refused::Here(fault) => self.faults.push(fault.of(&whose).or_at(site.span)),
                        Refused::Within(piece, fault) => within.push((piece, fault.of(&whose))),
                    }
                }
            }
        }
        for (piece, fault) in within {
            let start = self.append([piece]).start;
            let span = fault.span.clone().unwrap_or_default();
            self.faults.push(fault.at(start + span.start..start + span.end));
        }
    }

    /// The first import that begins at `from` or after it.
    fn next_import(&self, from: usize) -> Option<Site> {
        let sections = children(skip_blank(self.text()))?;
        let blocks = sections.iter().find(|section| section.name.as_deref() == Some("blocks"))?;
        self.import_among(blocks.text, from)
    }

    fn import_among(&self, blocks: &str, from: usize) -> Option<Site> {
        children(blocks)?.iter().find_map(|child| {
            let text = without_end(child.text);
            let span = self.span_of(text);
            match title(text) {
                FILE if span.start >= from => {
                    Some(Site { name: child.name.clone().unwrap_or_default(), span })
                }
                BLOCK if span.end > from => {
                    let fields = children(text)?;
                    let own =
                        fields.iter().find(|field| field.name.as_deref() == Some("blocks"))?;
                    self.import_among(own.text, from)
                }
                _ => None,
            }
        })
    }

    /// The block in the file that an import names.
    fn imported(&mut self, site: &Site) -> Result<Piece, Refused> {
        let text = &self.whole()[site.span.clone()];
        let Import::File(named) = self.parse(text).map_err(Refused::Here)?;
        let here = |message: String, help: &str| Refused::Here(Fault::error(message).help(help));
        let importer = self.origin(site.span.start).0;
        let Some(folder) = &self.sources[importer].folder else {
            return Err(here(format!("`{named}` cannot be found from a text that is no file"), ""));
        };
        let path = folder.join(&named);
        let name = path.display().to_string();
        let read = read(&path).map_err(|problem| {
            let start = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let help = format!(
                "paths begin at the folder of the file that imports, here {}",
                start.display()
            );
            here(format!("cannot import {name}: {problem}"), &help)
        })?;
        if let Some(chain) = self.importers(importer, &read.file) {
            let message = format!("{name} imports itself: {} -> {name}", chain.join(" -> "));
            return Err(here(message, "a block cannot contain itself"));
        }
        let folder = path.parent().map(Path::to_owned);
        let imported = Some((read.file, importer));
        let whole = self.source(Source { name, text: read.text, folder, imported });
        let text = &self.sources[whole.source].text;
        match block_in(text) {
            Ok(range) => Ok(Piece { range, ..whole }),
            Err(fault) => Err(Refused::Within(whole, fault)),
        }
    }

    /// The names of the files that led from `file` to this source, if it is among them.
    fn importers(&self, source: usize, file: &Path) -> Option<Vec<String>> {
        let mut chain = Vec::new();
        let mut at = source;
        loop {
            chain.insert(0, self.sources[at].name.clone());
            let (known, importer) = self.sources[at].imported.as_ref()?;
            match known == file {
                true => return Some(chain),
                false if *importer == at => return None,
                false => at = *importer,
            }
        }
    }
}

impl Fault {
    /// The same fault, at this place if it has none.
    fn or_at(mut self, span: Range<usize>) -> Self {
        self.span.get_or_insert(span);
        self
    }
}

/// A file as it is found.
struct Found {
    file: PathBuf,
    text: String,
}

/// The text of a file that is not longer than a block can be.
fn read(path: &Path) -> Result<Found, String> {
    let words = |error: std::io::Error| error.to_string();
    let file = fs::canonicalize(path).map_err(words)?;
    if !fs::metadata(&file).map_err(words)?.is_file() {
        return Err("it is no file".into());
    }
    let mut bytes = Vec::new();
    fs::File::open(&file)
        .map_err(words)?
        .take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(words)?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("it has more than {LONGEST} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "expected a text in UTF-8".to_owned())?;
    Ok(Found { file, text })
}

/// The bytes of the one block that a file's text holds.
fn block_in(text: &str) -> Result<Range<usize>, Fault> {
    if let Err(error) = ron_options().from_str::<&RawValue>(text) {
        let (fault, span) = fault_in(text, &error);
        return Err(fault.at(span).help("a file that is imported holds one Block(..)"));
    }
    let value = without_end(skip_blank(text));
    let start = value.as_ptr() as usize - text.as_ptr() as usize;
    if title(value) != BLOCK {
        let found = value.lines().next().unwrap_or_default();
        let fault = Fault::error(format!("expected Block(..), found `{found}`"));
        return Err(fault
            .at(start..start + found.len())
            .help("a file that is imported holds one Block(..)"));
    }
    Ok(start..start + value.len())
}
