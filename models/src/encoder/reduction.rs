//! What a data set does to an encoder's features before it stores them, kept so that new pictures go the same way.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use super::{Features, Grid};
use crate::files::replace;

/// The way from an encoder's features to those that a data set stores: `((x - mean) / scale) basis`, and a grid of fewer
/// regions.
///
/// Every row goes its way alone, so that a picture comes to the same bits in whatever company.
#[derive(Debug, Clone, PartialEq)]
pub struct Reduction {
    /// What is subtracted from each feature, `[width]`: the mean over the training pictures.
    pub mean: Vec<f64>,
    /// What each feature is divided by then, `[width]`: 1, or the standard deviation over the training pictures.
    pub scale: Vec<f64>,
    /// The principal components, `[width, components]`, orthonormal columns and the one of the largest variance first.
    pub basis: Option<Basis>,
    /// Whether the full features are standardised too, or stored as the encoder gives them.
    pub standardized: bool,
    /// Rows and columns of regions that a grid is brought to; none where the data set has no grids.
    pub grid: Option<(usize, usize)>,
    /// What the numbers of a grid are divided by.
    pub grid_scale: f64,
}

/// Principal components.
#[derive(Debug, Clone, PartialEq)]
pub struct Basis {
    /// `[width, components]`, row after row.
    pub numbers: Vec<f64>,
    /// The components.
    pub components: usize,
}

/// Why a reduction cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ReductionError {
    /// The file system refused.
    #[error("cannot {action} {}: {error}", path.display())]
    #[diagnostic(help("{}", io_help(action)))]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        error: io::Error,
    },
    /// The file is something else, or damaged.
    #[error("{} is not the reduction of a data set: {message}", path.display())]
    #[diagnostic(help("{COPY_WHOLE}"))]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// The features are another encoder's.
    #[error(
        "the reduction is made for {expected} features a picture, and the encoder gives {found}"
    )]
    #[diagnostic(help(
        "use the encoder that the data set was made with: it lies in its folder `encoder`"
    ))]
    Width {
        /// The reduction's.
        expected: usize,
        /// The encoder's.
        found: usize,
    },
    /// A grid whose rows and columns are not known.
    #[error("the encoder's grid has {regions} regions, which are not as many rows as columns")]
    #[diagnostic(help(
        "give the encoder pictures as wide as they are high: `crop` in its section `pictures`"
    ))]
    NotSquare {
        /// Its regions.
        regions: usize,
    },
    /// A grid is asked for and the encoder gives none.
    #[error("the encoder gives no grid: its graph has no output `grid`")]
    #[diagnostic(help("leave --grid out, or give an encoder with the output `grid`"))]
    NoGrid,
}

const COPY_WHOLE: &str = "the folder `encoder` of a data set has it: copy that whole";

fn io_help(action: &str) -> &'static str {
    if action == "write" { "is the disk full?" } else { COPY_WHOLE }
}

impl Reduction {
    /// The file in the folder of an encoder.
    pub const FILE: &'static str = "reduction.safetensors";

    /// What leaves `width` features as they are.
    pub fn none(width: usize) -> Self {
        Reduction {
            mean: vec![0.0; width],
            scale: vec![1.0; width],
            basis: None,
            standardized: false,
            grid: None,
            grid_scale: 1.0,
        }
    }

    /// Brings an encoder's features all the way: standardised if the data set's are, reduced to principal components if it
    /// has them, the grid pooled. They are what a network reads that was trained with `pca_features: true`, or on a data set
    /// without principal components.
    ///
    /// # Errors
    /// When the features are those of another encoder.
    pub fn apply(&self, features: &mut Features) -> Result<(), ReductionError> {
        match self.basis {
            Some(_) => self.reduce(features)?,
            None => self.standardize(features)?,
        }
        self.apply_grid(features)
    }

    /// The same without principal components: what a network reads that was trained with `pca_features: false`.
    ///
    /// # Errors
    /// When the features are those of another encoder.
    pub fn apply_full(&self, features: &mut Features) -> Result<(), ReductionError> {
        self.standardize(features)?;
        self.apply_grid(features)
    }

    /// Standardises the features if the data set's are, and leaves the grid as it is.
    pub(crate) fn standardize(&self, features: &mut Features) -> Result<(), ReductionError> {
        self.check(features)?;
        if self.standardized {
            for row in features.features.chunks_exact_mut(self.mean.len().max(1)) {
                for ((x, mean), scale) in row.iter_mut().zip(&self.mean).zip(&self.scale) {
                    *x = ((f64::from(*x) - mean) / scale) as f32;
                }
            }
        }
        Ok(())
    }

