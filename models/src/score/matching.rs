//! Which candidate belongs to which references.

use std::collections::HashMap;
use std::path::Path;

use super::ScoreError;
use super::files::Described;

/// Images from one place, such as a file.
#[derive(Debug, Clone)]
pub struct Images {
    /// The place, for messages.
    pub place: String,
    /// The images.
    pub images: Vec<Described>,
}

/// For each image with references, in their order, the place of its candidate.
///
/// Images are known by what files call them, or by the file's name without folders, or by that without its ending; a form
/// that two images share names neither.
///
/// # Errors
/// When an image is on one side only, or has two candidates.
pub fn matched(candidates: &Images, references: &Images) -> Result<Vec<usize>, ScoreError> {
    let levels = [whole, file_name, stem].map(|form| (form, by_form(&references.images, form)));
    let mut candidate_of = vec![None; references.images.len()];
    let mut extra = Vec::new();
    for (at, candidate) in candidates.images.iter().enumerate() {
        let known = |(form, forms): &(Form, Forms)| {
            names(candidate).find_map(|name| forms.get(form(name)).copied().flatten())
        };
        match levels.iter().find_map(known) {
            Some(image) if candidate_of[image].is_some() => {
                let path = candidates.place.clone().into();
                return Err(ScoreError::Duplicate { path, id: candidate.id.clone() });
            }
            Some(image) => candidate_of[image] = Some(at),
            None => extra.push(candidate.id.clone()),
        }
    }
    let lacking = references.images.iter().zip(&candidate_of);
    let lacking = lacking.filter(|(_, candidate)| candidate.is_none());
    let lacking: Vec<String> = lacking.map(|(image, _)| image.id.clone()).collect();
    if !extra.is_empty() {
        return Err(unmatched(&references.place, &candidates.place, extra, lacking));
    }
    if !lacking.is_empty() {
        return Err(unmatched(&candidates.place, &references.place, lacking, Vec::new()));
    }
    Ok(candidate_of.into_iter().flatten().collect())
}

/// Images that are named in a message.
const NAMED: usize = 3;

fn unmatched(lacking: &str, having: &str, images: Vec<String>, others: Vec<String>) -> ScoreError {
    let (lacking, having, count) = (lacking.to_owned(), having.to_owned(), images.len());
    let mut names: Vec<String> = images.iter().take(NAMED).cloned().collect();
    if count > NAMED {
        names.push("..".to_owned());
    }
    ScoreError::Unmatched { lacking, having, count, names, others }
}

type Form = fn(&str) -> &str;
/// The image of each form; none for a form that several share.
type Forms = HashMap<String, Option<usize>>;

fn by_form(images: &[Described], form: Form) -> Forms {
    let mut forms = Forms::new();
    for (at, image) in images.iter().enumerate() {
        for name in names(image) {
            let image = forms.entry(form(name).to_owned()).or_insert(Some(at));
            *image = image.filter(|image| *image == at);
        }
    }
    forms
}

fn names(image: &Described) -> impl Iterator<Item = &str> {
    std::iter::once(image.id.as_str()).chain(image.file.as_deref())
}

fn whole(name: &str) -> &str {
    name
}

fn file_name(name: &str) -> &str {
    Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or(name)
}

fn stem(name: &str) -> &str {
    Path::new(name).file_stem().and_then(|name| name.to_str()).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(place: &str, ids: &[&str]) -> Images {
        let described = |id: &&str| Described {
            id: (*id).to_owned(),
            file: None,
            sentences: vec!["a".to_owned()],
        };
        Images { place: place.to_owned(), images: ids.iter().map(described).collect() }
    }

    #[test]
    fn images_match_by_path_file_name_and_stem() {
        let references = images("r", &["1.jpg", "2.jpg", "x/3.jpg"]);
        for ids in [["images/2.jpg", "3.jpg", "1"], ["2", "x/3.jpg", "a/1.png"]] {
            assert_eq!(matched(&images("c", &ids), &references).unwrap(), [2, 0, 1]);
        }
    }

    #[test]
    fn what_is_on_one_side_only_is_named() {
        let references = images("r", &["a/1.jpg", "b/1.jpg", "2.jpg"]);
        let error = matched(&images("c", &["a/1.jpg", "b/1.jpg"]), &references).unwrap_err();
        assert!(
            error.to_string().contains("c has nothing for 1 of the images of r: 2.jpg"),
            "{error}"
        );
        let error = matched(&images("c", &["1"]), &references).unwrap_err();
        assert!(error.to_string().contains("r has nothing for 1 of the images of c: 1"), "{error}");
        let error = matched(&images("c", &["2", "2.jpg"]), &references).unwrap_err();
        assert!(matches!(error, ScoreError::Duplicate { .. }), "{error}");
    }
}
