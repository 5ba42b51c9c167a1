//! From a plan to the diagram of it: bodies and blocks become frames around what they hold.

use engine::decode::SCORES;
use engine_core::Sizes;
use engine_core::graph::{Body, InputPlan, NodePlan, Origin, Plan};

use super::diagram::{Arrow, Block, BlockKind, Diagram, Group, broken};
use super::fields::in_short;
use crate::number::grouped;

/// A diagram on its way.
pub(super) struct Drawing<'a> {
    diagram: Diagram,
    /// The whole network, whose parameters those of bodies are too.
    whole: &'a Plan,
    sizes: &'a Sizes,
    /// The path of each frame.
    frames: Vec<String>,
}

/// Where the arrays of one plan are drawn: indices of blocks.
struct Places {
    inputs: Vec<usize>,
    values: Vec<Option<usize>>,
}

impl Places {
    fn of(&self, origin: Origin) -> Option<usize> {
        match origin {
            Origin::Input(at) => self.inputs.get(at).copied(),
            Origin::Value(at) => self.values[at],
        }
    }
}

impl Diagram {
    /// The picture of a plan.
    pub fn of(plan: &Plan, sizes: &Sizes) -> Self {
        Drawing::of(plan, sizes)
    }
}

impl<'a> Drawing<'a> {
    pub(super) fn of(plan: &'a Plan, sizes: &'a Sizes) -> Diagram {
        let diagram = Diagram::default();
        let mut drawing = Drawing { diagram, whole: plan, sizes, frames: Vec::new() };
        let inputs = plan.inputs.iter().map(|read| drawing.block(input(read))).collect();
        let places = drawing.nodes(plan, inputs);
        for (role, value) in results(plan) {
            drawing.result(plan, &places, role, value);
        }
        drawing.diagram
    }

    fn block(&mut self, mut block: Block) -> usize {
        if let Some((frame, name)) = block.path.rsplit_once('/') {
            block.name = name.to_owned();
            block.group = Some(self.frame(frame));
        }
        self.diagram.blocks.push(block);
        self.diagram.blocks.len() - 1
    }

    /// The frame of this path, inside those of the paths that it begins with.
    fn frame(&mut self, path: &str) -> usize {
        if let Some(at) = self.frames.iter().position(|known| known == path) {
            return at;
        }
        let (parent, title) = match path.rsplit_once('/') {
            // The copies of a stack have numbers for names.
            Some((outer, name)) if name.parse::<usize>().is_ok() => {
                let stack = outer.rsplit('/').next().unwrap_or(outer);
                (Some(self.frame(outer)), format!("{stack} {name}"))
            }
            Some((outer, name)) => (Some(self.frame(outer)), name.to_owned()),
            None => (None, path.to_owned()),
        };
        self.frames.push(path.to_owned());
        self.diagram.groups.push(Group { title, parent });
        self.frames.len() - 1
    }

    /// The nodes of a plan, and the arrows between them.
    fn nodes(&mut self, plan: &Plan, inputs: Vec<usize>) -> Places {
        let mut places = Places { inputs, values: vec![None; plan.values.len()] };
        for node in &plan.nodes {
            if let Some(body) = &node.body {
                self.body(plan, node, body, &mut places);
                continue;
            }
            let block = self.node(plan, node);
            let at = self.block(block);
            for origin in plan.origins(node).into_iter().flatten() {
                self.arrow(plan, &places, origin, at);
            }
            node.outputs().for_each(|value| places.values[value] = Some(at));
        }
        places
    }

    /// The body of a node in a frame, and what it reads outside of it.
    fn body(&mut self, plan: &Plan, node: &NodePlan, body: &Body, places: &mut Places) {
        let frame = self.frame(&node.name);
        self.diagram.groups[frame].title += &format!(": {} over {}", node.tag(), body.over());
        let origins = plan.origins(node);
        let mut inputs = vec![None; body.plan.inputs.len()];
        for (port, (name, per_step)) in body.inputs().enumerate() {
            let met = if per_step { "its own at each step" } else { "the same at every step" };
            let origin = origins.get(port).copied().flatten();
            self.entering(body, name, met.into(), (plan, places, origin), &mut inputs);
        }
        for (name, next, start) in body.carries() {
            let next = &body.plan.values[next].name;
            let next = next.strip_prefix(&node.name).map_or(next.as_str(), |n| &n[1..]);
            let origin = start.and_then(|port| origins.get(port).copied().flatten());
            let met = format!("then {next} of the step before");
            self.entering(body, name, met, (plan, places, origin), &mut inputs);
        }
        // Every input of a body is a port's or is handed on.
        let inner = self.nodes(&body.plan, inputs.into_iter().flatten().collect());
        for (outer, value) in node.outputs().zip(body.leaving()) {
            places.values[outer] = inner.of(body.plan.origin_of(value));
        }
    }

