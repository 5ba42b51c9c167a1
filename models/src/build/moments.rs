//! Mean, deviation and principal components of the training pictures' features, however many there are.

use engine_datasets::Split;
use engine_kernels::gemm::Gemm;
use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array2, ArrayView1, Axis, aview1};
use rayon::prelude::*;

use super::extract::Shape;
use super::images::Image;
use super::staging::{Chunk, Staging};
use super::{DataBuildError, Options};
use crate::encoder::{Basis, Reduction};

/// A number that varies less than this share of the mean deviation over the training pictures says nothing: it is centred
/// and not blown up.
const LEAST_DEVIATION: f64 = 1e-6;

/// Pictures whose product goes into the covariance at once: enough that the product, and not the covariance's way through
/// memory, takes the time.
const ROWS: usize = 256;

/// Steps of the QR method for each eigenvalue, of which two or three are taken: it converges, or numbers are broken.
const STEPS: usize = 30;

/// The reduction that a data set's features go through.
pub(super) fn reduction(
    staging: &Staging,
    images: &[Image],
    shape: Shape,
    options: &Options,
) -> Result<Reduction, DataBuildError> {
    let plain = Reduction { grid: options.grid, ..Reduction::none(shape.width) };
    if options.pca.is_none() && !options.standardize {
        return Ok(plain);
    }
    let training = Training { staging, images, batch: options.batch };
    let means = training.means(shape)?;
    check_pictures(means.pictures, options)?;
    let spread = training.spread(&means, options.pca.is_some())?;
    let mut reduction =
        Reduction { mean: means.features, standardized: options.standardize, ..plain };
    if options.standardize {
        reduction.scale = deviations(&spread.variances);
        reduction.grid_scale = if spread.grid > 0.0 { spread.grid.sqrt() } else { 1.0 };
    }
    if let (Some(components), Some(covariance)) = (options.pca, &spread.covariance) {
        reduction.basis = Some(principal(covariance, &reduction.scale, components)?);
    }
    Ok(reduction)
}

/// Refuses more principal components than there are training pictures to find them in.
pub(super) fn check(images: &[Image], options: &Options) -> Result<(), DataBuildError> {
    check_pictures(images.iter().filter(|image| image.split == Split::Train).count(), options)
}

fn check_pictures(most: usize, options: &Options) -> Result<(), DataBuildError> {
    match options.pca {
        Some(asked) if asked > most => {
            let what = "as many training pictures";
            Err(DataBuildError::TooManyComponents { asked, what, most })
        }
        _ => Ok(()),
    }
}

/// The training pictures in the staging folder.
struct Training<'a> {
    staging: &'a Staging,
    images: &'a [Image],
    batch: usize,
}

/// The means of features, and of all numbers of the grids.
struct Means {
    pictures: usize,
    features: Vec<f64>,
    grid: f64,
}

/// How numbers vary about their means.
struct Spread {
    /// Of each feature.
    variances: Vec<f64>,
    /// Of all numbers of the grids together.
    grid: f64,
    /// Of features with each other, `[width, width]`, the upper half.
    covariance: Option<Array2<f64>>,
}

