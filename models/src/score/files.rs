//! Captions and references in JSON files.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::ScoreError;

/// An image and sentences about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// What the file calls it: `42`, `images/42.jpg`.
    pub id: String,
    /// Its file, where the file has both a number and a name for it.
    pub file: Option<String>,
    /// The sentences, at least one.
    pub sentences: Vec<String>,
}

/// Reads candidates: one sentence an image.
///
/// The file is COCO's list of results, `[{"image_id": 1, "caption": ".."}]`, or `{"image": "caption"}`, or
/// `{"image": ["caption"]}`.
///
/// # Errors
/// When the file cannot be read or holds something else, and when an image comes twice or with several captions.
pub fn captions(path: &Path) -> Result<Vec<Described>, ScoreError> {
    let images = match parse::<Document>(path)? {
        Document::List(entries) => results(path, entries)?,
        Document::Map(entries) => sentences_of(path, entries)?,
    };
    unique(path, &images)?;
    match images.iter().find(|image| image.sentences.len() != 1) {
        None => Ok(images),
        Some(image) => Err(ScoreError::Several {
            path: path.to_owned(),
            id: image.id.clone(),
            count: image.sentences.len(),
        }),
    }
}

/// Reads references: some sentences an image.
///
/// The file is `{"image": ["caption", ..]}` or COCO's `{"images": [..], "annotations": [{"image_id": 1, "caption": ".."}]}`.
/// A folder has one such file.
///
/// # Errors
/// When the file cannot be read or holds something else, and when an image comes twice or without a sentence.
pub fn references(path: &Path) -> Result<Vec<Described>, ScoreError> {
    if path.is_dir() {
        return references(&only_file(path)?);
    }
    let shape = |place: &str, expected, value: &Value| shape(path, place, expected, value);
    let images = match parse::<Document>(path)? {
        Document::List(_) => {
            return Err(shape("the file", "an object of references", &Value::Array(Vec::new())));
        }
        Document::Map(entries) => match entries.iter().find(|(key, _)| key == "annotations") {
            Some((_, Value::Array(annotations))) if annotations.iter().all(Value::is_object) => {
                let images = entries.iter().find(|(key, _)| key == "images");
                annotated(path, annotations, images.map(|(_, images)| images))?
            }
            _ => sentences_of(path, entries)?,
        },
    };
    unique(path, &images)?;
    let place = || path.display().to_string();
    if images.is_empty() {
        return Err(ScoreError::Empty { place: place() });
    }
    match images.iter().find(|image| image.sentences.is_empty()) {
        Some(image) => Err(ScoreError::NoReferences { place: place(), image: image.id.clone() }),
        None => Ok(images),
    }
}

/// The one JSON file of a folder.
fn only_file(dir: &Path) -> Result<PathBuf, ScoreError> {
    let entries =
        fs::read_dir(dir).map_err(|error| ScoreError::Read { path: dir.to_owned(), error })?;
    let is_json = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(is_json).collect();
    files.sort();
    let names = |files: &[PathBuf]| match files {
        [] => "neither".to_owned(),
        several => format!("{} JSON files", several.len()),
    };
    match <[PathBuf; 1]>::try_from(files) {
        Ok([file]) => Ok(file),
        Err(files) => {
            Err(ScoreError::NoReferenceFile { path: dir.to_owned(), found: names(&files) })
        }
    }
}

/// A JSON file whose object keeps its order, and keys that come twice.
enum Document {
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Document::Map(entries))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Document, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        Ok(Document::List(entries))
    }
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, ScoreError> {
    let bytes =
        fs::read(path).map_err(|error| ScoreError::Read { path: path.to_owned(), error })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        // serde_json repeats the position at the end of its message.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        let (line, column) = (error.line(), error.column());
        ScoreError::Json { path: path.to_owned(), line, column, message }
    })
}

fn results(path: &Path, entries: Vec<Value>) -> Result<Vec<Described>, ScoreError> {
    let result = |(number, entry): (usize, &Value)| {
        let (id, caption) = result(path, number, entry)?;
        Ok(Described { id, file: None, sentences: vec![caption] })
    };
    (1..).zip(&entries).map(result).collect()
}