    /// An input of a body, and what it is fed; nothing if no node of the body reads it.
    fn entering(
        &mut self,
        body: &Body,
        name: &str,
        met: String,
        (plan, places, origin): (&Plan, &Places, Option<Origin>),
        inputs: &mut [Option<usize>],
    ) {
        let Some(at) = body.plan.inputs.iter().position(|read| read.name == name) else { return };
        let read = &body.plan.inputs[at];
        let block = self.block(Block { lines: vec![met], ..input(read) });
        inputs[at] = Some(block);
        if let Some(origin) = origin {
            self.arrow(plan, places, origin, block);
        }
    }

    fn result(&mut self, plan: &Plan, places: &Places, role: String, value: usize) {
        let at = self.block(Block {
            kind: BlockKind::Output,
            details: vec![format!("result `{role}`: {}", plan.values[value].name)],
            name: role.clone(),
            path: role,
            lines: vec!["result".into()],
            group: None,
        });
        self.arrow(plan, places, plan.origin_of(value), at);
        // An array that others read as well has its shape written on the way to them.
        let (last, others) = self.diagram.arrows.split_last_mut().expect("a result has an arrow");
        if others.iter().any(|other| other.from == last.from && other.label == last.label) {
            last.label.clear();
        }
    }

    fn arrow(&mut self, plan: &Plan, places: &Places, origin: Origin, to: usize) {
        let shape = match origin {
            Origin::Input(at) => &plan.inputs[at].shape,
            Origin::Value(at) => &plan.values[at].shape,
        };
        let label = if shape.rank() == 0 { "one number".into() } else { shape.to_string() };
        let from = places.of(origin).expect("what a node reads is drawn before it");
        self.diagram.arrows.push(Arrow { from, to, label });
    }

    fn node(&self, plan: &Plan, node: &NodePlan) -> Block {
        let layer = node.layer.as_ref().map_or_else(|| node.tag().to_owned(), in_short);
        let mut details = vec![format!("node `{}`: {layer}", node.name)];
        details.extend(node.outputs().map(|at| format!("gives {}", plan.values[at].shape)));
        let parameters = node.parameters.iter().map(|at| &self.whole.parameters[*at]);
        details.extend(parameters.map(|p| format!("parameter {} {}", p.name, p.shape)));
        let mut lines = broken(&layer);
        lines.extend(self.weights(node));
        let (name, path) = (node.name.clone(), node.name.clone());
        Block { kind: BlockKind::Node, name, path, lines, details, group: None }
    }

    /// How many numbers training changes in a node, or whose it shares.
    fn weights(&self, node: &NodePlan) -> Option<String> {
        let all = &self.whole.parameters;
        let parameters: Vec<_> = node.parameters.iter().map(|at| &all[*at]).collect();
        let owner = parameters.first()?.name.rsplit_once('.').map_or("", |(owner, _)| owner);
        if owner != node.name {
            return Some(format!("weights of {owner}"));
        }
        let count =
            |shape: &engine_core::Shape| shape.resolve(self.sizes).ok().map(|s| s.iter().product());
        let counts: Option<Vec<usize>> = parameters.iter().map(|p| count(&p.shape)).collect();
        Some(match counts {
            Some(counts) => format!("{} parameters", grouped(counts.iter().sum())),
            None => match parameters.len() {
                1 => "1 parameter array".into(),
                many => format!("{many} parameter arrays"),
            },
        })
    }
}

fn input(input: &InputPlan) -> Block {
    let kind = if input.is_tokens() { "tokens" } else { "numbers" };
    Block {
        kind: BlockKind::Input,
        name: input.name.clone(),
        path: input.name.clone(),
        lines: vec![format!("input, {kind}")],
        details: vec![format!("input `{}`: {kind} {}", input.name, input.shape)],
        group: None,
    }
}

/// The values that are used outside the network, by role: its outputs, and the scores that captions are written by.
fn results(plan: &Plan) -> Vec<(String, usize)> {
    let mut results = plan.outputs.clone();
    if plan.output(SCORES).is_none()
        && let Some(scores) = plan.value(SCORES)
    {
        results.push((SCORES.into(), scores));
    }
    results
}