impl Training<'_> {
    /// Goes through the pictures in order: the features of each, and its grid.
    fn each(&self, mut see: impl FnMut(&[f32], &[f32])) -> Result<(), DataBuildError> {
        for (number, batch) in self.images.chunks(self.batch).enumerate() {
            let Chunk { pictures, features } = self.staging.chunk(number)?;
            let read = pictures.iter().zip(batch).filter(|(seen, _)| seen.refused.is_none());
            let grid = features.grid.as_ref();
            let each = grid.map_or(0, |grid| grid.regions * grid.channels);
            for (row, (_, image)) in read.enumerate() {
                if image.split == Split::Train {
                    let numbers = &features.features[row * features.width..][..features.width];
                    see(numbers, grid.map_or(&[], |grid| &grid.features[row * each..][..each]));
                }
            }
        }
        Ok(())
    }

    fn means(&self, shape: Shape) -> Result<Means, DataBuildError> {
        let mut means = Means { pictures: 0, features: vec![0.0; shape.width], grid: 0.0 };
        let mut grid_numbers = 0usize;
        self.each(|features, grid| {
            means.pictures += 1;
            means.features.iter_mut().zip(features).for_each(|(sum, x)| *sum += f64::from(*x));
            means.grid += grid.iter().map(|x| f64::from(*x)).sum::<f64>();
            grid_numbers += grid.len();
        })?;
        let pictures = means.pictures.max(1) as f64;
        means.features.iter_mut().for_each(|sum| *sum /= pictures);
        means.grid /= grid_numbers.max(1) as f64;
        Ok(means)
    }

    /// Variances about the means that a first pass found, so that nothing is lost between large numbers; and covariances,
    /// if these are wanted.
    fn spread(&self, means: &Means, covariances: bool) -> Result<Spread, DataBuildError> {
        let width = means.features.len();
        let mut covariance = covariances.then(|| Covariance::new(width));
        let mut variances = vec![0.0; width];
        let (mut grid_sum, mut grid_numbers) = (0.0, 0usize);
        let mut centred = vec![0.0; width];
        self.each(|features, grid| {
            for ((centred, x), mean) in centred.iter_mut().zip(features).zip(&means.features) {
                *centred = f64::from(*x) - mean;
            }
            variances.iter_mut().zip(&centred).for_each(|(sum, x)| *sum += x * x);
            grid_sum += grid.iter().map(|x| (f64::from(*x) - means.grid).powi(2)).sum::<f64>();
            grid_numbers += grid.len();
            if let Some(covariance) = &mut covariance {
                covariance.push(aview1(&centred));
            }
        })?;
        let pictures = means.pictures.max(1) as f64;
        variances.iter_mut().for_each(|sum| *sum /= pictures);
        let grid = grid_sum / grid_numbers.max(1) as f64;
        Ok(Spread { variances, grid, covariance: covariance.map(|sum| sum.finish(means.pictures)) })
    }
}

/// What features are divided by: their deviations, or 1 for those that do not vary.
fn deviations(variances: &[f64]) -> Vec<f64> {
    let mean = variances.iter().map(|variance| variance.sqrt()).sum::<f64>()
        / variances.len().max(1) as f64;
    let scale = |variance: &f64| match variance.sqrt() {
        deviation if deviation > LEAST_DEVIATION * mean => deviation,
        _ => 1.0,
    };
    variances.iter().map(scale).collect()
}

/// A sum of products of centred features, the upper half.
struct Covariance {
    /// `[width, width]`.
    sum: Array2<f64>,
    /// `[ROWS, width]`: the first `waiting` are not in the sum yet.
    rows: Array2<f64>,
    waiting: usize,
}

impl Covariance {
    /// Rows of the sum that are computed together. They are cut the same way on any number of threads, and each sum is
    /// taken by one of them.
    const TOGETHER: usize = 64;

    fn new(width: usize) -> Self {
        let (sum, rows) = (Array2::zeros((width, width)), Array2::zeros((ROWS, width)));
        Covariance { sum, rows, waiting: 0 }
    }

    fn push(&mut self, row: ArrayView1<'_, f64>) {
        self.rows.row_mut(self.waiting).assign(&row);
        self.waiting += 1;
        if self.waiting == ROWS {
            self.add();
        }
    }

    fn add(&mut self) {
        let rows = self.rows.slice_axis(Axis(0), (..self.waiting).into());
        let chunks: Vec<_> = self.sum.axis_chunks_iter_mut(Axis(0), Self::TOGETHER).collect();
        chunks.into_par_iter().enumerate().for_each(|(chunk, sum)| {
            let first = chunk * Self::TOGETHER;
            let left = rows.slice_axis(Axis(1), (first..first + sum.nrows()).into());
            let (_, right) = rows.split_at(Axis(1), first);
            let (_, sum) = sum.split_at(Axis(1), first);
            f64::gemm(left.t(), right, 1.0, sum);
        });
        self.waiting = 0;
    }

    /// The covariance of so many rows.
    fn finish(mut self, rows: usize) -> Array2<f64> {
        self.add();
        self.sum / rows.max(1) as f64
    }
}

/// The sign of the first number that is as large as the largest of these, but for rounding.
fn sign_of(mut vector: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = vector.clone().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    vector.find(|x| x.abs() >= 0.999_999 * largest).map_or(1.0, f64::signum)
}