/// `{"image_id": .., "caption": ".."}`.
fn result(path: &Path, number: usize, entry: &Value) -> Result<(String, String), ScoreError> {
    let place = |field: &str| format!("entry {number}{field}");
    let expected = "an object with `image_id` and `caption`";
    let object = entry.as_object().ok_or_else(|| shape(path, &place(""), expected, entry))?;
    let field = |name: &str| object.get(name).unwrap_or(&Value::Null);
    let (id, caption) = (field("image_id"), field("caption"));
    let id = identifier(id)
        .ok_or_else(|| shape(path, &place(", `image_id`"), "a whole number or a text", id))?;
    let caption =
        caption.as_str().ok_or_else(|| shape(path, &place(", `caption`"), "a text", caption))?;
    Ok((id, caption.to_owned()))
}

fn identifier(value: &Value) -> Option<String> {
    match value {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) if id.is_u64() || id.is_i64() => Some(id.to_string()),
        _ => None,
    }
}

fn sentences_of(path: &Path, entries: Vec<(String, Value)>) -> Result<Vec<Described>, ScoreError> {
    let sentences = |(id, value): (String, Value)| {
        let texts = match &value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(list) => {
                list.iter().map(|text| text.as_str().map(str::to_owned)).collect()
            }
            _ => None,
        };
        let place = format!("image `{id}`");
        let sentences =
            texts.ok_or_else(|| shape(path, &place, "a text or a list of texts", &value))?;
        Ok(Described { id, file: None, sentences })
    };
    entries.into_iter().map(sentences).collect()
}

/// COCO's annotations; images are in the order of `images`, or else of their first annotation.
fn annotated(
    path: &Path,
    annotations: &[Value],
    images: Option<&Value>,
) -> Result<Vec<Described>, ScoreError> {
    let mut described = Vec::new();
    for (number, image) in (1..).zip(images.and_then(Value::as_array).into_iter().flatten()) {
        let id = image.get("id").and_then(identifier);
        let place = || format!("image {number}");
        let id = id.ok_or_else(|| shape(path, &place(), "an object with `id`", image))?;
        let file = image.get("file_name").and_then(Value::as_str).map(str::to_owned);
        described.push(Described { id, file, sentences: Vec::new() });
    }
    unique(path, &described)?;
    let mut at: std::collections::HashMap<String, usize> =
        described.iter().enumerate().map(|(at, image)| (image.id.clone(), at)).collect();
    for (number, annotation) in (1..).zip(annotations) {
        let (id, caption) = result(path, number, annotation)?;
        let at = *at.entry(id).or_insert_with_key(|id| {
            described.push(Described { id: id.clone(), file: None, sentences: Vec::new() });
            described.len() - 1
        });
        described[at].sentences.push(caption);
    }
    Ok(described)
}

fn unique(path: &Path, images: &[Described]) -> Result<(), ScoreError> {
    let mut seen = HashSet::new();
    match images.iter().find(|image| !seen.insert(&image.id)) {
        None => Ok(()),
        Some(image) => Err(ScoreError::Duplicate { path: path.to_owned(), id: image.id.clone() }),
    }
}

fn shape(path: &Path, place: &str, expected: &'static str, value: &Value) -> ScoreError {
    let found = match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) => "true or false".to_owned(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    ScoreError::Shape { path: path.to_owned(), place: place.to_owned(), expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    fn ids(images: &[Described]) -> Vec<&str> {
        images.iter().map(|image| image.id.as_str()).collect()
    }

    #[test]
    fn captions_come_in_three_forms() {
        for text in [
            r#"[{"image_id": 7, "caption": "a"}, {"image_id": "x", "caption": "b"}]"#,
            r#"{"7": "a", "x": "b"}"#,
            r#"{"7": ["a"], "x": ["b"]}"#,
        ] {
            let images = captions(file(text).path()).unwrap();
            assert_eq!(ids(&images), ["7", "x"], "{text}");
            assert_eq!(images[1].sentences, ["b"]);
        }
    }

    #[test]
    fn references_come_in_two_forms() {
        let coco = r#"{"images": [{"id": 7, "file_name": "7.jpg"}],
            "annotations": [{"image_id": 7, "caption": "a"}, {"image_id": 7, "caption": "b"}]}"#;
        let images = references(file(coco).path()).unwrap();
        let sentences = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(images, [Described { id: "7".into(), file: Some("7.jpg".into()), sentences }]);
        let images = references(file(r#"{"b": ["x"], "a": ["y", "z"]}"#).path()).unwrap();
        assert_eq!(ids(&images), ["b", "a"]);
    }
}
