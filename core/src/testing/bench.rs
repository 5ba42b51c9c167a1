//! One layer on a bench.

use super::engine::engine;
use super::stepwise::stepwise;
use crate::array::batch::Batch;
use crate::array::dim::Symbol;
use crate::array::shape::Sizes;
use crate::array::tensor::Tensor;
use crate::config::tagged::Tagged;
use crate::engine::{Engine, gradient_check};
use crate::graph::Document;
use crate::layer::Layer;
use crate::layer::context::Mode;
use crate::layer::port::{Axis, Need};
use crate::scalar::Scalar;

/// An input of a layer on the bench.
#[derive(Debug, Clone)]
pub enum Value<T> {
    /// Numbers.
    Real(Tensor<T>),
    /// Vocabulary indices.
    Tokens(Tensor<u32>),
}

impl<T> Value<T> {
    fn shape(&self) -> &[usize]
    where
        T: Copy + Default,
    {
        match self {
            Value::Real(tensor) => tensor.shape(),
            Value::Tokens(tensor) => tensor.shape(),
        }
    }
}

impl From<Tensor<f32>> for Value<f32> {
    fn from(tensor: Tensor<f32>) -> Self {
        Value::Real(tensor)
    }
}

impl From<Tensor<f64>> for Value<f64> {
    fn from(tensor: Tensor<f64>) -> Self {
        Value::Real(tensor)
    }
}

impl<T> From<Tensor<u32>> for Value<T> {
    fn from(tensor: Tensor<u32>) -> Self {
        Value::Tokens(tensor)
    }
}

/// A graph of one layer, its inputs given, its output the result.
#[derive(Debug, Clone)]
pub struct LayerBench<T> {
    engine: Engine<T>,
    batch: Batch,
}

/// The name of the only node.
const NODE: &str = "layer";

impl<T: Scalar> LayerBench<T> {
    /// A layer, as a graph file writes it, over the given inputs in the order of its ports.
    ///
    /// Symbols in the layer's text, and those of its ports, take the sizes of the given inputs. Parameters are drawn
    /// from seed 0.
    ///
    /// # Panics
    /// When the layer or its inputs are refused.
    pub fn new(layer: &str, inputs: Vec<Value<T>>) -> Self {
        Self::try_new(layer, inputs).unwrap_or_else(|faults| panic!("{layer}: {faults}"))
    }

    /// As [`new`](Self::new).
    ///
    /// # Errors
    /// The faults in words, when the layer or its inputs are refused.
    pub fn try_new(layer: &str, inputs: Vec<Value<T>>) -> Result<Self, String> {
        Self::with_sizes(layer, inputs, Sizes::new())
    }

    /// As [`try_new`](Self::try_new), with symbols bound that no input's shape shows.
    ///
    /// # Errors
    /// The faults in words, when the layer or its inputs are refused.
    pub fn with_sizes(layer: &str, inputs: Vec<Value<T>>, sizes: Sizes) -> Result<Self, String> {
        let (mut declared, mut from, mut rest, mut sizes) = (Vec::new(), Vec::new(), None, sizes);
        let parsed = Document::new("layer", layer);
        let parsed: Option<Tagged<dyn Layer>> = parsed.parse(parsed.text()).ok();
        let ports = parsed.map(|layer| layer.ports()).unwrap_or_default();
        let mut batch = Batch::new();
        for (at, value) in inputs.iter().enumerate() {
            let port = ports
                .get(at)
                .or_else(|| ports.last().filter(|p| matches!(p.need, Need::AtLeast(_))));
            let pattern = port.map(|port| port.shape.as_slice()).unwrap_or_default();
            declared.push(format!(
                "\"x{at}\": [{}]",
                dims(pattern, value.shape(), &mut rest, &mut sizes)
            ));
            from.push(format!("\"x{at}\""));
            let name = format!("x{at}");
            match value {
                Value::Real(tensor) => {
                    let values = batch.f64_mut(&name, tensor.shape());
                    values.iter_mut().zip(tensor.as_slice()).for_each(|(to, x)| *to = x.f64());
                }
                Value::Tokens(tensor) => {
                    batch.tokens_mut(&name, tensor.shape()).copy_from_slice(tensor.as_slice());
                }
            }
        }
        let text = format!(
            "Graph(inputs: {{{}}}, nodes: [(name: \"{NODE}\", layer: {layer}, from: [{}])], outputs: {{\"out\": \"{NODE}\"}})",
            declared.join(", "),
            from.join(", ")
        );
        let engine = engine(&text, sizes)?;
        Ok(LayerBench { engine, batch })
    }

    /// Runs the layer and returns a copy of its output.
    ///
    /// # Panics
    /// When an index is out of range.
    pub fn forward(&mut self, mode: Mode) -> Tensor<T> {
        self.engine.forward(&self.batch, mode).unwrap_or_else(|error| panic!("{error}"));
        self.output().clone()
    }

    /// The output of the last forward pass.
    ///
    /// # Panics
    /// Never: the graph of a bench has an output.
    pub fn output(&self) -> &Tensor<T> {
        self.engine.output("out").expect("a bench's graph has the output `out`")
    }