    /// Puts principal components, if there are any, in the place of the features, and leaves the grid as it is.
    pub(crate) fn reduce(&self, features: &mut Features) -> Result<(), ReductionError> {
        self.check(features)?;
        if let Some(basis) = &self.basis {
            features.features = self.project(&features.features, basis);
            features.width = basis.components;
        }
        Ok(())
    }

    /// Scales a grid whose regions are those of the data set already.
    pub(crate) fn scale_grid(&self, grid: &mut Grid) {
        grid.features.iter_mut().for_each(|x| *x = (f64::from(*x) / self.grid_scale) as f32);
    }

    fn check(&self, features: &Features) -> Result<(), ReductionError> {
        match self.mean.len() == features.width {
            true => Ok(()),
            false => {
                Err(ReductionError::Width { expected: self.mean.len(), found: features.width })
            }
        }
    }

    fn apply_grid(&self, features: &mut Features) -> Result<(), ReductionError> {
        let Some(regions) = self.grid else {
            features.grid = None;
            return Ok(());
        };
        let mut grid = pool(features.grid.as_ref().ok_or(ReductionError::NoGrid)?, regions)?;
        self.scale_grid(&mut grid);
        features.grid = Some(grid);
        Ok(())
    }

    /// `((x - mean) / scale) basis` for each row, summed over the features in their order.
    fn project(&self, rows: &[f32], basis: &Basis) -> Vec<f32> {
        /// Rows that share the basis while it is near.
        const ROWS: usize = 16;
        let (width, components) = (self.mean.len(), basis.components);
        let blocks: Vec<Vec<f32>> = rows
            .par_chunks(ROWS * width.max(1))
            .map(|block| {
                let mut sums = vec![0.0f64; block.len() / width.max(1) * components];
                for i in 0..width {
                    let direction = &basis.numbers[i * components..][..components];
                    for (row, sums) in
                        block.chunks_exact(width).zip(sums.chunks_exact_mut(components))
                    {
                        let x = (f64::from(row[i]) - self.mean[i]) / self.scale[i];
                        sums.iter_mut().zip(direction).for_each(|(sum, b)| *sum += x * b);
                    }
                }
                sums.into_iter().map(|sum| sum as f32).collect()
            })
            .collect();
        blocks.concat()
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ReductionError> {
        let width = self.mean.len();
        let one = [self.grid_scale];
        let mut arrays: Vec<(&str, Vec<usize>, &[f64])> = vec![
            ("mean", vec![width], &self.mean),
            ("scale", vec![width], &self.scale),
            ("grid_scale", vec![1], &one),
        ];
        if let Some(basis) = &self.basis {
            arrays.push(("basis", vec![width, basis.components], &basis.numbers));
        }
        let bytes: Vec<Vec<u8>> = arrays
            .iter()
            .map(|(_, _, numbers)| numbers.iter().flat_map(|x| x.to_le_bytes()).collect())
            .collect();
        let views = arrays.into_iter().zip(&bytes).map(|((name, shape, _), bytes)| {
            let view = TensorView::new(Dtype::F64, shape, bytes);
            (name, view.expect("eight bytes for each number of the shape"))
        });
        let mut said = HashMap::from([("standardized".to_owned(), self.standardized.to_string())]);
        if let Some((rows, columns)) = self.grid {
            said.insert("grid".to_owned(), format!("{rows}x{columns}"));
        }
        let failed = |error| ReductionError::Io { action: "write", path: path.to_owned(), error };
        let file = serialize(views, Some(said)).map_err(|e| failed(io::Error::other(e)))?;
        replace(path, &file).map_err(failed)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read or is something else.
    pub fn read(path: &Path) -> Result<Self, ReductionError> {
        let failed = |error| ReductionError::Io { action: "read", path: path.to_owned(), error };
        let bytes = fs::read(path).map_err(failed)?;
        let foreign = |message| ReductionError::Foreign { path: path.to_owned(), message };
        Self::parse(&bytes).map_err(foreign)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let said = header.metadata().clone().unwrap_or_default();
        let (mean, _) = numbers(&file, "mean")?;
        let (scale, _) = numbers(&file, "scale")?;
        let (grid_scale, _) = numbers(&file, "grid_scale")?;
        let width = mean.len();
        let [grid_scale] = grid_scale[..] else {
            return Err("`grid_scale` is not one number".into());
        };
        if scale.len() != width {
            return Err(format!("`mean` has {width} numbers and `scale` {}", scale.len()));
        }
        let basis = match file.names().contains(&"basis") {
            false => None,
            true => {
                let (numbers, shape) = numbers(&file, "basis")?;
                match shape[..] {
                    [rows, components] if rows == width => Some(Basis { numbers, components }),
                    _ => {
                        return Err(format!(
                            "`basis` has the shape {shape:?}, expected [{width}, components]"
                        ));
                    }
                }
            }
        };
        let grid = said.get("grid").map(|text| {
            parse_grid(text)
                .ok_or_else(|| format!("its grid is {text:?}, expected rows and columns, `4x4`"))
        });
        let standardized = said.get("standardized").is_some_and(|said| said == "true");
        Ok(Reduction { mean, scale, basis, standardized, grid: grid.transpose()?, grid_scale })
    }
}

/// Rows and columns of regions, from `4x4`.
pub fn parse_grid(text: &str) -> Option<(usize, usize)> {
    let (rows, columns) = text.split_once('x')?;
    let count = |text: &str| text.parse().ok().filter(|n| (1..=1024).contains(n));
    Some((count(rows)?, count(columns)?))
}

fn numbers(file: &SafeTensors<'_>, name: &str) -> Result<(Vec<f64>, Vec<usize>), String> {
    let array = file.tensor(name).map_err(|_| format!("it has no `{name}`"))?;
    if array.dtype() != Dtype::F64 {
        return Err(format!("`{name}` should hold F64, but holds {:?}", array.dtype()));
    }
    let numbers: Vec<f64> = array
        .data()
        .chunks_exact(8)
        .map(|bytes| f64::from_le_bytes(bytes.try_into().expect("eight bytes")))
        .collect();
    match numbers.iter().all(|x| x.is_finite()) {
        true => Ok((numbers, array.shape().to_vec())),
        false => Err(format!("`{name}` has a number that is not finite")),
    }
}

/// The grid with `rows` by `columns` regions, each the mean of the old ones from `i H / rows`, rounded down, to
/// `(i + 1) H / rows`, rounded up (adaptive average pooling).
///
/// # Errors
/// When the grid is not as high as it is wide, so that its rows are not known.
pub fn pool(grid: &Grid, (rows, columns): (usize, usize)) -> Result<Grid, ReductionError> {
    let side = grid.regions.isqrt();
    if side * side != grid.regions || side == 0 {
        return Err(ReductionError::NotSquare { regions: grid.regions });
    }
    let channels = grid.channels;
    let pictures = grid.features.chunks_exact(grid.regions * channels);
    let mut features = Vec::with_capacity(pictures.len() * rows * columns * channels);
    for picture in pictures {
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)))
        {
            features.extend(region_mean(
                picture,
                (side, channels),
                reach(row, rows, side),
                reach(column, columns, side),
            ));
        }
    }
    Ok(Grid { features, regions: rows * columns, channels })
}

