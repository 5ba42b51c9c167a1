//! Everything that can be known to be wrong before a number is computed, found in one go.

use std::ops::Range;

use super::definition::Definition;
use super::fault::{Fault, Severity};
use super::inline::between_copies;
use super::layout::{Layout, Planned};
use super::plan::Plan;
use super::ports::{self, Fit, Misfit};
use super::spec::{Content, Graph, Located, Node};
use super::suggest::did_you_mean;
use super::wiring::{Wire, Wiring, output_index, output_names};
use crate::array::dim::Symbol;
use crate::array::shape::{Shape, Sizes};
use crate::config::tagged::Tagged;
use crate::layer::form::Form;
use crate::layer::port::{Kind, Need, Port, PortShapes};
use crate::layer::signature::Signature;
use crate::layer::{Layer, PlanError};

/// The outcome of a check.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The network laid out, if nothing is wrong.
    pub plan: Option<Plan>,
    /// Errors, if there is no plan; and warnings.
    pub faults: Vec<Fault>,
}

impl Graph {
    /// Checks the whole network and lays it out.
    ///
    /// `sizes` binds what is already known of symbolic sizes; shapes are compared by number where both are known, by
    /// name elsewhere. `symbols` names the sizes that the data set will bind, if one is known. Any other symbol must
    /// follow from the graph: `Projection(units: Hidden)` into a port of width 512 makes `Hidden` 512.
    pub fn check(&self, sizes: &Sizes, symbols: Option<&[&str]>) -> Checked {
        let mut sizes = sizes.clone();
        let mut faults = self.warnings.clone();
        faults.extend(self.own_sizes(&mut sizes, symbols));
        loop {
            let mut checker = Checker::new(self, &sizes, symbols);
            let plan = checker.plan();
            // One symbol more is known after each turn, and there are no more symbols than the graph mentions.
            if let Some((symbol, size)) = checker.solved {
                sizes.set(symbol, size);
                continue;
            }
            faults.extend(checker.faults);
            let failed = faults.iter().any(|fault| fault.severity == Severity::Error);
            return Checked { plan: plan.filter(|_| !failed), faults };
        }
    }

    /// Binds the sizes that the file itself gives names to.
    fn own_sizes(&self, sizes: &mut Sizes, symbols: Option<&[&str]>) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (name, size) in &self.sizes {
            if symbols.is_some_and(|all| all.contains(&name.value.name())) {
                let message = format!("size `{}` is the data's to say", name.value);
                let help = "leave it out of `sizes`, or give yours another name";
                faults.push(Fault::error(message).at(name.span.clone()).help(help));
            } else {
                sizes.set(name.value, *size);
            }
        }
        faults
    }
}

/// How an input is used, which its first reader decides.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Unread,
    Real(String),
    Tokens(String),
}

pub(super) struct Checker<'a> {
    pub(super) graph: &'a Graph,
    pub(super) sizes: &'a Sizes,
    pub(super) symbols: Option<&'a [&'a str]>,
    pub(super) faults: Vec<Fault>,
    pub(super) sources: Vec<Source>,
    /// The first symbol that the graph itself says the number of.
    pub(super) solved: Option<(Symbol, usize)>,
    /// How many bodies it is in.
    pub(super) depth: usize,
}

impl<'a> Checker<'a> {
    pub(super) fn new(graph: &'a Graph, sizes: &'a Sizes, symbols: Option<&'a [&'a str]>) -> Self {
        let sources = graph.inputs.iter().map(|_| Source::Unread).collect();
        Checker { graph, sizes, symbols, faults: Vec::new(), sources, solved: None, depth: 0 }
    }
}

