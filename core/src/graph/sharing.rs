//! Parameters by name: which nodes share them, and whether they can.

use std::collections::BTreeSet;

use super::check::Checker;
use super::layout::Planned;
use super::spec::{Content, Graph, Located, Node};
use super::suggest::did_you_mean;
use crate::layer::signature::ParameterPlan;

impl Graph {
    /// The names of a planned node's parameters, in the order of its plan. Nodes share what has the same name.
    ///
    /// With `weights_of`, those that the other node has too are that node's. What a body's nodes use is named already.
    pub(super) fn parameter_names(&self, node: usize, planned: &[Option<Planned>]) -> Vec<String> {
        let Some(plan) = &planned[node] else { return Vec::new() };
        let own = &self.nodes[node];
        let owner = own.weights_of.as_ref().map(|owner| owner.value.as_str());
        let other = self.nodes.iter().position(|node| Some(node.name.value.as_str()) == owner);
        let other = other.map(|at| planned[at].as_ref());
        let shared = |name: &str| match other {
            // A node elsewhere: in a body, or around this one.
            None => true,
            Some(other) => other.is_none_or(|other| has(&other.signature.parameters, name)),
        };
        let name = |parameter: &ParameterPlan| match owner {
            _ if plan.body.is_some() => parameter.name.to_string(),
            Some(owner) if shared(&parameter.name) => format!("{owner}.{}", parameter.name),
            _ => format!("{}.{}", own.name.value, parameter.name),
        };
        plan.signature.parameters.iter().map(name).collect()
    }

    /// The paths of all nodes, those of bodies included, each with the layer's parameters' owner that it names.
    fn paths(&self) -> Vec<(String, Option<&Located<String>>)> {
        let mut found = Vec::new();
        self.nodes.iter().for_each(|node| walk(node, "", &mut found));
        found
    }
}

fn has(parameters: &[ParameterPlan], name: &str) -> bool {
    parameters.iter().any(|parameter| parameter.name == name)
}

fn walk<'a>(node: &'a Node, within: &str, found: &mut Vec<(String, Option<&'a Located<String>>)>) {
    let path = format!("{within}{}", node.name.value);
    if let Some(Content::Scan(scan)) = node.content.as_ref().map(|content| &content.value) {
        scan.nodes.iter().for_each(|inner| walk(inner, &format!("{path}/"), found));
    }
    found.push((path, node.weights_of.as_ref()));
}

impl Checker<'_> {
    /// Whether every node whose weights are used is there, and owns them.
    pub(super) fn owners(&mut self) {
        if self.depth > 0 {
            return;
        }
        let paths = self.graph.paths();
        let find = |owner: &str| paths.iter().find(|(known, _)| known == owner);
        for (user, owner) in &paths {
            let Some(owner) = owner else { continue };
            match find(&owner.value) {
                None => {
                    let names = paths.iter().map(|(path, _)| path.as_str());
                    let help = did_you_mean(&owner.value, names);
                    let message = format!(
                        "node `{user}`: `weights_of` names `{}`, which is no node",
                        owner.value
                    );
                    self.error(&owner.span, message, help);
                }
                Some((_, Some(_))) => {
                    let message = format!("`{}` itself uses another node's weights", owner.value);
                    self.error(&owner.span, message, "name the node that owns them");
                }
                Some(_) => {}
            }
        }
    }

    /// Whether parameters that nodes share have one shape.
    pub(super) fn shared_parameters(&mut self, planned: &[Option<Planned>]) {
        let graph = self.graph;
        let mut all: Vec<(String, &ParameterPlan, usize)> = Vec::new();
        let mut told = BTreeSet::new();
        for (at, plan) in planned.iter().enumerate() {
            let Some(plan) = plan else { continue };
            let names = graph.parameter_names(at, planned);
            let shares = |name: &String| {
                let owner = graph.nodes[at].weights_of.as_ref().map(|owner| owner.value.as_str());
                owner.is_some_and(|owner| name.strip_prefix(owner).is_some())
            };
            if let Some(owner) = &graph.nodes[at].weights_of
                && plan.body.is_none()
                && !plan.signature.parameters.is_empty()
                && !names.iter().any(shares)
            {
                self.cannot_share(at, owner, planned);
            }
            for (name, parameter) in names.into_iter().zip(&plan.signature.parameters) {
                all.push((name, parameter, at));
            }
        }
        for (i, (name, parameter, at)) in all.iter().enumerate() {
            let first = all[..i].iter().find(|(known, ..)| known == name);
            let Some((_, other, first)) = first else { continue };
            if parameter.shape.agrees(&other.shape) || !told.insert((*first, *at)) {
                continue;
            }
            let sharing =
                [*at, *first].into_iter().find(|at| graph.nodes[*at].weights_of.is_some());
            match sharing.and_then(|at| Some((at, graph.nodes[at].weights_of.as_ref()?))) {
                Some((at, owner)) => self.cannot_share(at, owner, planned),
                None => {
                    let message = format!(
                        "`{name}` is shared, as {} and as {}",
                        other.shape, parameter.shape
                    );
                    let span = graph.nodes[*at].name.span.clone();
                    self.error(&span, message, "only weights of one shape can be shared");
                }
            }
        }
    }

    fn cannot_share(&mut self, at: usize, owner: &Located<String>, planned: &[Option<Planned>]) {
        let graph = self.graph;
        let list = |plan: Option<&Planned>| -> String {
            let parameters = plan.map_or(&[][..], |plan| &plan.signature.parameters);
            let all: Vec<String> =
                parameters.iter().map(|p| format!("{} {}", p.name, p.shape)).collect();
            if all.is_empty() { "none".to_owned() } else { all.join(", ") }
        };
        let other = graph.nodes.iter().position(|node| node.name.value == owner.value);
        let message = format!(
            "`{}` cannot use the weights of `{}`: it needs {}, found {}",
            graph.nodes[at].name.value,
            owner.value,
            list(planned[at].as_ref()),
            list(other.and_then(|other| planned[other].as_ref()))
        );
        let names = |at: usize| -> Vec<&str> {
            let parameters = planned[at].iter().flat_map(|plan| &plan.signature.parameters);
            parameters.map(|parameter| &*parameter.name).collect()
        };
        let common = other.is_some_and(|other| {
            let others = names(other);
            names(at).iter().any(|name| others.contains(name))
        });
        let help = match common {
            true => "parameters that both have by name must have one shape",
            false => "nodes share the parameters that both have by name; these have none",
        };
        self.error(&owner.span, message, help);
    }
}
