//! What goes from one batch to the next: the section `carry` against the rest of the graph.

use super::check::{Checker, Source};
use super::layout::{CarryWire, Planned};
use super::spec::Carry;
use super::suggest::did_you_mean;
use super::wiring::{Wire, find, output_index};
use crate::array::dim::Symbol;
use crate::array::shape::Shape;

impl Checker<'_> {
    /// The input and the value of each entry.
    pub(super) fn carried(&mut self, planned: &[Option<Planned>]) -> Vec<CarryWire> {
        let graph = self.graph;
        let mut found: Vec<CarryWire> = Vec::new();
        for carry in &graph.carry {
            let carried = self.carries_to(carry).zip(self.carries_from(carry, planned));
            let Some((input, (node, output))) = carried else { continue };
            if found.iter().any(|other| other.input == input) {
                let message = format!("input `{}` is carried twice", carry.input);
                self.error(&carry.span, message, "keep one of the two");
                continue;
            }
            let shape = planned[node].as_ref().map(|plan| plan.signature.outputs[output].1.clone());
            self.fits(carry, input, shape);
            found.push(CarryWire { input, node, output });
        }
        found
    }

    /// The input that holds it.
    fn carries_to(&mut self, carry: &Carry) -> Option<usize> {
        let inputs = &self.graph.inputs;
        let at = inputs.iter().position(|input| input.name == carry.input);
        if at.is_none() {
            let message = format!("carry: there is no input `{}`", carry.input);
            let names = inputs.iter().map(|input| input.name.as_str());
            let help = format!(
                "declare it under `inputs`, such as \"{}\": [Batch, 512]; {}",
                carry.input,
                did_you_mean(&carry.input, names)
            );
            self.error(&carry.span, message, help);
        }
        at
    }

    /// The node and output that it comes from; `None` also after a fault of that node.
    fn carries_from(
        &mut self,
        carry: &Carry,
        planned: &[Option<Planned>],
    ) -> Option<(usize, usize)> {
        let Carry { input, value, span } = carry;
        let message = match find(self.graph, value) {
            Some(Wire::Node(node)) => {
                let outputs = &planned[node].as_ref()?.signature.outputs;
                match output_index(value, outputs) {
                    Some(output) => return Some((node, output)),
                    None => format!("carry `{input}`: there is no output `{value}`"),
                }
            }
            Some(_) => {
                format!("carry `{input}`: `{value}` is an input, expected what a node computes")
            }
            None => format!("carry `{input}` names `{value}`, which is no node"),
        };
        let nodes = self.graph.nodes.iter().map(|node| node.name.value.as_str());
        self.error(span, message, did_you_mean(value, nodes));
        None
    }

    /// Both are numbers of one shape, with a row for each sequence.
    fn fits(&mut self, carry: &Carry, input: usize, found: Option<Shape>) {
        let Carry { input: name, value, span } = carry;
        if let Source::Tokens(reader) = &self.sources[input] {
            let message = format!(
                "carry: `{reader}` takes input `{name}` as vocabulary indices, `{value}` computes numbers"
            );
            self.error(span, message, "carry an array of numbers, such as a state");
            return;
        }
        let (Some(shape), Some(found)) = (&self.graph.inputs[input].shape, found) else { return };
        let shape = self.bound(shape);
        let leads = shape.dims().first().is_some_and(|dim| dim.is(Symbol::BATCH));
        if !leads || shape.dims()[1..].iter().any(varies) {
            let message = format!(
                "carry: input `{name}` has the shape {shape}, expected [Batch, ..] without Time"
            );
            let help = "carry what each sequence has once, such as a cell's last state";
            self.error(span, message, help);
        } else if let Some(solved) = self.solution(&shape, &found) {
            self.solved = self.solved.or(Some(solved));
        } else if !shape.agrees(&found) {
            let message = format!(
                "carry: input `{name}` has the shape {shape}, found {found} from `{value}`"
            );
            self.error(span, message, "give the input the shape of the value");
        }
    }
}

impl Checker<'_> {
    /// The number that the first free symbol must stand for if the input is to have the value's shape.
    fn solution(&self, input: &Shape, value: &Shape) -> Option<(Symbol, usize)> {
        let pairs = input.dims().iter().zip(value.dims());
        let mut pairs = pairs.filter(|_| input.rank() == value.rank());
        pairs.find_map(|(dim, size)| {
            let symbol = dim.symbol().filter(|symbol| self.is_free(*symbol))?;
            let unknown = dim.size().is_none();
            size.size().filter(|_| unknown).map(|size| (symbol, size))
        })
    }
}

fn varies(dim: &crate::array::dim::Dim) -> bool {
    dim.is(Symbol::BATCH) || dim.is(Symbol::TIME)
}