impl Checker<'_> {
    pub(super) fn plan(&mut self) -> Option<Plan> {
        let Wiring { wires, order } = Wiring::of(self.graph, &mut self.faults)?;
        let mut planned: Vec<Option<Planned>> = self.graph.nodes.iter().map(|_| None).collect();
        for &node in &order {
            planned[node] = self.node(node, &wires[node], &planned);
        }
        self.owners();
        self.shared_parameters(&planned);
        let outputs = self.outputs(&planned);
        let carried = self.carried(&planned);
        self.symbols();
        self.unused(&outputs, &carried, &wires);
        if planned.iter().any(Option::is_none) {
            return None;
        }
        (!self.failed()).then(|| {
            let kinds: Vec<bool> =
                self.sources.iter().map(|source| matches!(source, Source::Tokens(_))).collect();
            let layout = Layout {
                graph: self.graph,
                sizes: self.sizes,
                wires: &wires,
                planned: &planned,
                outputs: &outputs,
                carried: &carried,
            };
            layout.plan(&order, &kinds)
        })
    }

    pub(super) fn failed(&self) -> bool {
        self.faults.iter().any(|fault| fault.severity == Severity::Error)
    }

    pub(super) fn error(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let help = Some(help.into()).filter(|help| !help.is_empty());
        self.faults.push(Fault { help, ..Fault::error(message).at(span.clone()) });
    }

    /// Fits a node's inputs to its ports and plans its layer; `None` after a fault, its own or one before it.
    ///
    /// An optional input with a fault is left out, so that what comes after this node is checked all the same.
    fn node(&mut self, at: usize, wires: &[Wire], planned: &[Option<Planned>]) -> Option<Planned> {
        let node = &self.graph.nodes[at];
        let content = node.content.as_ref()?;
        let sources = node.from.iter().zip(wires);
        let shapes: Vec<Option<Shape>> =
            sources.map(|(name, wire)| self.source(node, name, *wire, planned)).collect();
        match &content.value {
            Content::Layer(layer) => self.layer(node, wires, layer, &content.span, shapes),
            Content::Scan(scan) => self.scan(node, wires, scan, &content.span, &shapes),
        }
    }

    fn layer(
        &mut self,
        node: &Node,
        wires: &[Wire],
        layer: &Tagged<dyn Layer>,
        span: &Range<usize>,
        mut shapes: Vec<Option<Shape>>,
    ) -> Option<Planned> {
        let (ports, tag) = (layer.ports(), layer.typetag_name());
        self.kinds(node, wires, &ports);
        let fit = self.fit(&ports, &shapes);
        for misfit in &fit.misfits {
            self.misfit(node, (tag, span), &ports, &shapes, misfit);
        }
        for misfit in &fit.misfits {
            match misfit {
                Misfit::Count => return None,
                Misfit::Shape { input, .. } => shapes[*input] = None,
            }
        }
        shapes.resize(shapes.len().max(ports.len()), None);
        let lacks = |at: usize| {
            shapes[at].is_none()
                && ports::port_at(&ports, at).is_some_and(|port| port.need != Need::Optional)
        };
        if (0..shapes.len()).any(lacks) {
            return None;
        }
        let inputs = PortShapes { shapes: &shapes, names: &fit.names, sizes: self.sizes };
        let signature = self.planned(node, (tag, span), layer.signature(&inputs))?;
        let definition = Definition {
            layer: layer.clone(),
            names: fit.names,
            sizes: self.sizes.clone(),
            outputs: signature.outputs.iter().map(|(_, shape)| shape.clone()).collect(),
            parameters: signature.parameters.iter().map(|p| p.name.clone()).collect(),
            inputs: shapes,
        };
        let (lowered, memory) = definition.lower(Form::PLAIN)?;
        let definition = Some(definition);
        Some(Planned { signature, ports, definition, lowered, memory, body: None })
    }

    /// Fits shapes to ports, and takes note of the first size that follows.
    pub(super) fn fit(&mut self, ports: &[Port], shapes: &[Option<Shape>]) -> Fit {
        let fit = ports::fit(ports, shapes, self.sizes, &|symbol| self.is_free(symbol));
        self.solved = self.solved.or(fit.solved.first().copied());
        fit
    }

    /// Whether the graph itself may say what number a symbol stands for.
    pub(super) fn is_free(&self, symbol: Symbol) -> bool {
        let of_data = self.symbols.is_some_and(|all| all.contains(&symbol.name()));
        let varies = symbol == Symbol::BATCH || symbol == Symbol::TIME;
        !(of_data || varies || symbol.is_composed())
    }

    /// A layer's signature with known sizes filled in, or what keeps it from having one.
    fn planned(
        &mut self,
        node: &Node,
        (tag, span): (&str, &Range<usize>),
        signature: Result<Signature, PlanError>,
    ) -> Option<Signature> {
        let name = &node.name.value;
        let signature = match signature {
            Ok(signature) => self.bind(signature),
            Err(error) => {
                let field = error.field.map_or(String::new(), |field| format!(" field `{field}`:"));
                self.error(span, format!("node `{name}`, {tag}:{field} {error}"), "");
                return None;
            }
        };
        let varies = |shape: &Shape| shape.has(Symbol::BATCH) || shape.has(Symbol::TIME);
        if let Some(parameter) = signature.parameters.iter().find(|p| varies(&p.shape)) {
            let message = format!(
                "node `{name}`, {tag}: parameter `{}` would have the shape {}, and the batch and time vary",
                parameter.name, parameter.shape
            );
            let help = "use TemporalAffine for values with a time dimension";
            self.error(span, message, help);
            return None;
        }
        Some(signature)
    }

    /// The shape that a wire carries.
    fn source(
        &mut self,
        reader: &Node,
        name: &Located<String>,
        wire: Wire,
        planned: &[Option<Planned>],
    ) -> Option<Shape> {
        match wire {
            Wire::Unknown => None,
            Wire::Input(at) => self.graph.inputs[at].shape.as_ref().map(|shape| self.bound(shape)),
            Wire::Node(node) => {
                let outputs = &planned[node].as_ref()?.signature.outputs;
                match output_index(&name.value, outputs) {
                    Some(output) => Some(outputs[output].1.clone()),
                    None => {
                        let owner = &self.graph.nodes[node].name.value;
                        let names = output_names(owner, outputs);
                        let message = format!(
                            "node `{}`: there is no output `{}`",
                            reader.name.value, name.value
                        );
                        let help = did_you_mean(&name.value, names.iter().map(String::as_str));
                        self.error(&name.span, message, help);
                        None
                    }
                }
            }
        }
    }

    /// Whether tokens go to ports for tokens, and numbers to ports for numbers.
    pub(super) fn kinds(&mut self, node: &Node, wires: &[Wire], ports: &[Port]) {
        for (i, wire) in wires.iter().enumerate() {
            let Some(port) = ports::port_at(ports, i) else { continue };
            let (reader, from) = (&node.name.value, &node.from[i]);
            let message = match (port.kind, *wire) {
                (Kind::Tokens { .. }, Wire::Node(_)) => Some(format!(
                    "port `{}` of `{reader}` takes vocabulary indices, `{}` computes numbers",
                    port.name, from.value
                )),
                (kind, Wire::Input(at)) => {
                    let wanted = match kind {
                        Kind::Real => Source::Real(reader.clone()),
                        Kind::Tokens { .. } => Source::Tokens(reader.clone()),
                    };
                    match (&self.sources[at], &wanted) {
                        (Source::Unread, _) => {
                            self.sources[at] = wanted;
                            None
                        }
                        (Source::Real(other), Source::Tokens(..)) => Some(format!(
                            "`{reader}` takes input `{}` as vocabulary indices, `{other}` as numbers",
                            from.value
                        )),
                        (Source::Tokens(other), Source::Real(_)) => Some(format!(
                            "`{reader}` takes input `{}` as numbers, `{other}` as vocabulary indices",
                            from.value
                        )),
                        _ => None,
                    }
                }
                _ => None,
            };
            if let Some(message) = message {
                self.error(
                    &from.span,
                    message,
                    "vocabulary indices come from an input; Embedding turns them into numbers",
                );
            }
        }
    }

    fn misfit(
        &mut self,
        node: &Node,
        (tag, span): (&str, &Range<usize>),
        ports: &[Port],
        shapes: &[Option<Shape>],
        misfit: &Misfit,
    ) {
        let name = &node.name.value;
        match misfit {
            Misfit::Count => {
                let message = format!(
                    "node `{name}`, {tag}: expected {} inputs, found {}",
                    ports::arity(ports),
                    shapes.len()
                );
                let help = format!("see `engine layers {tag}`");
                self.error(span, message, help);
            }
            Misfit::Shape { input, expected } => {
                let port = ports::port_at(ports, *input).map_or("?", |port| &*port.name);
                let from = &node.from[*input];
                let found = shapes[*input].clone().unwrap_or_default();
                let message = format!(
                    "node `{name}`, {tag}: port `{port}` expects {expected}, found {found} from `{}`",
                    from.value
                );
                self.error(&from.span, message, between_copies(name, &from.value));
            }
        }
    }

    /// A shape with its known sizes filled in.
    pub(super) fn bound(&self, shape: &Shape) -> Shape {
        Shape::new(shape.dims().iter().map(|dim| self.sizes.bind(*dim)))
    }

    /// Fills known sizes into a layer's signature, so that later messages show them.
    fn bind(&self, mut signature: Signature) -> Signature {
        let bind = |shape: &mut Shape| *shape = self.bound(shape);
        signature.outputs.iter_mut().for_each(|(_, shape)| bind(shape));
        signature.parameters.iter_mut().for_each(|parameter| bind(&mut parameter.shape));
        signature
    }

    /// Every size that has a name has a number: from the data, or because the graph says so.
    fn symbols(&mut self) {
        let Some(of_data) = self.symbols else { return };
        let known: Vec<&str> = of_data.iter().copied().chain(["Batch", "Time"]).collect();
        let graph = self.graph;
        let inputs = graph.inputs.iter().flat_map(|input| {
            let dims = input.shape.iter().flat_map(Shape::dims);
            let symbols = dims.filter_map(|dim| dim.symbol());
            symbols.map(|symbol| (format!("input `{}`", input.name), &input.span, symbol))
        });
        let nodes = graph.nodes.iter().flat_map(|node| {
            let whose = format!("node `{}`", node.name.value);
            node.symbols.iter().map(move |symbol| (whose.clone(), &symbol.span, symbol.value))
        });
        for (whose, span, symbol) in inputs.chain(nodes) {
            if known.contains(&symbol.name()) || self.sizes.get(symbol).is_some() {
                continue;
            }
            let message = format!("{whose}: nothing says what size `{symbol}` is");
            self.error(span, message, did_you_mean(symbol.name(), known.iter().copied()));
        }
    }
}
