//! What another program calls a network's parameters.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::pattern::Pattern;

/// The section `weights` of an encoder's graph file: for each kind of files that have its weights, the names in them.
pub type Sources = BTreeMap<String, Names>;

/// The names in one kind of files.
///
/// A parameter `fire2/squeeze.w` has the name of its node and its own. Both are written as the other program does: nodes by
/// the first pattern that fits, else with dots in place of slashes, and parameters as PyTorch's layers call them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, try_from = "Written")]
pub struct Names {
    /// Nodes, and what they are called there. A name without gaps goes before a pattern.
    pub nodes: BTreeMap<Pattern, Pattern>,
    /// Parameters of nodes, and what they are called there, where not as in PyTorch: `w` is `weight`, `b` is `bias`, of a
    /// normalisation `gain` is `weight`, `mean` is `running_mean` and `variance` is `running_var`.
    pub parameters: BTreeMap<String, String>,
    /// How affine maps are laid out there.
    pub matrices: Matrices,
    /// What the files have besides and the network does without.
    pub unused: Vec<Pattern>,
}

/// How the weights of affine maps are laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Matrices {
    /// A row for each output, as in PyTorch and Caffe. They are transposed as they are read.
    #[default]
    OutIn,
    /// A row for each input, as here.
    InOut,
}

/// [`Names`] before its patterns are held against each other.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    nodes: BTreeMap<Pattern, Pattern>,
    parameters: BTreeMap<String, String>,
    matrices: Matrices,
    unused: Vec<Pattern>,
}

impl TryFrom<Written> for Names {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { nodes, parameters, matrices, unused } = written;
        for (ours, theirs) in &nodes {
            if let Some(gap) = theirs.gap_beside(ours) {
                return Err(format!("`{theirs}` has the gap {{{gap}}}, which `{ours}` has not"));
            }
        }
        Ok(Names { nodes, parameters, matrices, unused })
    }
}

/// What PyTorch calls the parameters of layers.
const TORCH: [(&str, &str); 6] = [
    ("w", "weight"),
    ("b", "bias"),
    ("gain", "weight"),
    ("bias", "bias"),
    ("mean", "running_mean"),
    ("variance", "running_var"),
];

impl Names {
    /// What the parameter of this name is called there.
    pub(super) fn of(&self, parameter: &str) -> String {
        let (node, own) = parameter.rsplit_once('.').unwrap_or(("", parameter));
        let torch = TORCH.iter().find(|(name, _)| *name == own).map(|(_, torch)| *torch);
        let own = self.parameters.get(own).map(String::as_str).or(torch).unwrap_or(own);
        format!("{}.{own}", self.of_node(node))
    }

    fn of_node(&self, node: &str) -> String {
        let renamed = |open: bool| {
            let patterns = self.nodes.iter().filter(move |(ours, _)| ours.is_open() == open);
            patterns.filter_map(|(ours, theirs)| theirs.write(&ours.fill(node)?)).next()
        };
        renamed(false).or_else(|| renamed(true)).unwrap_or_else(|| node.replace('/', "."))
    }

    /// Whether the network does without the array of this name.
    pub(super) fn does_without(&self, name: &str) -> bool {
        self.unused.iter().any(|pattern| pattern.fill(name).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(nodes: &[(&str, &str)]) -> Names {
        let pattern = |text: &str| Pattern::try_from(text.to_owned()).unwrap();
        let nodes = nodes.iter().map(|(a, b)| (pattern(a), pattern(b))).collect();
        Names { nodes, ..Names::default() }
    }

    #[test]
    fn parameters_are_called_as_elsewhere() {
        let names = names(&[
            ("stage{s}/rest/{n}/{part}", "layer{s}.{n+1}.{part}"),
            ("stage{s}/first/{part}", "layer{s}.0.{part}"),
            ("stage{s}/first/shortcut", "layer{s}.0.downsample.0"),
        ]);
        assert_eq!(names.of("conv1.w"), "conv1.weight");
        assert_eq!(names.of("fire2/squeeze.b"), "fire2.squeeze.bias");
        assert_eq!(names.of("stage3/rest/4/bn2.variance"), "layer3.5.bn2.running_var");
        assert_eq!(names.of("stage1/first/bn1.gain"), "layer1.0.bn1.weight");
        assert_eq!(names.of("stage2/first/shortcut.w"), "layer2.0.downsample.0.weight");
    }

    #[test]
    fn gaps_come_from_somewhere() {
        let written: Result<Names, _> = ron::from_str(r#"(nodes: {"a{n}": "b{m}"})"#);
        assert!(written.unwrap_err().to_string().contains("`b{m}` has the gap {m}"));
    }
}
