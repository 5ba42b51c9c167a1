//! A checked graph becomes a plan: the order of computation, the table of values, who owns which parameters.

use std::sync::Arc;

use super::definition::Definition;
use super::plan::Body;
use super::plan::{CarryPlan, InputPlan, NodePlan, Parameter, Plan, Value};
use super::ports;
use super::spec::{Content, Graph, Input};
use super::wiring::{Wire, needed, output_index};
use crate::array::dim::Dim;
use crate::array::shape::{Shape, Sizes};
use crate::layer::context::Slot;
use crate::layer::form::{Form, Lowered};
use crate::layer::memory::MemoryPlan;
use crate::layer::port::{Axis, Kind, Port};
use crate::layer::signature::Signature;

/// A node that is planned.
pub(super) struct Planned {
    pub(super) signature: Signature,
    pub(super) ports: Vec<Port>,
    /// The layer in its place, unless it is a scan.
    pub(super) definition: Option<Definition>,
    /// Its plain form, and the memory that it needs.
    pub(super) lowered: Lowered,
    pub(super) memory: MemoryPlan,
    /// The network that it runs once for each step, whose parameters are those of the signature.
    pub(super) body: Option<Body>,
}

/// What a graph carries: an input, the node that computes what it holds for the next batch, and which of its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CarryWire {
    pub(super) input: usize,
    pub(super) node: usize,
    pub(super) output: usize,
}

/// What the check has found out of a graph.
#[derive(Clone, Copy)]
pub(super) struct Layout<'a> {
    pub(super) graph: &'a Graph,
    pub(super) sizes: &'a Sizes,
    pub(super) wires: &'a [Vec<Wire>],
    pub(super) planned: &'a [Option<Planned>],
    /// Role, node, output of the node.
    pub(super) outputs: &'a [(String, usize, usize)],
    pub(super) carried: &'a [CarryWire],
}