/// The directions in which features, once scaled, vary most: eigenvectors of their covariance, the largest eigenvalue
/// first. A direction and its opposite are as good; the one whose largest number is positive is taken.
fn principal(
    covariance: &Array2<f64>,
    scale: &[f64],
    components: usize,
) -> Result<Basis, DataBuildError> {
    let width = scale.len();
    let scaled = DMatrix::from_fn(width, width, |i, j| match i >= j {
        true => covariance[[j, i]] / (scale[i] * scale[j]),
        false => 0.0,
    });
    if !scaled.iter().all(|x| x.is_finite()) {
        return Err(DataBuildError::NoComponents);
    }
    let steps = STEPS * width.max(1);
    let eigen =
        SymmetricEigen::try_new(scaled, f64::EPSILON, steps).ok_or(DataBuildError::NoComponents)?;
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
    let mut numbers = vec![0.0; width * components];
    for (component, at) in order.into_iter().take(components).enumerate() {
        let vector = eigen.eigenvectors.column(at);
        let sign = sign_of(vector.iter().copied());
        (0..width).for_each(|i| numbers[i * components + component] = sign * vector[i]);
    }
    Ok(Basis { numbers, components })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::staging::{SourceFile, tests::furnished};
    use super::*;
    use crate::encoder::{Features, Grid};

    /// A staging folder with features of pictures that vary most along few directions; every fifth is validated on, and some
    /// could not be read.
    struct Made {
        _dir: tempfile::TempDir,
        options: Options,
        staging: Staging,
        images: Vec<Image>,
        shape: Shape,
        /// The features of the training pictures.
        rows: Vec<Vec<f64>>,
    }

    fn made(seed: u64, pictures: usize, width: usize) -> Made {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let dir = tempfile::tempdir().unwrap();
        let options = Options { batch: 1 + seed as usize % 5, ..furnished(dir.path()) };
        let staging = Staging::open(&options).unwrap();
        let image = |i: usize| Image {
            name: format!("{i:05}"),
            path: PathBuf::new(),
            split: if i % 5 == 4 { Split::Val } else { Split::Train },
            captions: Vec::new(),
        };
        let images: Vec<Image> = (0..pictures).map(image).collect();
        let mix: Vec<f64> = (0..width * width).map(|_| rng.random_range(-1.0..1.0)).collect();
        let mut rows = Vec::new();
        for (number, batch) in images.chunks(options.batch).enumerate() {
            let mut seen: Vec<SourceFile> = batch.iter().map(SourceFile::of).collect();
            let (mut features, mut grid) = (Vec::new(), Vec::new());
            for (seen, image) in seen.iter_mut().zip(batch) {
                if rng.random_range(0..9) == 0 {
                    seen.refused = Some("no picture".into());
                    continue;
                }
                let source: Vec<f64> = (0..width)
                    .map(|k| rng.random_range(-1.0..1.0) / (1.0 + k as f64).powi(2))
                    .collect();
                let row: Vec<f32> = (0..width)
                    .map(|i| {
                        (100.0 + (0..width).map(|k| source[k] * mix[k * width + i]).sum::<f64>())
                            as f32
                    })
                    .collect();
                if image.split == Split::Train {
                    rows.push(row.iter().map(|x| f64::from(*x)).collect());
                }
                features.extend(row);
                grid.extend([1.0, 3.0]);
            }
            let grid = Grid { features: grid, regions: 1, channels: 2 };
            let features = Features { features, width, grid: Some(grid) };
            staging.keep(number, &Chunk { pictures: seen, features }).unwrap();
        }
        let shape = Shape { width, grid: Some((1, 2)) };
        Made { _dir: dir, options, staging, images, shape, rows }
    }

    impl Made {
        fn reduction(
            &self,
            pca: Option<usize>,
            standardize: bool,
        ) -> Result<Reduction, DataBuildError> {
            let options = Options { pca, standardize, ..self.options.clone() };
            reduction(&self.staging, &self.images, self.shape, &options)
        }
    }

    fn mean(numbers: impl Iterator<Item = f64> + Clone) -> f64 {
        numbers.clone().sum::<f64>() / numbers.count() as f64
    }

    #[test]
    fn means_and_deviations_are_those_of_the_training_pictures() {
        for seed in 0..6 {
            println!("seed {seed}");
            let made = made(seed, 30 + seed as usize * 7, 1 + seed as usize);
            let reduction = made.reduction(None, true).unwrap();
            for i in 0..made.shape.width {
                let column = made.rows.iter().map(|row| row[i]);
                let centre = mean(column.clone());
                let deviation = mean(column.map(|x| (x - centre).powi(2))).sqrt();
                assert!((reduction.mean[i] - centre).abs() < 1e-9, "{seed} {i}");
                assert!((reduction.scale[i] - deviation).abs() < 1e-9 * deviation, "{seed} {i}");
            }
            // Numbers 1 and 3 by turns.
            assert!((reduction.grid_scale - 1.0).abs() < 1e-12);
            assert_eq!(made.reduction(None, false).unwrap(), Reduction::none(made.shape.width));
        }
    }

    #[test]
    fn components_are_orthonormal_of_falling_variance_and_uncorrelated() {
        for seed in 0..10 {
            println!("seed {seed}");
            let width = [1, 2, 7, 70][seed as usize % 4];
            let made = made(seed, 150, width);
            for standardize in [false, true] {
                let reduction = made.reduction(Some(width), standardize).unwrap();
                let basis = reduction.basis.as_ref().unwrap();
                let component = |j: usize| (0..width).map(move |i| basis.numbers[i * width + j]);
                for (j, k) in (0..width).flat_map(|j| (0..=j).map(move |k| (j, k))) {
                    let product: f64 = component(j).zip(component(k)).map(|(a, b)| a * b).sum();
                    assert!(
                        (product - f64::from(u8::from(j == k))).abs() < 1e-10,
                        "{j} {k}: {product}"
                    );
                }
                let centred: Vec<Vec<f64>> = made
                    .rows
                    .iter()
                    .map(|row| {
                        (0..width)
                            .map(|i| (row[i] - reduction.mean[i]) / reduction.scale[i])
                            .collect()
                    })
                    .collect();
                let reduced: Vec<Vec<f64>> = centred
                    .iter()
                    .map(|row| {
                        (0..width)
                            .map(|j| component(j).zip(row).map(|(b, x)| b * x).sum())
                            .collect()
                    })
                    .collect();
                let product = |j: usize, k: usize| mean(reduced.iter().map(|row| row[j] * row[k]));
                let variances: Vec<f64> = (0..width).map(|j| product(j, j)).collect();
                assert!(
                    variances.windows(2).all(|pair| pair[0] >= pair[1] - 1e-12),
                    "{variances:?}"
                );
                for (j, k) in (0..width).flat_map(|j| (0..j).map(move |k| (j, k))) {
                    assert!(product(j, k).abs() < 1e-10 * variances[0], "{j} {k}");
                }
                // What few components leave out is what the others vary; no other directions leave out less.
                let kept = width.div_ceil(2);
                let few = made.reduction(Some(kept), standardize).unwrap().basis.unwrap();
                let lost = mean(centred.iter().zip(&reduced).map(|(row, reduced)| {
                    (0..width)
                        .map(|i| {
                            let back: f64 =
                                (0..kept).map(|j| few.numbers[i * kept + j] * reduced[j]).sum();
                            (row[i] - back).powi(2)
                        })
                        .sum::<f64>()
                }));
                let rest: f64 = variances[kept..].iter().sum();
                assert!((lost - rest).abs() < 1e-9 * variances[0], "{lost} {rest}");
                for j in 0..width {
                    assert_eq!(sign_of(component(j)), 1.0, "component {j}");
                }
            }
        }
    }

    #[test]
    fn the_number_of_threads_and_the_batch_do_not_show() {
        let made = made(3, 700, 67);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| made.reduction(Some(9), true).unwrap())
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn a_direction_has_the_sign_of_its_largest_number() {
        for (vector, sign) in [
            (&[0.1, -0.9, 0.2][..], -1.0),
            (&[-0.1, 0.9], 1.0),
            (&[-0.7, 0.7 + 1e-15], -1.0),
            (&[0.7, -0.7], 1.0),
        ] {
            assert_eq!(sign_of(vector.iter().copied()), sign, "{vector:?}");
        }
    }

    #[test]
    fn what_does_not_vary_is_not_blown_up() {
        assert_eq!(deviations(&[4.0, 0.0, 1e-20, 1.0]), [2.0, 1.0, 1.0, 1.0]);
        assert_eq!(deviations(&[0.0]), [1.0]);
    }

    #[test]
    fn more_components_than_pictures_are_refused() {
        let made = made(1, 12, 30);
        let pictures = made.rows.len();
        let error = made.reduction(Some(pictures + 1), false).unwrap_err();
        assert!(
            miette::Diagnostic::help(&error)
                .unwrap()
                .to_string()
                .contains(&format!("--pca {pictures}")),
            "{error}"
        );
        made.reduction(Some(pictures), false).unwrap();
    }
}
