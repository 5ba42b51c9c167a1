//! Captions as a table.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use super::{CaptionFile, Captioned, CaptionsError, Format};

/// Reads `picture<TAB>caption`, a line a caption; lines without anything on them are passed over.
pub(super) fn read(mut file: impl BufRead, path: &Path) -> Result<CaptionFile, CaptionsError> {
    let mut pictures: Vec<Captioned> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        let fault = |message| CaptionsError::Line { path: path.to_owned(), line, message };
        bytes.clear();
        let read = file.read_until(b'\n', &mut bytes);
        if read.map_err(|error| CaptionsError::Read { path: path.to_owned(), error })? == 0 {
            break;
        }
        let text = str::from_utf8(&bytes)
            .map_err(|e| fault(format!("byte {} is not UTF-8", e.valid_up_to() + 1)))?;
        if text.trim().is_empty() {
            continue;
        }
        let (name, caption) = picture_and_caption(text).map_err(fault)?;
        let at = *places.entry(name.to_owned()).or_insert_with(|| {
            let name = name.to_owned();
            pictures.push(Captioned { name, folder: None, part: None, captions: Vec::new() });
            pictures.len() - 1
        });
        pictures[at].captions.push(caption.to_owned());
    }
    Ok(CaptionFile { format: Format::Table, pictures, bare: 0 })
}

/// What a line says.
fn picture_and_caption(line: &str) -> Result<(&str, &str), String> {
    let Some((name, caption)) = line.split_once('\t') else {
        let shown: String = line.trim_end().chars().take(40).collect();
        return Err(format!("expected `picture<TAB>caption`, found no tab in {shown:?}"));
    };
    let name = unnumbered(name.trim());
    if name.is_empty() {
        return Err("expected a picture's file before the tab, found none".to_owned());
    }
    Ok((name, caption.trim()))
}

/// The name without the number of the caption that Flickr8k puts behind it, `#0`.
fn unnumbered(name: &str) -> &str {
    match name.rsplit_once('#') {
        Some((name, number))
            if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) =>
        {
            name
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &[u8]) -> Result<CaptionFile, CaptionsError> {
        read(text, Path::new("c.txt"))
    }

    #[test]
    fn lines_of_one_picture_come_together() {
        let text = "b.jpg#0\tA dog .\r\n\na.jpg\tone\ttwo\nb.jpg#1\t\nc#d.jpg\tx";
        let found = table(text.as_bytes()).unwrap();
        let shown: Vec<_> = found.pictures.iter().map(|p| (p.name.as_str(), &p.captions)).collect();
        let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let (b, a, c) = (texts(&["A dog .", ""]), texts(&["one\ttwo"]), texts(&["x"]));
        assert_eq!(shown, [("b.jpg", &b), ("a.jpg", &a), ("c#d.jpg", &c)]);
    }

    #[test]
    fn faults_name_the_line() {
        for (text, expected) in [
            (
                &b"a.jpg\tx\nb.jpg, a dog\n"[..],
                "line 2: expected `picture<TAB>caption`, found no tab",
            ),
            (b"\tx\n", "line 1: expected a picture's file before the tab"),
            (b"#3\tx\n", "line 1: expected a picture's file before the tab"),
            (b"a.jpg\tx\n\na.jpg\t\xff\n", "line 3: byte 7 is not UTF-8"),
        ] {
            let message = table(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}\nshould contain\n{expected}");
        }
    }
}
