//! Captions in JSON: COCO's annotations and Karpathy's `dataset.json`.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};

use super::{CaptionFile, Captioned, CaptionsError, Format, Part};

/// What either format has at the top. Everything else is passed over as it is read and takes no memory.
#[derive(Deserialize)]
#[serde(expecting = "an object with `images`")]
struct Document {
    images: Option<Vec<Image>>,
    annotations: Option<Vec<Annotation>>,
}

/// An image of either format.
#[derive(Deserialize)]
struct Image {
    id: Option<Id>,
    file_name: Option<String>,
    filename: Option<String>,
    filepath: Option<String>,
    split: Option<String>,
    sentences: Option<Vec<Sentence>>,
}

#[derive(Deserialize)]
struct Sentence {
    tokens: Option<Vec<String>>,
    raw: Option<String>,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: Option<Id>,
    caption: Option<String>,
}

/// The number of an image, which some files write as a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Id(String);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a text")
            }

            fn visit_u64<E: serde::de::Error>(self, id: u64) -> Result<Id, E> {
                Ok(Id(id.to_string()))
            }

            fn visit_i64<E: serde::de::Error>(self, id: i64) -> Result<Id, E> {
                Ok(Id(id.to_string()))
            }

            fn visit_f64<E: serde::de::Error>(self, id: f64) -> Result<Id, E> {
                // Some tools write every number with a point.
                match id.fract() == 0.0 && id.abs() < 1e15 {
                    true => Ok(Id((id as i64).to_string())),
                    false => Err(E::custom(format!("expected a whole number, found {id}"))),
                }
            }

            fn visit_str<E: serde::de::Error>(self, id: &str) -> Result<Id, E> {
                Ok(Id(id.to_owned()))
            }
        }
        deserializer.deserialize_any(Either).map_err(D::Error::custom)
    }
}

/// Reads either format.
pub(super) fn read(file: impl Read, path: &Path) -> Result<CaptionFile, CaptionsError> {
    let document: Document = serde_json::from_reader(file).map_err(|e| refused(path, &e))?;
    let other =
        |message: &str| CaptionsError::Other { path: path.to_owned(), message: message.to_owned() };
    let images = document.images.ok_or_else(|| other("has no list `images`"))?;
    match document.annotations {
        Some(annotations) => coco(images, annotations, path),
        None if images.iter().any(|image| image.sentences.is_some()) => karpathy(images, path),
        None => Err(other(
            "has neither `annotations`, as COCO's files, nor `sentences` in its `images`, as Karpathy's",
        )),
    }
}

fn refused(path: &Path, error: &serde_json::Error) -> CaptionsError {
    if let Some(kind) = error.io_error_kind() {
        return CaptionsError::Read { path: path.to_owned(), error: kind.into() };
    }
    // serde_json repeats the position at the end of its message.
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    let (line, column) = (error.line(), error.column());
    CaptionsError::Json { path: path.to_owned(), line, column, message }
}

fn entry(path: &Path, list: &'static str, index: usize, message: String) -> CaptionsError {
    CaptionsError::Entry { path: path.to_owned(), list, index, message }
}

fn coco(
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    path: &Path,
) -> Result<CaptionFile, CaptionsError> {
    let mut pictures = Vec::with_capacity(images.len());
    let mut places: HashMap<Id, usize> = HashMap::with_capacity(images.len());
    for (index, image) in images.into_iter().enumerate() {
        let fault = |message| entry(path, "images", index, message);
        let id = image.id.ok_or_else(|| fault("expected an `id`, found none".into()))?;
        let name = image.file_name.or(image.filename);
        let name = name.ok_or_else(|| fault("expected a `file_name`, found none".into()))?;
        if let Some(first) = places.insert(id.clone(), index) {
            return Err(fault(format!("`id` {id} is that of images[{first}] too")));
        }
        pictures.push(Captioned { name, folder: None, part: None, captions: Vec::new() });
    }
    for (index, annotation) in annotations.into_iter().enumerate() {
        let fault = |message| entry(path, "annotations", index, message);
        let id = annotation
            .image_id
            .ok_or_else(|| fault("expected an `image_id`, found none".into()))?;
        let caption = annotation.caption.ok_or_else(|| {
            fault(
                "expected a `caption`, found none: is this a file of COCO's other annotations?"
                    .into(),
            )
        })?;
        let at = places.get(&id);
        let at =
            *at.ok_or_else(|| fault(format!("`image_id` {id} is that of none of the `images`")))?;
        pictures[at].captions.push(caption);
    }
    gathered(Format::Coco, pictures, path)
}

fn karpathy(images: Vec<Image>, path: &Path) -> Result<CaptionFile, CaptionsError> {
    let mut pictures = Vec::with_capacity(images.len());
    let divided = images.iter().any(|image| image.split.is_some());
    for (index, image) in images.into_iter().enumerate() {
        let fault = |message| entry(path, "images", index, message);
        let name = image.filename.or(image.file_name);
        let name = name.ok_or_else(|| fault("expected a `filename`, found none".into()))?;
        let part = match image.split.as_deref() {
            Some("train" | "restval") => Some(Part::Train),
            Some("val") => Some(Part::Val),
            Some("test") => Some(Part::Test),
            Some(split) => {
                let message =
                    format!("expected the `split` train, restval, val or test, found {split:?}");
                return Err(fault(message));
            }
            None if divided => {
                return Err(fault("expected a `split`, as others have, found none".into()));
            }
            None => None,
        };
        let mut captions = Vec::new();
        for sentence in image.sentences.into_iter().flatten() {
            let caption = sentence.tokens.map(|tokens| tokens.join(" ")).or(sentence.raw);
            captions.push(caption.ok_or_else(|| {
                fault("expected `tokens` or `raw` in each of its `sentences`, found neither".into())
            })?);
        }
        let folder = image.filepath.filter(|folder| !folder.is_empty());
        pictures.push(Captioned { name, folder, part, captions });
    }
    gathered(Format::Karpathy, pictures, path)
}

