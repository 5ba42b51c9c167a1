//! Features of mean 0 and standard deviation 1, and the record of how they became so.

use std::fs;
use std::path::Path;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::features::{WIDTH, features};
use crate::DataError;

/// A number that varies less than this over the training set says nothing: it is centred and left as small as it is.
const LEAST_DEVIATION: f64 = 1e-3;

/// The mean and the standard deviation of each number over the training pictures, by which every picture is described.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standard {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Standard {
    /// The file in a data set's folder.
    pub const FILE: &'static str = "features.json";

    /// The standard of these rows of `width` numbers.
    pub fn of(rows: &[f32], width: usize) -> Self {
        // In double precision and in order, so that the sums do not depend on the number of threads.
        let count = (rows.len() / width.max(1)).max(1) as f64;
        let mut sums = vec![(0.0f64, 0.0f64); width];
        for row in rows.chunks_exact(width.max(1)) {
            for ((sum, squares), value) in sums.iter_mut().zip(row) {
                *sum += f64::from(*value);
                *squares += f64::from(*value).powi(2);
            }
        }
        let moments = sums.iter().map(|(sum, squares)| {
            let mean = sum / count;
            let deviation = (squares / count - mean * mean).max(0.0).sqrt();
            let scale = if deviation < LEAST_DEVIATION { 1.0 } else { deviation };
            (mean as f32, scale as f32)
        });
        let (mean, deviation) = moments.unzip();
        Standard { mean, deviation }
    }

    /// Brings rows of numbers to the standard.
    pub fn apply(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.mean.len().max(1)) {
            for ((value, mean), deviation) in row.iter_mut().zip(&self.mean).zip(&self.deviation) {
                *value = (*value - mean) / deviation;
            }
        }
    }

    /// The numbers by which a network that was trained on the data set knows this picture.
    pub fn describe(&self, picture: &RgbImage) -> Vec<f32> {
        let mut numbers = features(picture);
        self.apply(&mut numbers);
        numbers
    }

    /// The same for a PNG file.
    ///
    /// # Errors
    /// Where the file cannot be read as a picture.
    pub fn describe_file(&self, path: &Path) -> Result<Vec<f32>, DataError> {
        let picture = image::open(path).map_err(|e| DataError::Picture {
            action: "read",
            path: path.to_owned(),
            message: e.to_string(),
        })?;
        Ok(self.describe(&picture.to_rgb8()))
    }

    /// Reads the record from a data set's folder.
    ///
    /// # Errors
    /// Where it is missing, damaged, or made for other features than these.
    pub fn read(dir: &Path) -> Result<Self, DataError> {
        let path = dir.join(Self::FILE);
        let text = fs::read(&path).map_err(|e| DataError::io("read", &path, e))?;
        let standard: Self =
            serde_json::from_slice(&text).map_err(|e| DataError::json(&path, &e))?;
        for (name, values) in [("mean", &standard.mean), ("deviation", &standard.deviation)] {
            if values.len() != WIDTH {
                let message =
                    format!("`{name}` has {} numbers, and a picture {WIDTH}", values.len());
                return Err(DataError::Foreign { path, message });
            }
        }
        Ok(standard)
    }

    pub(crate) fn write(&self, dir: &Path) -> Result<(), DataError> {
        let path = dir.join(Self::FILE);
        let text = serde_json::to_vec(self)
            .map_err(|e| DataError::io("write", &path, std::io::Error::other(e)))?;
        fs::write(&path, text).map_err(|e| DataError::io("write", &path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::super::draw::draw;
    use super::super::scene::tests::scene;
    use super::*;

    #[test]
    fn rows_come_to_mean_0_and_deviation_1() {
        let mut rows: Vec<f32> = (0..500).flat_map(|i| features(&draw(&scene(i)))).collect();
        let standard = Standard::of(&rows, WIDTH);
        standard.apply(&mut rows);
        for column in 0..WIDTH {
            let values = || rows.iter().skip(column).step_by(WIDTH).map(|v| f64::from(*v));
            let mean = values().sum::<f64>() / 500.0;
            let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / 500.0;
            assert!(mean.abs() < 1e-4, "column {column}: mean {mean}");
            assert!(
                variance < 1e-5 || (variance - 1.0).abs() < 1e-2,
                "column {column}: {variance}"
            );
        }
    }

    #[test]
    fn the_record_is_read_back_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let rows: Vec<f32> = (0..20).flat_map(|i| features(&draw(&scene(i)))).collect();
        let standard = Standard::of(&rows, WIDTH);
        standard.write(dir.path()).unwrap();
        assert_eq!(Standard::read(dir.path()).unwrap(), standard);
        Standard::of(&rows, 7).write(dir.path()).unwrap();
        let error = Standard::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("`mean` has 7 numbers"), "{error}");
    }

    #[test]
    fn nothing_at_all_has_a_standard() {
        assert_eq!(Standard::of(&[], 3).mean, [0.0; 3]);
    }
}
