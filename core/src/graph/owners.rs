//! Whose parameters the nodes of a body or a block have, once these stand somewhere else.
//!
//! `weights_of` names a node beside the one that says it, else one further out. What a list of nodes says about nodes in
//! it, and in their bodies, is made a path from that list; so at last all are paths from the graph.

use super::spec::{Content, Located, Node};

/// Whether a path leads to one of these nodes, or to one in their bodies.
pub(super) fn leads_to_node(nodes: &[Node], path: &str) -> bool {
    nodes.iter().any(|node| {
        let rest = path.strip_prefix(&*node.name.value);
        let inside = |rest: &str| body(node).is_some_and(|body| leads_to_node(body, rest));
        rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('/').is_some_and(inside))
    })
}

fn body(node: &Node) -> Option<&[Node]> {
    match &node.content.as_ref()?.value {
        Content::Scan(scan) => Some(&scan.nodes),
        Content::Layer(_) => None,
    }
}

/// Calls `visit` with the path of each node, those in bodies included, and whose parameters it says it has.
pub(super) fn each_owner(
    nodes: &mut [Node],
    path: &str,
    visit: &mut dyn FnMut(&str, &mut Option<Located<String>>),
) {
    for node in nodes {
        let path = format!("{path}{}", node.name.value);
        visit(&path, &mut node.weights_of);
        if let Some(Content::Scan(scan)) = node.content.as_mut().map(|content| &mut content.value) {
            each_owner(&mut scan.nodes, &format!("{path}/"), visit);
        }
    }
}

/// Makes what the nodes of a body say about each other paths from the list that the body's node, `name`, is in.
pub(super) fn lead_into_body(nodes: &mut [Node], name: &str) {
    let mut owners = Vec::new();
    each_owner(nodes, "", &mut |_, owner| owners.extend(owner.as_ref().map(|o| o.value.clone())));
    owners.retain(|owner| leads_to_node(nodes, owner));
    each_owner(nodes, "", &mut |_, owner| {
        if let Some(owner) = owner.as_mut().filter(|owner| owners.contains(&owner.value)) {
            owner.value = format!("{name}/{}", owner.value);
        }
    });
}