/// The pictures with captions, each of a name of its own.
fn gathered(
    format: Format,
    mut pictures: Vec<Captioned>,
    path: &Path,
) -> Result<CaptionFile, CaptionsError> {
    let mut names: HashMap<&str, usize> = HashMap::with_capacity(pictures.len());
    for (index, picture) in pictures.iter().enumerate() {
        if let Some(first) = names.insert(&picture.name, index) {
            let message = format!("the picture `{}` is that of images[{first}] too", picture.name);
            return Err(entry(path, "images", index, message));
        }
    }
    let all = pictures.len();
    pictures.retain(|picture| !picture.captions.is_empty());
    Ok(CaptionFile { format, bare: all - pictures.len(), pictures })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<CaptionFile, CaptionsError> {
        read(text.as_bytes(), Path::new("c.json"))
    }

    #[test]
    fn annotations_go_to_their_images() {
        let found = json(
            r#"{"info": {"year": 2014}, "licenses": [], "images": [
                {"id": 9, "file_name": "b.jpg", "height": 4}, {"id": "x", "file_name": "a.jpg"}, {"id": 3, "file_name": "c.jpg"}],
               "annotations": [{"image_id": "x", "id": 1, "caption": "two"}, {"image_id": 9.0, "caption": "one"},
                {"image_id": 9, "caption": ""}]}"#,
        )
        .unwrap();
        assert_eq!((found.format, found.bare), (Format::Coco, 1));
        let shown: Vec<_> =
            found.pictures.iter().map(|p| (p.name.as_str(), p.captions.join("|"))).collect();
        assert_eq!(shown, [("b.jpg", "one|".to_owned()), ("a.jpg", "two".to_owned())]);
    }

    #[test]
    fn karpathys_splits_and_tokens_are_kept() {
        let found = json(
            r#"{"dataset": "coco", "images": [
                {"filepath": "val2014", "filename": "a.jpg", "split": "restval", "imgid": 0, "sentids": [1],
                 "sentences": [{"tokens": ["a", "dog"], "raw": "A dog.", "imgid": 0}, {"raw": "Raw."}]},
                {"filename": "b.jpg", "split": "test", "sentences": [{"tokens": []}]},
                {"filename": "c.jpg", "split": "val", "sentences": []}]}"#,
        )
        .unwrap();
        assert_eq!((found.format, found.bare, found.pictures.len()), (Format::Karpathy, 1, 2));
        let first = &found.pictures[0];
        assert_eq!((first.part, first.folder.as_deref()), (Some(Part::Train), Some("val2014")));
        assert_eq!(first.captions, ["a dog", "Raw."]);
        assert_eq!(found.pictures[1].part, Some(Part::Test));
    }

    #[test]
    fn faults_name_the_entry() {
        for (text, expected) in [
            ("{\n\"images\": [", "line 2, column 11: EOF while parsing a list"),
            ("{\"images\": 3}", "invalid type: integer `3`"),
            ("{}", "has no list `images`"),
            (r#"{"images": []}"#, "has neither `annotations`"),
            (
                r#"{"images": [{"file_name": "a"}], "annotations": []}"#,
                "images[0]: expected an `id`",
            ),
            (r#"{"images": [{"id": 1}], "annotations": []}"#, "images[0]: expected a `file_name`"),
            (
                r#"{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], "annotations": []}"#,
                "images[1]: `id` 1 is that of images[0] too",
            ),
            (
                r#"{"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "a"}], "annotations": []}"#,
                "images[1]: the picture `a` is that of images[0] too",
            ),
            (
                r#"{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 4, "caption": "x"}]}"#,
                "annotations[0]: `image_id` 4 is that of none of the `images`",
            ),
            (
                r#"{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "bbox": []}]}"#,
                "annotations[0]: expected a `caption`, found none",
            ),
            (
                r#"{"images": [{"id": 1.5, "file_name": "a"}], "annotations": []}"#,
                "expected a whole number, found 1.5",
            ),
            (
                r#"{"images": [{"filename": "a", "split": "dev", "sentences": []}]}"#,
                "images[0]: expected the `split` train, restval, val or test, found \"dev\"",
            ),
            (
                r#"{"images": [{"filename": "a", "split": "val", "sentences": []}, {"filename": "b", "sentences": []}]}"#,
                "images[1]: expected a `split`, as others have",
            ),
            (
                r#"{"images": [{"filename": "a", "sentences": [{"imgid": 1}]}]}"#,
                "images[0]: expected `tokens` or `raw`",
            ),
        ] {
            let message = json(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}\nshould contain\n{expected}");
        }
    }
}