    /// Computes all gradients, given that of the output. Earlier gradients are dropped.
    pub fn backward(&mut self, output_gradient: &Tensor<T>) {
        let out = self.out();
        self.engine.backward_from(&[(out, output_gradient.as_slice())]);
    }

    /// As [`backward`](Self::backward), on top of the parameters' earlier gradients.
    pub fn backward_more(&mut self, output_gradient: &Tensor<T>) {
        let out = self.out();
        self.engine.backward_more_from(&[(out, output_gradient.as_slice())]);
    }

    fn out(&self) -> usize {
        self.engine.plan().output("out").expect("a bench's graph has the output `out`")
    }

    /// A parameter by its name within the layer.
    ///
    /// # Panics
    /// When there is none.
    pub fn parameter(&self, name: &str) -> &Tensor<T> {
        &self.engine.parameters()[self.index(name)]
    }

    /// A parameter, to be changed.
    ///
    /// # Panics
    /// When there is none.
    pub fn parameter_mut(&mut self, name: &str) -> &mut Tensor<T> {
        let at = self.index(name);
        &mut self.engine.parameters_mut()[at]
    }

    /// The gradient of a parameter.
    ///
    /// # Panics
    /// When there is none.
    pub fn parameter_gradient(&self, name: &str) -> &Tensor<T> {
        &self.engine.gradients()[self.index(name)]
    }

    /// The gradient of the input at `port`.
    ///
    /// # Panics
    /// When the port takes tokens.
    pub fn input_gradient(&self, port: usize) -> &Tensor<T> {
        let at = self.engine.plan().value(&format!("x{port}")).expect("a port for numbers");
        self.engine.value_gradient(at)
    }

    /// Runs the layer step by step over the time of its inputs and puts the outputs together: `[Batch, Time, ..]`.
    ///
    /// # Panics
    /// When the layer cannot run step by step.
    pub fn steps(&mut self) -> Tensor<T> {
        stepwise(&self.engine, &self.batch, "out").unwrap_or_else(|error| panic!("{error}"))
    }

    fn index(&self, name: &str) -> usize {
        let full = format!("{NODE}.{name}");
        self.engine.plan().parameter(&full).unwrap_or_else(|| panic!("no parameter `{name}`"))
    }
}

impl LayerBench<f64> {
    /// The worst relative error of all gradients against finite differences, in training mode; up to 60 elements of
    /// each array are compared.
    ///
    /// # Panics
    /// When an index is out of range.
    pub fn gradient_error(&mut self) -> f64 {
        let mode = Mode::Train { iteration: 3 };
        let worst = gradient_check(&mut self.engine, &self.batch, mode, 60, 1);
        let worst = worst.unwrap_or_else(|error| panic!("{error}"));
        worst.map_or(0.0, |worst| {
            println!("{worst}");
            worst.relative_error
        })
    }
}

/// The dimensions of an input as a graph file declares them; named ones are bound to the lengths found. `rest` keeps what
/// `..` stood for, so that it stands for the same in the next port.
fn dims(
    pattern: &[Axis],
    lengths: &[usize],
    rest: &mut Option<(Vec<usize>, Vec<String>)>,
    sizes: &mut Sizes,
) -> String {
    let mut one = |axis: Option<&Axis>, length: usize| match axis {
        Some(Axis::Is(dim)) if dim.is(Symbol::BATCH) || dim.is(Symbol::TIME) => dim.to_string(),
        Some(Axis::Is(dim)) => {
            if let Some(symbol) = dim.symbol().filter(|symbol| sizes.get(*symbol).is_none()) {
                sizes.set(symbol, length);
            }
            length.to_string()
        }
        _ => length.to_string(),
    };
    let at = pattern.iter().position(|axis| *axis == Axis::Rest);
    let Some(at) = at.filter(|_| lengths.len() + 1 >= pattern.len()) else {
        let names = lengths.iter().enumerate().map(|(i, length)| one(pattern.get(i), *length));
        return names.collect::<Vec<_>>().join(", ");
    };
    let after = pattern.len() - at - 1;
    let middle = at..lengths.len() - after;
    // Taken as batch, time and features where `..` is all there is, as time where more comes after it.
    let likely = |i: usize| match i {
        0 => "Batch".into(),
        1 if lengths.len() > 2 && (at == 0 || after > 0) => "Time".into(),
        _ => lengths[i].to_string(),
    };
    let found = &lengths[middle.clone()];
    let known = rest.as_ref().filter(|(lengths, _)| lengths == found);
    let rest = match known {
        Some((_, names)) => names.clone(),
        None => {
            let names: Vec<String> = middle.clone().map(likely).collect();
            rest.get_or_insert((found.to_vec(), names.clone()));
            names
        }
    };
    let front: Vec<String> = (0..at).map(|i| one(pattern.get(i), lengths[i])).collect();
    let back: Vec<String> =
        (0..after).map(|i| one(pattern.get(at + 1 + i), lengths[middle.end + i])).collect();
    [front, rest, back].concat().join(", ")
}
