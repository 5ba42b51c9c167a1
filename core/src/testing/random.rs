//! Inputs drawn to fit a layer's ports.

use rand::{Rng, RngExt};

use super::bench::Value;
use crate::array::dim::Symbol;
use crate::array::shape::Sizes;
use crate::array::tensor::Tensor;
use crate::layer::Layer;
use crate::layer::port::{Axis, Kind, Need};

/// Random inputs for a layer, drawn to fit its ports: sizes from 1 to `largest`, numbers normal-ish, tokens in range.
///
/// Optional ports are wired if `optional`; a port that takes many gets one more than it needs. Returns the inputs and
/// what every symbol was drawn as.
pub fn random_inputs(
    layer: &dyn Layer,
    optional: bool,
    largest: usize,
    rng: &mut impl Rng,
) -> (Vec<Value<f64>>, Sizes) {
    let mut sizes = Sizes::new();
    let mut rest: Option<Vec<usize>> = None;
    let mut inputs = Vec::new();
    for port in layer.ports() {
        let count = match port.need {
            Need::Required => 1,
            Need::Optional if optional => 1,
            Need::Optional => break,
            Need::AtLeast(n) => n + 1,
        };
        for _ in 0..count {
            let mut length = |axis: &Axis, sizes: &mut Sizes| -> usize {
                let symbol = match axis {
                    Axis::Is(dim) => match (dim.size(), dim.symbol()) {
                        (Some(size), _) => return size,
                        (None, Some(symbol)) => symbol,
                        (None, None) => return 1,
                    },
                    Axis::Any(name) => Symbol::new(name),
                    Axis::Each(_) | Axis::Rest => return rng.random_range(1..=largest),
                };
                sizes.get(symbol).unwrap_or_else(|| {
                    let size = rng.random_range(1..=largest);
                    sizes.set(symbol, size);
                    size
                })
            };
            let mut shape = Vec::new();
            for axis in &port.shape {
                match (axis, &rest) {
                    (Axis::Rest, Some(rest)) => shape.extend(rest),
                    (Axis::Rest, None) => {
                        let begins = shape.is_empty();
                        let drawn = if begins {
                            vec![
                                length(&Axis::BATCH, &mut sizes),
                                length(&Axis::TIME, &mut sizes),
                                length(axis, &mut sizes),
                            ]
                        } else {
                            vec![length(axis, &mut sizes)]
                        };
                        shape.extend(&drawn);
                        rest = Some(drawn);
                    }
                    _ => shape.push(length(axis, &mut sizes)),
                }
            }
            let limit = match port.kind {
                Kind::Real => None,
                Kind::Tokens { below } => Some(length(&below, &mut sizes)),
            };
            let count = shape.iter().product();
            inputs.push(match limit {
                None => {
                    let values = (0..count).map(|_| rng.random_range(-2.0..2.0)).collect();
                    Value::Real(Tensor::from_vec(&shape, values).expect("as many as the shape has"))
                }
                Some(limit) => {
                    let tokens = (0..count).map(|_| rng.random_range(0..limit as u32)).collect();
                    Value::Tokens(
                        Tensor::from_vec(&shape, tokens).expect("as many as the shape has"),
                    )
                }
            });
        }
    }
    (inputs, sizes)
}
