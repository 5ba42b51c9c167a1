//! Pictures as the course's `image_utils.py` hands them to networks and takes them back.
//!
//! ```text
//! preprocess(p)   = float(p) - mean           [height, width, 3] -> [1, 3, height, width]
//! deprocess(x)    = byte(x + mean)            [1, 3, height, width] -> [height, width, 3]
//! ```
//!
//! (CS231n, `cs231n/image_utils.py`: `preprocess_image` and `deprocess_image`.)

use std::borrow::Cow;

use ndarray::{Array3, Array4, ArrayView3, ArrayView4, Axis, CowArray, Ix3};
use thiserror::Error;

/// The mean of ImageNet's channels, red, green, blue, of bytes divided by 255; for [`Preprocess`](super::Preprocess) with
/// `scale: 1/255`.
pub const SQUEEZENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];

/// The standard deviation of ImageNet's channels, as [`SQUEEZENET_MEAN`].
pub const SQUEEZENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// What is subtracted from every picture.
#[derive(Debug, Clone, Copy)]
pub enum Mean<'a> {
    /// This mean picture, `[3, height, width]`.
    Image(ArrayView3<'a, f32>),
    /// The mean colour of a mean picture, `[3, any height, any width]`.
    Pixel(ArrayView3<'a, f32>),
    /// Nothing.
    None,
}

/// Arrays that do not fit. [`help`](Self::help) says what to try.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The picture has another shape than a picture.
    #[error("the picture has the shape {found:?}, expected {expected}")]
    Picture {
        /// Its shape.
        found: Vec<usize>,
        /// What was expected.
        expected: &'static str,
    },
    /// The mean is not of such pictures.
    #[error("the mean has the shape {found:?}, expected {expected}")]
    Mean {
        /// Its shape.
        found: Vec<usize>,
        /// What was expected.
        expected: String,
    },
}

impl ShapeError {
    /// What to try.
    pub fn help(&self) -> &'static str {
        match self {
            ShapeError::Picture { .. } => "bring the picture's axes into this order",
            ShapeError::Mean { .. } => {
                "take the mean of pictures of this size, or its colour alone with `Mean::Pixel`"
            }
        }
    }
}

/// `[height, width, 3]` bytes as `[1, 3, height, width]`, less the mean.
///
/// # Errors
/// When the picture does not have three channels and a pixel, or the mean is not of pictures of its size.
pub fn preprocess(picture: ArrayView3<'_, u8>, mean: Mean<'_>) -> Result<Array4<f32>, ShapeError> {
    let (height, width, channels) = picture.dim();
    if channels != 3 || picture.is_empty() {
        let found = picture.shape().to_vec();
        return Err(ShapeError::Picture { found, expected: "[height, width, 3]" });
    }
    let mut planes = picture.permuted_axes([2, 0, 1]).as_standard_layout().mapv(f32::from);
    if let Some(mean) = mean.fitting(height, width)? {
        planes -= &mean;
    }
    Ok(planes.insert_axis(Axis(0)))
}

/// `[1, 3, height, width]` with the mean added, as `[height, width, 3]` bytes; of several pictures the first.
///
/// With `renorm` the smallest number becomes 0 and the largest 255: `255 (x - min) / (max - min)`. Numbers lose what is behind
/// their point. Below 0 they become 0 and above 255 they become 255; NumPy leaves open what they become.
///
/// # Errors
/// When there is no picture of three channels, or the mean is not of pictures of its size.
pub fn deprocess(
    array: ArrayView4<'_, f32>,
    mean: Mean<'_>,
    renorm: bool,
) -> Result<Array3<u8>, ShapeError> {
    let (_, channels, height, width) = array.dim();
    if channels != 3 || array.is_empty() {
        let found = array.shape().to_vec();
        return Err(ShapeError::Picture { found, expected: "[1, 3, height, width]" });
    }
    let mut planes = array.index_axis(Axis(0), 0).to_owned();
    if let Some(mean) = mean.fitting(height, width)? {
        planes += &mean;
    }
    if renorm {
        let low = planes.iter().copied().fold(f32::INFINITY, f32::min);
        let high = planes.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        planes.mapv_inplace(|x| 255.0 * (x - low) / (high - low));
    }
    Ok(planes.permuted_axes([1, 2, 0]).as_standard_layout().mapv(|x| x as u8))
}