/// What the `i`th of `n` regions covers of `side` old ones.
fn reach(i: usize, n: usize, side: usize) -> std::ops::Range<usize> {
    i * side / n..((i + 1) * side).div_ceil(n)
}

fn region_mean(
    picture: &[f32],
    (side, channels): (usize, usize),
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
) -> impl Iterator<Item = f32> {
    let count = (rows.len() * columns.len()) as f64;
    let mut sums = vec![0.0f64; channels];
    for old in rows.flat_map(|row| columns.clone().map(move |column| row * side + column)) {
        let numbers = &picture[old * channels..][..channels];
        sums.iter_mut().zip(numbers).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    sums.into_iter().map(move |sum| (sum / count) as f32)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    fn reduction(width: usize, components: usize, rng: &mut ChaCha8Rng) -> Reduction {
        let double = |count, rng: &mut ChaCha8Rng| {
            random(count, rng).into_iter().map(f64::from).collect::<Vec<_>>()
        };
        Reduction {
            mean: double(width, rng),
            scale: double(width, rng).into_iter().map(|x| x.abs() + 0.1).collect(),
            basis: Some(Basis { numbers: double(width * components, rng), components }),
            standardized: true,
            grid: Some((2, 3)),
            grid_scale: 0.7,
        }
    }

    #[test]
    fn rows_are_reduced_alike_in_any_company() {
        for seed in 0..8 {
            println!("seed {seed}");
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (pictures, width, components) =
                (rng.random_range(1..40), rng.random_range(1..20), rng.random_range(1..9));
            let reduction = reduction(width, components, &mut rng);
            let grid =
                Grid { features: random(pictures * 9 * 2, &mut rng), regions: 9, channels: 2 };
            let all =
                Features { features: random(pictures * width, &mut rng), width, grid: Some(grid) };
            let mut together = all.clone();
            reduction.apply(&mut together).unwrap();
            assert_eq!(
                (together.width, together.features.len()),
                (components, pictures * components)
            );
            let basis = reduction.basis.as_ref().unwrap();
            for picture in 0..pictures {
                let row = &all.features[picture * width..][..width];
                let grid = all.grid.as_ref().unwrap();
                let grid = Grid { features: grid.features[picture * 18..][..18].to_vec(), ..*grid };
                let mut alone = Features { features: row.to_vec(), width, grid: Some(grid) };
                reduction.apply(&mut alone).unwrap();
                assert_eq!(alone.features, together.features[picture * components..][..components]);
                let regions = &together.grid.as_ref().unwrap().features[picture * 12..][..12];
                assert_eq!(alone.grid.unwrap().features, regions);
                for (j, found) in alone.features.iter().enumerate() {
                    let terms = (0..width).map(|i| {
                        let x = (f64::from(row[i]) - reduction.mean[i]) / reduction.scale[i];
                        x * basis.numbers[i * components + j]
                    });
                    let expected: f64 = terms.sum();
                    assert!((f64::from(*found) - expected).abs() <= 1e-6 * (1.0 + expected.abs()));
                }
            }
        }
    }

    #[test]
    fn a_file_holds_all_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(Reduction::FILE);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for made in [reduction(5, 3, &mut rng), reduction(1, 1, &mut rng), Reduction::none(4)] {
            made.write(&path).unwrap();
            assert_eq!(Reduction::read(&path).unwrap(), made);
        }
        let bytes = fs::read(&path).unwrap();
        for cut in [0, 7, 40, bytes.len() - 1] {
            fs::write(&path, &bytes[..cut]).unwrap();
            let message = Reduction::read(&path).unwrap_err().to_string();
            assert!(message.contains("is not the reduction"), "{message}");
        }
        assert!(Reduction::read(&dir.path().join("none")).is_err());
    }

    #[test]
    fn regions_are_means_of_what_they_cover() {
        // 13 rows and columns to 4: rows 0..4, 3..7, 6..10, 9..13.
        assert_eq!([0, 1, 2, 3].map(|i| reach(i, 4, 13)), [0..4, 3..7, 6..10, 9..13]);
        assert_eq!([0, 1, 2].map(|i| reach(i, 3, 2)), [0..1, 0..2, 1..2]);
        let numbers: Vec<f32> = (0..18).map(|i| i as f32).collect();
        let grid = Grid { features: numbers.clone(), regions: 9, channels: 2 };
        assert_eq!(pool(&grid, (3, 3)).unwrap(), grid);
        assert_eq!(pool(&grid, (1, 1)).unwrap().features, [8.0, 9.0]);
        // Two rows of regions: old rows 0 and 1, then 1 and 2.
        assert_eq!(pool(&grid, (2, 1)).unwrap().features, [5.0, 6.0, 11.0, 12.0]);
        let oblong = Grid { features: numbers, regions: 6, channels: 3 };
        assert!(matches!(pool(&oblong, (1, 1)), Err(ReductionError::NotSquare { regions: 6 })));
    }

    #[test]
    fn other_features_are_refused() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let reduction = reduction(5, 2, &mut rng);
        let mut narrow = Features { features: vec![0.0; 4], width: 4, grid: None };
        let message = reduction.apply(&mut narrow).unwrap_err().to_string();
        assert!(message.contains("for 5 features a picture, and the encoder gives 4"), "{message}");
        let mut bare = Features { features: vec![0.0; 5], width: 5, grid: None };
        assert!(matches!(reduction.apply(&mut bare), Err(ReductionError::NoGrid)));
        assert_eq!(
            [parse_grid("4x4"), parse_grid("2x3"), parse_grid("0x1"), parse_grid("4")],
            [Some((4, 4)), Some((2, 3)), None, None]
        );
    }
}