impl<'a> Layout<'a> {
    fn planned(&self, node: usize) -> &'a Planned {
        self.planned[node].as_ref().expect("a plan is made of nodes that are all planned")
    }

    /// The plan of the nodes that some result depends on, in `order`; `tokens` says which inputs are indices.
    pub(super) fn plan(&self, order: &[usize], tokens: &[bool]) -> Plan {
        let Layout { graph, sizes, wires, outputs, carried, .. } = *self;
        let results = outputs.iter().map(|(_, node, _)| *node);
        let results = results.chain(carried.iter().map(|carried| carried.node));
        let needed = needed(graph.nodes.len(), results, wires);
        let order: Vec<usize> = order.iter().copied().filter(|&node| needed[node]).collect();
        let mut values = Vec::new();
        let mut token_count = 0;
        let mut input_slots = Vec::new();
        for (at, input) in graph.inputs.iter().enumerate() {
            let reads = |node: &usize| wires[*node].contains(&Wire::Input(at));
            input_slots.push(if !order.iter().any(reads) {
                Slot::Absent
            } else if tokens[at] {
                token_count += 1;
                Slot::Tokens(token_count - 1)
            } else {
                values.push(Value {
                    name: input.name.clone(),
                    shape: input_shape(input, sizes),
                    words: None,
                });
                Slot::Value(values.len() - 1)
            });
        }
        let mut first_value = vec![0; graph.nodes.len()];
        for &node in &order {
            first_value[node] = values.len();
            let name = &graph.nodes[node].name.value;
            for (output, shape) in &self.planned(node).signature.outputs {
                let name =
                    if output.is_empty() { name.clone() } else { format!("{name}.{output}") };
                values.push(Value { name, shape: shape.clone(), words: None });
            }
        }
        let slot = |reader: usize, port: usize| match wires[reader].get(port) {
            None | Some(Wire::Unknown) => Slot::Absent,
            Some(Wire::Input(input)) => input_slots[*input],
            Some(Wire::Node(node)) => {
                let name = &graph.nodes[reader].from[port].value;
                let output = output_index(name, &self.planned(*node).signature.outputs);
                Slot::Value(first_value[*node] + output.expect("checked with the shapes"))
            }
        };
        let (parameters, owned) = self.parameters(&order);
        let nodes = order
            .iter()
            .zip(0..)
            .map(|(&at, stream)| {
                let (node, plan) = (&graph.nodes[at], self.planned(at));
                let ports = plan.ports.len().max(wires[at].len());
                let layer = match node.content.as_ref().map(|content| &content.value) {
                    Some(Content::Layer(layer)) => Some(layer.clone()),
                    Some(Content::Scan(_)) | None => None,
                };
                let (mut body, mut operation) = (plan.body.clone(), plan.lowered.operation.clone());
                if let Some(body) = &mut body {
                    body.settle(stream, &owned[at]);
                    operation = body.compile().0.operation;
                }
                NodePlan {
                    name: node.name.value.clone(),
                    layer,
                    definition: plan.definition.clone().map(Arc::new),
                    form: Form::PLAIN,
                    operation,
                    label: plan.lowered.label.clone(),
                    facts: plan.signature.facts.clone(),
                    abilities: plan.lowered.abilities.clone(),
                    memory: plan.memory.clone(),
                    longest: plan.signature.longest,
                    words: None,
                    stream,
                    slots: (0..ports).map(|port| slot(at, port)).collect(),
                    outputs: first_value[at]..first_value[at] + plan.signature.outputs.len(),
                    parameters: body.as_ref().map_or_else(|| owned[at].clone(), Body::parameters),
                    body: body.map(Arc::new),
                }
            })
            .collect();
        let inputs =
            graph.inputs.iter().enumerate().filter(|(at, _)| input_slots[*at] != Slot::Absent);
        Plan {
            precision: graph.precision,
            inputs: inputs
                .map(|(at, input)| InputPlan {
                    name: input.name.clone(),
                    shape: input_shape(input, sizes),
                    slot: input_slots[at],
                    below: self.limits(at, &order, &values, &slot),
                })
                .collect(),
            nodes,
            parameters,
            outputs: outputs
                .iter()
                .map(|(role, node, output)| (role.clone(), first_value[*node] + output))
                .collect(),
            carries: carried
                .iter()
                .filter_map(|carried| {
                    let value = first_value[carried.node] + carried.output;
                    input_slots[carried.input].value().map(|input| CarryPlan { input, value })
                })
                .collect(),
            values,
            sizes: sizes.clone(),
            arranged: None,
            folds: Vec::new(),
        }
    }

    /// The parameters of all nodes, and which of them each node uses: of those of the node that `weights_of` names, the
    /// ones of the same name.
    fn parameters(&self, order: &[usize]) -> (Vec<Parameter>, Vec<Vec<usize>>) {
        let Layout { graph, planned, .. } = *self;
        let mut parameters: Vec<Parameter> = Vec::new();
        let mut used: Vec<Vec<usize>> = vec![Vec::new(); planned.len()];
        for &node in order {
            let plans = planned[node].iter().flat_map(|plan| &plan.signature.parameters);
            for (name, plan) in graph.parameter_names(node, planned).into_iter().zip(plans) {
                let known = parameters.iter().position(|parameter| parameter.name == name);
                let parameter = Parameter {
                    shape: plan.shape.clone(),
                    fill: plan.fill.clone(),
                    decays: plan.decays,
                    momentum: plan.momentum,
                    name,
                };
                used[node].push(match known {
                    None => {
                        parameters.push(parameter);
                        parameters.len() - 1
                    }
                    // However many nodes use it, its owner says how it begins.
                    Some(at) if graph.nodes[node].weights_of.is_none() => {
                        parameters[at] = parameter;
                        at
                    }
                    Some(at) => at,
                });
            }
        }
        (parameters, used)
    }

    /// What every index of a token input must be below: each reader's limit.
    fn limits(
        &self,
        input: usize,
        order: &[usize],
        values: &[Value],
        slot: &dyn Fn(usize, usize) -> Slot,
    ) -> Vec<Dim> {
        let Layout { wires, .. } = *self;
        let mut limits = Vec::new();
        for &node in order {
            let plan = self.planned(node);
            for (at, wire) in wires[node].iter().enumerate() {
                let port = ports::port_at(&plan.ports, at);
                let Some(Kind::Tokens { below }) = port.map(|port| port.kind) else { continue };
                if *wire != Wire::Input(input) {
                    continue;
                }
                let limit = match below {
                    Axis::Is(dim) => Some(dim),
                    name => axis_of(name, &plan.ports, |port| match slot(node, port) {
                        Slot::Value(value) => Some(&values[value].shape),
                        _ => None,
                    }),
                };
                limits.extend(limit);
            }
        }
        limits
    }
}

