//! First values of parameters.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::field::Positive;

/// How the first values of a weight matrix `[inputs, outputs]` are drawn.
///
/// A recurrent layer's gates are drawn one matrix `[inputs, units]` each.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Init {
    /// Normal with standard deviation 1 / sqrt(inputs).
    #[default]
    FanIn,
    /// Normal with this standard deviation.
    Normal(Positive),
    /// Uniform between plus and minus this bound.
    Uniform(Positive),
    /// Uniform between plus and minus sqrt(6 / (inputs + outputs)). Glorot and Bengio, 2010.
    Xavier,
    /// A random matrix with orthonormal rows or columns, whichever are fewer. Saxe et al., 2014.
    Orthogonal,
    /// All zero.
    Zero,
}

/// How the first values of a parameter come about: drawn, or given.
#[derive(Debug, Clone, PartialEq)]
pub enum Fill {
    /// Drawn as one matrix.
    Random(Init),
    /// Drawn as a matrix `[inputs, 1]`: a vector whose product with the inputs is one number.
    Column(Init),
    /// Drawn as the transpose of a matrix `[inputs, outputs]`: filters, one for each of the first dimension, over all that
    /// the others say.
    Filters(Init),
    /// Drawn as this many matrices side by side, one a gate.
    RandomBlocks(Init, usize),
    /// As many equal blocks as there are values, each filled with its value; a zero bias is `Blocks(vec![0.0])`.
    Blocks(Vec<f64>),
}

impl Fill {
    /// All zero.
    pub fn zero() -> Self {
        Fill::Blocks(vec![0.0])
    }

    /// The first values of a parameter of this shape, in row-major order.
    pub fn values(&self, shape: &[usize], rng: &mut impl Rng) -> Vec<f64> {
        let columns = shape.last().copied().unwrap_or(1);
        let rows = shape.iter().rev().skip(1).product();
        match self {
            Fill::Random(init) => init.matrix(rows, columns, rng),
            Fill::Column(init) => init.matrix(rows * columns, 1, rng),
            Fill::Filters(init) => {
                let outputs = shape.first().copied().unwrap_or(1);
                let inputs = shape.iter().skip(1).product();
                let drawn = init.matrix(inputs, outputs, rng);
                let transposed = |at: usize| drawn[at % inputs * outputs + at / inputs];
                (0..inputs * outputs).map(transposed).collect()
            }
            Fill::RandomBlocks(init, blocks) => {
                let width = columns / blocks;
                let drawn: Vec<Vec<f64>> =
                    (0..*blocks).map(|_| init.matrix(rows, width, rng)).collect();
                (0..rows)
                    .flat_map(|row| drawn.iter().map(move |block| &block[row * width..][..width]))
                    .flatten()
                    .copied()
                    .collect()
            }
            Fill::Blocks(values) => {
                let width = columns.div_ceil(values.len());
                (0..rows * columns).map(|at| values[at % columns / width]).collect()
            }
        }
    }
}

impl Init {
    fn matrix(self, rows: usize, columns: usize, rng: &mut impl Rng) -> Vec<f64> {
        let count = rows * columns;
        let mut normal = |deviation: f64| -> Vec<f64> {
            (0..count)
                .map(|_| {
                    deviation * {
                        let z: f64 = StandardNormal.sample(rng);
                        z
                    }
                })
                .collect()
        };
        match self {
            Init::FanIn => normal(1.0 / (rows as f64).sqrt()),
            Init::Normal(deviation) => normal(deviation.get()),
            Init::Uniform(bound) => uniform(bound.get(), count, rng),
            Init::Xavier => uniform((6.0 / (rows + columns) as f64).sqrt(), count, rng),
            Init::Orthogonal => orthogonal(rows, columns, normal(1.0)),
            Init::Zero => vec![0.0; count],
        }
    }
}

fn uniform(bound: f64, count: usize, rng: &mut impl Rng) -> Vec<f64> {
    (0..count).map(|_| rng.random_range(-bound..=bound)).collect()
}

/// Orthonormalises the rows of `values`, or its columns where they are fewer, by modified Gram-Schmidt, twice: once
/// leaves errors of the condition number's size, twice of rounding's.
fn orthogonal(rows: usize, columns: usize, values: Vec<f64>) -> Vec<f64> {
    let (count, length, row_step, step) =
        if rows <= columns { (rows, columns, columns, 1) } else { (columns, rows, 1, columns) };
    let mut vectors: Vec<Vec<f64>> = (0..count)
        .map(|v| (0..length).map(|i| values[v * row_step + i * step]).collect())
        .collect();
    for v in 0..count {
        let (done, rest) = vectors.split_at_mut(v);
        let vector = &mut rest[0];
        for _ in 0..2 {
            for other in done.iter() {
                let along: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
            }
        }
        let norm = vector.iter().map(|a| a * a).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|a| *a /= norm);
    }
    let mut result = values;
    for (v, vector) in vectors.iter().enumerate() {
        for (i, value) in vector.iter().enumerate() {
            result[v * row_step + i * step] = *value;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn draw(fill: &Fill, shape: &[usize]) -> Vec<f64> {
        fill.values(shape, &mut ChaCha8Rng::seed_from_u64(5))
    }

    fn deviation(values: &[f64]) -> f64 {
        (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn deviations_follow_the_definitions() {
        assert!((deviation(&draw(&Fill::Random(Init::FanIn), &[400, 50])) - 0.05).abs() < 1e-3);
        let xavier = draw(&Fill::Random(Init::Xavier), &[100, 200]);
        assert!((deviation(&xavier) - (2.0f64 / 300.0).sqrt()).abs() < 2e-3);
    }

    #[test]
    fn orthogonal_matrices_are() {
        for (rows, columns) in [(3, 7), (7, 3), (5, 5), (1, 4)] {
            let w = draw(&Fill::Random(Init::Orthogonal), &[rows, columns]);
            let at = |i: usize, j: usize| w[i * columns + j];
            let few = rows.min(columns);
            for a in 0..few {
                for b in 0..few {
                    let dot: f64 = if rows <= columns {
                        (0..columns).map(|j| at(a, j) * at(b, j)).sum()
                    } else {
                        (0..rows).map(|i| at(i, a) * at(i, b)).sum()
                    };
                    assert!((dot - f64::from(u8::from(a == b))).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn filters_are_drawn_as_the_columns_of_a_matrix() {
        let filters = draw(&Fill::Filters(Init::Normal(Positive::constant(1.0))), &[2, 3, 1, 2]);
        let matrix = draw(&Fill::Random(Init::Normal(Positive::constant(1.0))), &[6, 2]);
        let column = |at: usize| (0..6).map(move |row| row * 2 + at);
        let columns: Vec<f64> = (0..2).flat_map(column).map(|at| matrix[at]).collect();
        assert_eq!(filters, columns);
    }

    #[test]
    fn gates_are_drawn_apart() {
        let w = draw(&Fill::RandomBlocks(Init::Orthogonal, 2), &[2, 4]);
        let norm = |columns: [usize; 2]| w[columns[0]].hypot(w[columns[1]]);
        assert!((norm([0, 1]) - 1.0).abs() < 1e-12 && (norm([2, 3]) - 1.0).abs() < 1e-12);
        assert_eq!(draw(&Fill::Blocks(vec![0.0, 1.0]), &[6]), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    }
}
