//! Which part of a picture a network reads.

use engine_datasets::picture::{Picture, Preprocess};
use serde::Serialize;

use super::reading::Unread;

/// A part of a picture, in shares of its width and height.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct VisibleRegion {
    /// From the picture's left edge.
    pub left: f64,
    /// From its top.
    pub top: f64,
    /// Of the picture's width.
    pub width: f64,
    /// Of its height.
    pub height: f64,
}

/// The part of a picture that is left of it when it has been resized and cropped.
pub fn visible_region(preprocess: &Preprocess, picture: &Picture) -> VisibleRegion {
    let whole = Preprocess { crop: None, ..preprocess.clone() };
    let (height, width) = whole.size(picture);
    let (cropped_height, cropped_width) = preprocess.crop.unwrap_or((height, width));
    let share = |part: usize, all: usize| (part as f64 / all.max(1) as f64).min(1.0);
    let (height, width) = (share(cropped_height, height), share(cropped_width, width));
    VisibleRegion { left: (1.0 - width) / 2.0, top: (1.0 - height) / 2.0, width, height }
}

/// The most pixels that a picture is resized to: a network's memory grows with them.
const MOST_RESIZED: usize = 4_000_000;

/// The picture as an encoder resizes it, where that is smaller, so that it takes little memory while it waits. Resizing it
/// again changes nothing.
///
/// # Errors
/// When its proportions would make it too large.
pub fn reduced(preprocess: &Preprocess, picture: Picture) -> Result<Picture, Unread> {
    let pixels = |(height, width): (usize, usize)| height.saturating_mul(width);
    let read = preprocess.size(&picture);
    if pixels(read) > MOST_RESIZED {
        let (width, height) = (picture.width(), picture.height());
        return Err(Unread {
            kind: "proportions",
            message: format!(
                "the picture is {width} x {height} pixels, and would be read as {} x {}",
                read.1, read.0
            ),
            help: "cut a piece out of it whose sides are of about the same length".into(),
            is_elsewhere: false,
        });
    }
    let (height, width) = Preprocess { crop: None, ..preprocess.clone() }.size(&picture);
    if pixels((height, width)) < pixels((picture.height(), picture.width())) {
        return Ok(picture.resize(height, width, preprocess.filter));
    }
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use engine_datasets::picture::Resize;

    use super::*;

    fn picture(width: usize, height: usize) -> Picture {
        Picture::new(width, height, vec![0; 3 * width * height])
    }

    #[test]
    fn what_is_cropped_away_is_not_seen() {
        let whole = Preprocess { resize: Resize::Exact(224, 224), ..Preprocess::default() };
        let all = VisibleRegion { left: 0.0, top: 0.0, width: 1.0, height: 1.0 };
        assert_eq!(visible_region(&whole, &picture(500, 375)), all);
        let square =
            Preprocess { resize: Resize::Shorter(100), crop: Some((100, 100)), ..whole.clone() };
        let found = visible_region(&square, &picture(400, 200));
        assert_eq!((found.left, found.top, found.width, found.height), (0.25, 0.0, 0.5, 1.0));
        let centre = Preprocess { resize: Resize::Exact(200, 100), crop: Some((100, 50)), ..whole };
        let found = visible_region(&centre, &picture(7, 9));
        assert_eq!((found.left, found.top, found.width, found.height), (0.25, 0.25, 0.5, 0.5));
    }

    #[test]
    fn what_is_reduced_is_read_as_the_whole_is() {
        let rgb = (0..3 * 90 * 60).map(|at| (at * 7919 % 251) as u8).collect();
        let whole = Picture::new(90, 60, rgb);
        for (resize, crop) in [
            (Resize::Exact(20, 30), None),
            (Resize::Exact(20, 30), Some((10, 11))),
            (Resize::Shorter(25), None),
            (Resize::Shorter(25), Some((20, 20))),
            (Resize::Exact(200, 100), Some((10, 11))),
        ] {
            let preprocess = Preprocess { resize, crop, ..Preprocess::default() };
            let reduced = reduced(&preprocess, whole.clone()).unwrap();
            assert!(reduced.rgb().len() <= whole.rgb().len());
            let read = |picture: &Picture| {
                let (height, width) = preprocess.size(picture);
                let mut array = vec![0.0; 3 * height * width];
                preprocess.write(picture, &mut array);
                array
            };
            assert_eq!(read(&reduced), read(&whole), "{preprocess:?}");
        }
    }

    #[test]
    fn a_line_is_no_picture() {
        let line = picture(40_000, 1);
        let shorter = Preprocess { resize: Resize::Shorter(224), ..Preprocess::default() };
        let refused = reduced(&shorter, line.clone()).unwrap_err();
        assert!(refused.message.contains("40000 x 1 pixels"), "{refused}");
        let cropped = Preprocess { crop: Some((224, 224)), ..shorter };
        assert_eq!(reduced(&cropped, line.clone()).unwrap(), line);
    }
}