fn input_shape(input: &Input, sizes: &Sizes) -> Shape {
    let shape = input.shape.as_ref().expect("an input that a plan reads has a shape");
    Shape::new(shape.dims().iter().map(|dim| sizes.bind(*dim)))
}

/// The dimension that a named axis stands for, read off the first port that mentions it, counted from the end.
fn axis_of<'a>(
    name: Axis,
    ports: &[Port],
    shape: impl Fn(usize) -> Option<&'a Shape>,
) -> Option<Dim> {
    ports.iter().enumerate().find_map(|(at, port)| {
        let from_end = port.shape.iter().rev().position(|axis| *axis == name)?;
        let dims = shape(at)?.dims();
        dims.len().checked_sub(from_end + 1).map(|at| dims[at])
    })
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use crate::config::init::Fill;
    use crate::layer::context::{Backward, Forward};
    use crate::testing::engine;
    use crate::{
        Axis, Dependence, Dim, Kernel, Layer, Lowered, Memory, PlanError, Port, PortShapes,
        Signature, Sizes,
    };

    /// A layer of these parameters, which does nothing.
    #[derive(Debug, Clone, Serialize, Deserialize)]
    struct Holder {
        w: Dim,
        bias: bool,
        other: bool,
    }

    #[typetag::serde]
    impl Layer for Holder {
        fn ports(&self) -> Vec<Port> {
            vec![Port::real("x", [Axis::BATCH, Axis::Rest])]
        }
        fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
            let plan = Signature::output(inputs.shape(0).clone(), Dependence::Item);
            let plan = if self.other { plan.bias("u", [self.w], Fill::zero()) } else { plan };
            let plan = plan.bias_if(self.bias, "b", [2.into()]);
            Ok(if self.other { plan } else { plan.weights("w", [self.w], Fill::zero()) })
        }
        fn plain(&self, _: &mut Memory<'_>) -> Lowered {
            Lowered::new(self.clone())
        }
    }

    impl<T> Kernel<T> for Holder {
        fn forward(&self, _: &mut Forward<'_, T>) {}
        fn backward(&self, _: &mut Backward<'_, T>) {}
    }

    /// The parameters of a node `a` and of `b`, which has the weights of `a`, and which of them each uses.
    fn shared(a: &str, b: &str) -> Result<(Vec<String>, Vec<Vec<usize>>), String> {
        let text = format!(
            r#"Graph(inputs: {{"x": [Batch, 3]}}, nodes: [
                (name: "b", layer: Holder({b}), from: ["a"], weights_of: "a"),
                (name: "a", layer: Holder({a}), from: ["x"]),
            ], outputs: {{"out": "b"}})"#
        );
        let plan = engine::<f64>(&text, Sizes::new())?.plan().clone();
        let names = plan.parameters.iter().map(|parameter| parameter.name.clone()).collect();
        Ok((names, plan.nodes.iter().map(|node| node.parameters.clone()).collect()))
    }

    #[test]
    fn nodes_share_the_parameters_that_both_have_by_name() {
        let (plain, biased) = ("w: 4, bias: false, other: false", "w: 4, bias: true, other: false");
        let (names, used) = shared(plain, plain).unwrap();
        assert_eq!((names, used), (vec!["a.w".to_owned()], vec![vec![0], vec![0]]));
        let (names, used) = shared(plain, biased).unwrap();
        assert_eq!(names, ["a.w", "b.b"]);
        assert_eq!(used, [vec![0], vec![1, 0]]);
        let (names, used) = shared(biased, plain).unwrap();
        assert_eq!(names, ["a.b", "a.w"]);
        assert_eq!(used, [vec![0, 1], vec![1]]);
    }

    #[test]
    fn other_shapes_and_no_name_in_common_are_refused() {
        let (four, five) = ("w: 4, bias: true, other: false", "w: 5, bias: true, other: false");
        let error = shared(four, five).unwrap_err();
        assert!(error.contains("it needs b [2], w [5], found b [2], w [4]"), "{error}");
        assert!(error.contains("must have one shape"), "{error}");
        let error = shared(four, "w: 4, bias: false, other: true").unwrap_err();
        assert!(error.contains("it needs u [4], found b [2], w [4]"), "{error}");
        assert!(error.contains("these have none"), "{error}");
    }
}
