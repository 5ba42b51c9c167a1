//! The body of a scan: a plan for one step, and how values come in, are handed on and leave.

use super::plan::{Body, BodyCarry, BodyPort, NodePlan, Parameter};
use super::spec::Feed;
use crate::array::dim::{Dim, Symbol};
use crate::array::shape::Shape;
use crate::layer::form::Lowered;
use crate::layer::memory::MemoryPlan;
use crate::layer::signature::{Dependence, Facts, Meaning, Signature};
use crate::operations::scan::{Carried, Fed, Kind, Memory, Scan, ScanNode, Starting};
use engine_kernels::panels::Packing;

impl Body {
    /// Whether it takes the steps of time.
    pub(crate) fn is_over_time(&self) -> bool {
        self.over.is(Symbol::TIME)
    }

    /// What comes in by port: its name in the body, and whether each step meets its own part and not all of it.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, bool)> {
        self.ports.iter().map(|port| (port.name.as_str(), port.feed == Feed::PerStep))
    }

    /// What is handed on: its name, the body's value that is handed on under it, and the port where it starts, unless
    /// that is a constant.
    pub fn carries(&self) -> impl Iterator<Item = (&str, usize, Option<usize>)> {
        let start = |carry: &BodyCarry| match carry.start {
            Starting::Port(port) => Some(port),
            Starting::Constant(_) => None,
        };
        let next = self.plan.outputs[self.leaving..].iter().map(|(_, value)| *value);
        self.carries.iter().zip(next).map(move |(c, next)| (c.name.as_str(), next, start(c)))
    }

    /// The body's values that leave it, in the order of the node's outputs: first those of each step, then those that
    /// the last step hands on.
    pub fn leaving(&self) -> impl Iterator<Item = usize> {
        let (each, next) = self.plan.outputs.split_at(self.leaving);
        let last = self.last.iter().map(|carry| next[*carry].1);
        each.iter().map(|(_, value)| *value).chain(last)
    }

    /// The dimension whose steps are taken.
    pub fn over(&self) -> Dim {
        self.over
    }

    /// The value that an input of the plan is, if a node reads it or it is a result.
    pub(crate) fn fed(&self, name: &str) -> Option<usize> {
        let input = self.plan.inputs.iter().find(|input| input.name == name)?;
        input.slot.value().filter(|value| self.is_used(*value))
    }

    /// Whether a node reads or computes a value, or it is a result.
    fn is_used(&self, value: usize) -> bool {
        let mut nodes = self.plan.nodes.iter();
        nodes.any(|node| node.outputs.contains(&value) || node.reads().any(|read| read == value))
            || self.plan.outputs.iter().any(|(_, at)| *at == value)
    }

    /// The parameters of all nodes, one node's after the other's.
    pub(crate) fn parameters(&self) -> Vec<usize> {
        self.plan.nodes.iter().flat_map(|node| node.parameters.iter().copied()).collect()
    }

    /// Becomes the body of a node in its place: of its parameters, the one at `at` is the outer plan's `own[at]`, and its
    /// nodes' streams of random numbers follow from the node's.
    pub(crate) fn settle(&mut self, stream: u64, own: &[usize]) {
        for (node, at) in self.plan.nodes.iter_mut().zip(0..) {
            node.stream = ((stream + 1) << 16) + at;
            node.parameters.iter_mut().for_each(|at| *at = own[*at]);
            let stream = node.stream;
            node.change_body(|inner| inner.settle(stream, own));
        }
    }

    /// The shapes of what the node computes, and how that depends on its inputs. The parameters are the body's.
    pub(crate) fn signature(&self) -> Signature {
        let leaving = self.plan.outputs[..self.leaving].iter();
        let each = leaving.map(|(_, value)| self.over_steps(&self.plan.values[*value].shape));
        let last = self.last.iter().map(|carry| self.carries[*carry].shape.clone());
        let names = self.names.iter().map(|name| name.clone().into());
        let parameters = self.plan.parameters.iter().map(Parameter::planned);
        Signature {
            outputs: names.zip(each.chain(last)).collect(),
            parameters: parameters.collect(),
            facts: self.facts(),
            longest: None,
        }
    }

    /// A shape in the body as it is for all steps.
    pub(crate) fn over_steps(&self, shape: &Shape) -> Shape {
        let mut dims = shape.dims().to_vec();
        dims.insert(1.min(dims.len()), self.over);
        Shape::new(dims)
    }

    /// What lies where a value of the plan is.
    fn kind(&self, value: usize) -> Kind {
        let plan = &self.plan;
        let shape = &plan.values[value].shape;
        let of_batch = shape.batch_lead() > 0;
        let rank = shape.rank() - usize::from(of_batch);
        let fixed =
            |port: &BodyPort| port.feed == Feed::Static && self.fed(&port.name) == Some(value);
        match () {
            () if !self.is_used(value) => Kind::Unused,
            () if self.ports.iter().any(fixed) => Kind::Static { rank, of_batch },
            () => Kind::Steps { rank },
        }
    }

    /// The scan as an operation, and the memory that it takes.
    pub(crate) fn compile(&self) -> (Lowered, MemoryPlan) {
        let plan = &self.plan;
        let kinds: Vec<Kind> = (0..plan.values.len()).map(|value| self.kind(value)).collect();
        let mut memory = MemoryPlan::default();
        // Values, then what nodes save; gradients, then what is handed back, then what nodes need for a moment.
        for (value, kind) in plan.values.iter().zip(&kinds) {
            memory.saved.push(self.kept(&value.shape, *kind));
        }
        let mut gradients = Vec::new();
        for (at, value) in plan.values.iter().enumerate() {
            let apart = self.is_apart(at, &kinds);
            let shape = match kinds[at] {
                Kind::Steps { .. } if !apart => value.shape.clone(),
                kind => self.kept(&value.shape, kind),
            };
            gradients.push(apart);
            memory.scratch.push(shape);
        }
        for carry in &self.carries {
            memory.scratch.push(carry.shape.clone());
            memory.state.push(carry.shape.clone());
        }
        let (mut saved, mut scratch) = (memory.saved.len(), memory.scratch.len());
        let (mut parameters, mut packed) = (0, 0);
        let next = |from: &mut usize, count: usize| {
            *from += count;
            *from - count..*from
        };
        let nodes = plan.nodes.iter().map(|node| {
            let own = &node.memory;
            for shape in &own.saved {
                // What has no row for each sequence is an array that nobody uses.
                let by_row = shape.batch_lead() > 0;
                memory.saved.push(if by_row { self.over_steps(shape) } else { shape.clone() });
            }
            memory.scratch.extend(own.scratch.iter().cloned());
            memory.stored.extend(&own.stored);
            for packing in &own.packings {
                let parameter = parameters + packing.parameter;
                memory.packings.push(Packing { parameter, ..*packing });
            }
            let memory_of = |shapes: &[Shape]| {
                let memory = |shape: &Shape| match shape.batch_lead() {
                    0 => Memory::Whole,
                    _ => Memory::Rows { rank: shape.rank() - 1 },
                };
                shapes.iter().map(memory).collect()
            };
            ScanNode {
                operation: node.operation.clone(),
                slots: node.slots.clone(),
                outputs: node.outputs.clone(),
                saved: next(&mut saved, own.saved.len()),
                saved_memory: memory_of(&own.saved),
                scratch: next(&mut scratch, own.scratch.len()),
                scratch_memory: memory_of(&own.scratch),
                parameters: next(&mut parameters, node.parameters.len()),
                packed: next(&mut packed, own.packings.len()),
                stream: node.stream,
                apart: node.outputs.clone().all(|value| gradients[value]),
            }
        });
        let nodes = nodes.collect();
        let scan = Scan {
            nodes,
            kinds,
            apart: gradients,
            ports: self
                .ports
                .iter()
                .enumerate()
                .filter_map(|(port, fed)| {
                    let per_step = fed.feed == Feed::PerStep;
                    Some(Fed { port, value: self.fed(&fed.name)?, per_step })
                })
                .collect(),
            carries: self
                .carries
                .iter()
                .zip(&plan.outputs[self.leaving..])
                .map(|(carry, (_, next))| Carried {
                    value: self.fed(&carry.name),
                    start: carry.start,
                    next: *next,
                    rank: carry.shape.rank() - 1,
                })
                .collect(),
            leaving: plan.outputs[..self.leaving].iter().map(|(_, value)| *value).collect(),
            last: self.last.clone(),
            over_time: self.is_over_time(),
        };
        let label = format!("Scan {{ nodes: {} }}", scan.nodes.len());
        let lowered = Lowered::new(scan).label(label).facts(self.facts());
        let ports = self.ports.iter().enumerate();
        let by_step =
            ports.filter(|(_, port)| port.feed == Feed::PerStep && self.fed(&port.name).is_some());
        (by_step.fold(lowered, |lowered, (at, _)| lowered.indexed(at)), memory)
    }

    /// How what it computes depends on what comes in.
    fn facts(&self) -> Facts {
        let mut facts = Facts::new(self.dependence());
        for (at, port) in self.ports.iter().enumerate() {
            facts = match self.fed(&port.name) {
                None => facts.port(at, Dependence::StartOnly),
                Some(_) if port.feed == Feed::Static && port.shape.has(Symbol::TIME) => {
                    facts.port(at, Dependence::Whole)
                }
                Some(_) => facts,
            };
        }
        let ends = self.is_over_time() && !self.last.is_empty();
        if ends { facts.meaning(Meaning::Last) } else { facts }
    }

    /// The shape of the array that a value lies in.
    fn kept(&self, shape: &Shape, kind: Kind) -> Shape {
        match kind {
            Kind::Unused => Shape::scalar(),
            Kind::Static { .. } => shape.clone(),
            Kind::Steps { .. } => self.over_steps(shape),
        }
    }

    /// Whether the gradients of a value are kept for all steps, because its node adds up those of its parameters once for
    /// all of them.
    fn is_apart(&self, value: usize, kinds: &[Kind]) -> bool {
        let node = self.plan.nodes.iter().find(|node| node.outputs.contains(&value));
        node.is_some_and(|node| {
            let by_step = |value: usize| matches!(kinds[value], Kind::Steps { .. });
            node.abilities.separable && !node.parameters.is_empty() && node.reads().all(by_step)
        })
    }

    /// What an output at one step depends on: whatever its nodes say, and the steps before.
    fn dependence(&self) -> Dependence {
        let timed = |port: &BodyPort| port.shape.has(Symbol::TIME);
        let of_all = |node: &NodePlan| match node.facts.widest() {
            Dependence::Whole => true,
            Dependence::Batch => node.reads().any(|v| self.plan.values[v].shape.has(Symbol::TIME)),
            _ => false,
        };
        if self.plan.nodes.iter().any(of_all) || self.ports.iter().any(timed) {
            return Dependence::Whole;
        }
        if self.is_over_time() { Dependence::Past } else { Dependence::Item }
    }
}