impl<'a> Mean<'a> {
    /// What is subtracted from a picture of this size: `[3, height, width]`, or `[3, 1, 1]` for every pixel alike.
    fn fitting(
        self,
        height: usize,
        width: usize,
    ) -> Result<Option<CowArray<'a, f32, Ix3>>, ShapeError> {
        let wrong = |found: &[usize], expected: Cow<'_, str>| ShapeError::Mean {
            found: found.to_vec(),
            expected: expected.into_owned(),
        };
        match self {
            Mean::Image(mean) if mean.dim() == (3, height, width) => Ok(Some(mean.into())),
            Mean::Image(mean) => Err(wrong(mean.shape(), format!("[3, {height}, {width}]").into())),
            Mean::Pixel(mean) if mean.dim().0 != 3 || mean.is_empty() => {
                Err(wrong(mean.shape(), "[3, height, width]".into()))
            }
            Mean::Pixel(mean) => {
                let pixels = mean.len() / 3;
                let colour = |plane: ArrayView3<'_, f32>| {
                    (plane.iter().map(|x| f64::from(*x)).sum::<f64>() / pixels as f64) as f32
                };
                let colours = mean.axis_chunks_iter(Axis(0), 1).map(colour).collect::<Vec<_>>();
                let colours = Array3::from_shape_fn((3, 1, 1), |(channel, _, _)| colours[channel]);
                Ok(Some(colours.into()))
            }
            Mean::None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `np.arange(24).reshape(2, 4, 3) * 10`, `np.arange(24).reshape(3, 2, 4) / 2`.
    fn example() -> (Array3<u8>, Array3<f32>) {
        let picture =
            Array3::from_shape_fn((2, 4, 3), |(y, x, c)| (10 * (12 * y + 3 * x + c)) as u8);
        let mean = Array3::from_shape_fn((3, 2, 4), |(c, y, x)| (8 * c + 4 * y + x) as f32 / 2.0);
        (picture, mean)
    }

    #[test]
    fn arrays_are_those_of_numpy() {
        let (picture, mean) = example();
        let image = preprocess(picture.view(), Mean::Image(mean.view())).unwrap();
        let pixel = preprocess(picture.view(), Mean::Pixel(mean.view())).unwrap();
        let none = preprocess(picture.view(), Mean::None).unwrap();
        assert_eq!(image.dim(), (1, 3, 2, 4));
        for ((_, c, y, x), found) in none.indexed_iter() {
            assert_eq!(*found, f32::from(picture[[y, x, c]]));
            assert_eq!(image[[0, c, y, x]], found - mean[[c, y, x]]);
            // mean_img.mean(axis=(1, 2)) is [1.75, 5.75, 9.75].
            assert_eq!(pixel[[0, c, y, x]], found - (1.75 + 4.0 * c as f32));
        }
    }

    #[test]
    fn what_was_prepared_comes_back() {
        let (picture, mean) = example();
        for mean in [Mean::Image(mean.view()), Mean::Pixel(mean.view()), Mean::None] {
            let array = preprocess(picture.view(), mean).unwrap();
            assert_eq!(deprocess(array.view(), mean, false).unwrap(), picture);
        }
    }

    #[test]
    fn numbers_are_stretched_to_bytes_and_cut() {
        let array = Array4::from_shape_vec((1, 3, 1, 2), vec![-1.0, 0.0, 1.0, 2.0, 2.9, 3.0]);
        let array = array.unwrap();
        // (255.0 * (img + 1) / 4).astype(np.uint8), transposed.
        let stretched = deprocess(array.view(), Mean::None, true).unwrap();
        assert_eq!(stretched.into_raw_vec_and_offset().0, [0, 127, 248, 63, 191, 255]);
        let cut = deprocess(array.view(), Mean::None, false).unwrap();
        assert_eq!(cut.iter().copied().collect::<Vec<_>>(), [0, 1, 2, 0, 2, 3]);
        let plain = deprocess(Array4::zeros((2, 3, 1, 1)).view(), Mean::None, true).unwrap();
        assert_eq!(plain, Array3::<u8>::zeros((1, 1, 3)));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (picture, mean) = example();
        let flat = picture.view().permuted_axes([2, 0, 1]);
        let error = preprocess(flat, Mean::None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the picture has the shape [3, 2, 4], expected [height, width, 3]"
        );
        let turned = mean.view().permuted_axes([0, 2, 1]);
        let error = preprocess(picture.view(), Mean::Image(turned)).unwrap_err();
        assert_eq!(error.to_string(), "the mean has the shape [3, 4, 2], expected [3, 2, 4]");
        assert!(error.help().contains("Mean::Pixel"));
        let nothing = Array3::zeros((3, 0, 4));
        assert!(preprocess(picture.view(), Mean::Pixel(nothing.view())).is_err());
        assert!(deprocess(Array4::zeros((0, 3, 1, 1)).view(), Mean::None, true).is_err());
    }
}
