//! The check of a scan: whether what it reads, hands on and yields fits its body.

use std::ops::Range;

use super::check::Checker;
use super::fault::{Fault, Severity};
use super::layout::Planned;
use super::plan::{Body, BodyCarry, BodyPort};
use super::spec::{
    Content, Feed, Graph, HandedOn, Input, Located, Node, Output, SCAN, Scan, Start,
};
use super::suggest::did_you_mean;
use super::wiring::Wire;
use crate::array::dim::{Dim, Symbol};
use crate::array::shape::Shape;
use crate::layer::port::{Axis, Port};
use crate::operations::scan::Starting;

/// How many bodies can be in one another.
const DEEPEST: usize = 2;

impl Checker<'_> {
    /// Plans a scan; `None` after a fault.
    ///
    /// The body is checked as a graph of its own, whose inputs are what the node reads and what is handed on. Its names
    /// begin with the node's, so that every message and every parameter tells the whole path.
    pub(super) fn scan(
        &mut self,
        node: &Node,
        wires: &[Wire],
        scan: &Scan,
        span: &Range<usize>,
        shapes: &[Option<Shape>],
    ) -> Option<Planned> {
        let name = &node.name.value;
        if self.depth == DEEPEST {
            let message = format!("node `{name}`, {SCAN}: bodies are at most {DEEPEST} deep");
            self.error(span, message, "let the outer graph do some of the work");
            return None;
        }
        if shapes.len() != scan.inputs.len() {
            let names: Vec<&str> = scan.inputs.iter().map(|(name, _)| &*name.value).collect();
            let message = format!(
                "node `{name}`, {SCAN}: expected {} inputs, found {}",
                scan.inputs.len(),
                shapes.len()
            );
            let names = names.join(", ");
            let help = format!("`from` lists what `inputs` names, in the same order: {names}");
            self.error(span, message, help);
            return None;
        }
        let over = self.sizes.bind(scan.over);
        let ports: Vec<Option<BodyPort>> = (0..shapes.len())
            .map(|at| self.port(node, &scan.inputs[at], &node.from[at], over, shapes[at].as_ref()?))
            .collect();
        let kinds: Vec<Port> = scan
            .inputs
            .iter()
            .map(|(name, _)| Port {
                name: name.value.clone().into(),
                ..Port::real("", [Axis::Rest])
            })
            .collect();
        self.kinds(node, wires, &kinds);
        let ports = ports.into_iter().collect::<Option<Vec<_>>>()?;
        let carries: Vec<Option<BodyCarry>> =
            scan.carry.iter().map(|carry| self.carry(node, scan, carry, &ports)).collect();
        let carries = carries.into_iter().collect::<Option<Vec<_>>>()?;
        let last = self.last(node, scan)?;
        let graph = self.body_graph(node, scan, &ports, &carries)?;
        let body = self.body((name, &graph), scan, over, ports, carries, last)?;
        self.rows_only(node, span, &body)?;
        let (signature, (lowered, memory)) = (body.signature(), body.compile());
        let (ports, body) = (kinds, Some(body));
        Some(Planned { signature, ports, definition: None, lowered, memory, body })
    }

    /// What the body meets of an input.
    fn port(
        &mut self,
        node: &Node,
        (name, feed): &(Located<String>, Feed),
        from: &Located<String>,
        over: Dim,
        shape: &Shape,
    ) -> Option<BodyPort> {
        let path = format!("{}/{}", node.name.value, name.value);
        let port = |shape| Some(BodyPort { name: path.clone(), feed: *feed, shape });
        if *feed == Feed::Static {
            return port(shape.clone());
        }
        let dims = shape.dims();
        let steps = dims.first().is_some_and(|dim| dim.is(Symbol::BATCH))
            && dims.get(1).is_some_and(|dim| dim.agrees(over));
        if !steps {
            let message = format!(
                "node `{}`, {SCAN}: input `{}` is read step by step: expected [Batch, {over}, ..], found {shape} from `{}`",
                node.name.value, name.value, from.value
            );
            self.error(&from.span, message, "write Static for what every step meets all of");
            return None;
        }
        port(Shape::new(dims[..1].iter().chain(&dims[2..]).copied()))
    }

    /// Where something that is handed on starts.
    fn carry(
        &mut self,
        node: &Node,
        scan: &Scan,
        carry: &HandedOn,
        ports: &[BodyPort],
    ) -> Option<BodyCarry> {
        let name = format!("{}/{}", node.name.value, carry.name.value);
        if carry.next.value == carry.name.value {
            let message = format!("carry `{name}` hands on what it was handed: no step sets it");
            self.error(&carry.next.span, message, "let `next` name what a node computes");
            return None;
        }
        let (start, shape) = match &carry.start.value {
            Start::Constant { value, shape } => {
                let dims = shape.dims().iter().map(|dim| self.sizes.bind(*dim));
                (Starting::Constant(*value), Shape::new(dims))
            }
            Start::Input(input) => {
                let Some(at) = scan.inputs.iter().position(|(known, _)| known.value == *input)
                else {
                    let message = format!("carry `{name}` starts at `{input}`, which is no input");
                    let known = scan.inputs.iter().map(|(known, _)| known.value.as_str());
                    self.error(&carry.start.span, message, did_you_mean(input, known));
                    return None;
                };
                if ports[at].feed == Feed::PerStep {
                    let message =
                        format!("carry `{name}` starts at `{input}`, which comes step by step");
                    self.error(&carry.start.span, message, "make that input Static");
                    return None;
                }
                (Starting::Port(at), ports[at].shape.clone())
            }
        };
        if shape.batch_lead() != 1 || shape.dims()[1..].iter().any(|dim| dim.is(Symbol::BATCH)) {
            let message =
                format!("carry `{name}`: expected a start of shape [Batch, ..], found {shape}");
            let help = "write Zeros([Batch, 512]), or name an input of such a shape";
            self.error(&carry.start.span, message, help);
            return None;
        }
        Some(BodyCarry { name, shape, start })
    }

    /// The carries that leave after the last step.
    fn last(&mut self, node: &Node, scan: &Scan) -> Option<Vec<usize>> {
        let found: Vec<Option<usize>> = scan
            .last
            .iter()
            .map(|(name, carry)| {
                let at = scan.carry.iter().position(|known| known.name.value == carry.value);
                if at.is_none() {
                    let message = format!(
                        "node `{}`, {SCAN}: `last` names `{}` for `{name}`, and nothing is handed on under that name",
                        node.name.value, carry.value
                    );
                    let known = scan.carry.iter().map(|known| known.name.value.as_str());
                    self.error(&carry.span, message, did_you_mean(&carry.value, known));
                }
                at
            })
            .collect();
        found.into_iter().collect()
    }

    /// The body as a graph whose names begin with the node's.
    fn body_graph(
        &mut self,
        node: &Node,
        scan: &Scan,
        ports: &[BodyPort],
        carries: &[BodyCarry],
    ) -> Option<Graph> {
        let input = |name: &str, shape: &Shape, span: &Range<usize>| Input {
            name: name.to_owned(),
            shape: Some(shape.clone()),
            span: span.clone(),
        };
        let inputs = ports.iter().zip(&scan.inputs);
        let inputs = inputs.map(|(port, (name, _))| input(&port.name, &port.shape, &name.span));
        let handed = carries.iter().zip(&scan.carry);
        let handed = handed.map(|(carry, said)| input(&carry.name, &carry.shape, &said.name.span));
        let within = Within { path: &node.name.value, nodes: &scan.nodes };
        let leaving = scan.outputs.iter().map(|(_, value)| within.output(value));
        // What is handed on may be an input, which is no result of a graph: such values are found later.
        let computed = scan.carry.iter().filter(|carry| within.computes(&carry.next.value));
        let handed_on = computed.map(|carry| within.output(&carry.next));
        let graph = Graph {
            precision: self.graph.precision,
            sizes: Vec::new(),
            inputs: inputs.chain(handed).collect(),
            nodes: scan.nodes.iter().map(|node| within.node(node)).collect(),
            outputs: leaving.chain(handed_on).collect(),
            carry: Vec::new(),
            warnings: Vec::new(),
        };
        let known = |carry: &HandedOn| {
            let path = within.name(&carry.next.value);
            within.computes(&carry.next.value) || graph.inputs.iter().any(|i| i.name == path)
        };
        let mut whole = true;
        for carry in scan.carry.iter().filter(|carry| !known(carry)) {
            let message = format!(
                "carry `{}/{}`: no step sets it: `{}` is no node of the body",
                node.name.value, carry.name.value, carry.next.value
            );
            let names = scan.nodes.iter().map(|node| node.name.value.as_str());
            self.error(&carry.next.span, message, did_you_mean(&carry.next.value, names));
            whole = false;
        }
        for (_, value) in scan.outputs.iter().filter(|(_, value)| !within.computes(&value.value)) {
            let message = format!(
                "node `{}`, {SCAN}: nothing leaves as `{}`, which is no node of the body",
                node.name.value, value.value
            );
            let names = scan.nodes.iter().map(|node| node.name.value.as_str());
            self.error(&value.span, message, did_you_mean(&value.value, names));
            whole = false;
        }
        whole.then_some(graph)
    }

    fn body(
        &mut self,
        (path, graph): (&str, &Graph),
        scan: &Scan,
        over: Dim,
        ports: Vec<BodyPort>,
        carries: Vec<BodyCarry>,
        last: Vec<usize>,
    ) -> Option<Body> {
        let mut checker = Checker::new(graph, self.sizes, self.symbols);
        checker.depth = self.depth + 1;
        let plan = checker.plan();
        let solved = checker.solved;
        // What something handed on starts at is of use, whether or not a step reads it.
        let starts = carries.iter().filter_map(|carry| match carry.start {
            Starting::Port(port) => Some(&scan.inputs[port].0.span),
            Starting::Constant(_) => None,
        });
        let starts: Vec<&Range<usize>> = starts.collect();
        let is_start = |fault: &Fault| fault.span.as_ref().is_some_and(|s| starts.contains(&s));
        let unread = |fault: &Fault| fault.severity == Severity::Warning && is_start(fault);
        self.faults.extend(checker.faults.into_iter().filter(|fault| !unread(fault)));
        self.solved = self.solved.or(solved);
        let mut plan = plan?;
        if let Some(tokens) = plan.inputs.iter().find(|input| input.is_tokens()) {
            let span = graph.inputs.iter().find(|i| i.name == tokens.name).map(|i| i.span.clone());
            let message = format!(
                "`{}` is read as vocabulary indices, and a body takes numbers",
                tokens.name
            );
            self.error(&span?, message, "put Embedding before the Scan and feed it what comes out");
            return None;
        }
        let leaving = scan.outputs.len();
        let results = std::mem::take(&mut plan.outputs);
        plan.outputs.extend(results.iter().take(leaving).cloned());
        let mut fits = true;
        for (carry, said) in carries.iter().zip(&scan.carry) {
            let next = format!("{path}/{}", said.next.value);
            let Some(value) = plan.value(&next) else {
                let message = format!("carry `{}`: no node computes or reads `{next}`", carry.name);
                self.error(&said.next.span, message, "");
                return None;
            };
            fits &= self.same_shape(carry, said, &plan.values[value].shape);
            plan.outputs.push((carry.name.clone(), value));
        }
        let names = scan.outputs.iter().map(|(name, _)| name.clone());
        let names = names.chain(scan.last.iter().map(|(name, _)| name.clone())).collect();
        fits.then_some(Body { plan, over, ports, carries, leaving, last, names })
    }

    /// Whether what is handed on has the shape that it starts with.
    fn same_shape(&mut self, carry: &BodyCarry, said: &HandedOn, next: &Shape) -> bool {
        let axes: Vec<Axis> = carry.shape.dims().iter().copied().map(Axis::Is).collect();
        let fit = self.fit(&[Port::real("next", axes)], &[Some(next.clone())]);
        if fit.misfits.is_empty() {
            return true;
        }
        let message = format!(
            "carry `{}` changes its shape over a step: it starts as {}, and `{}` is {next}",
            carry.name, carry.shape, said.next.value
        );
        self.error(&said.next.span, message, "hand on what has the shape of the start");
        false
    }

    /// Whether everything that the body computes, and what its layers save, has a row for each sequence.
    fn rows_only(&mut self, node: &Node, span: &Range<usize>, body: &Body) -> Option<()> {
        let by_row = |shape: &Shape| shape.batch_lead() == 1 && !shape.has(Symbol::TIME);
        for inner in &body.plan.nodes {
            let computed = inner.outputs.clone().map(|value| &body.plan.values[value].shape);
            if let Some(shape) = computed.chain(&inner.memory.saved).find(|shape| !by_row(shape)) {
                let message = format!(
                    "node `{}`, {}: in a body every array begins with Batch and has no Time, found {shape}",
                    inner.name,
                    inner.tag()
                );
                let place = self.place_of(node, &inner.name).unwrap_or_else(|| span.clone());
                self.error(&place, message, "move the node out of the Scan");
            }
        }
        let failed = self.faults.iter().any(|fault| fault.severity == Severity::Error);
        (!failed).then_some(())
    }

    fn place_of(&self, node: &Node, path: &str) -> Option<Range<usize>> {
        let Content::Scan(scan) = &node.content.as_ref()?.value else { return None };
        let name = path.strip_prefix(&node.name.value)?.strip_prefix('/')?;
        let inner = scan.nodes.iter().find(|inner| inner.name.value == name)?;
        Some(inner.name.span.clone())
    }
}

/// The names of a body: as it says them, and with the path that leads there.
struct Within<'a> {
    path: &'a str,
    nodes: &'a [Node],
}

impl Within<'_> {
    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    fn located(&self, name: &Located<String>) -> Located<String> {
        Located { value: self.name(&name.value), span: name.span.clone() }
    }

    /// Whether a node of the body computes the value of this name.
    fn computes(&self, name: &str) -> bool {
        let node = name.split_once('.').map_or(name, |(node, _)| node);
        self.nodes.iter().any(|known| known.name.value == node)
    }

    fn output(&self, value: &Located<String>) -> Output {
        let value = self.located(value);
        Output { role: value.value.clone(), value: value.value, span: value.span }
    }

    fn node(&self, node: &Node) -> Node {
        Node {
            name: self.located(&node.name),
            from: node.from.iter().map(|from| self.located(from)).collect(),
            ..node.clone()
        }
    }
}
