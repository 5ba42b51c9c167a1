//! A whole graph file: the network, and what to do with it.

use std::path::Path;
use std::sync::Arc;

use engine_core::graph::{
    Checked, Document, Fault, Graph, Input, InputPlan, Plan, Severity, did_you_mean,
};
use engine_core::{Dim, Shape, Sizes, Tagged};
use engine_datasets::{CocoHdf5, Dataset, Offer, Order};
use serde::de::DeserializeOwned;

use crate::decode::{Decoder, Greedy, SCORES, word_scores};
use crate::graph_file::{self, GraphError};
use crate::run::graph_name;
use crate::settings::TrainSettings;

/// A value from the command line in place of the file's: `train.epochs=3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Where it goes, such as `nodes.hidden.layer`.
    pub path: String,
    /// The value, in RON.
    pub value: String,
}

impl Override {
    /// An override of one value.
    pub fn new(path: impl Into<String>, value: impl ToString) -> Self {
        Override { path: path.into(), value: value.to_string() }
    }
}

impl std::str::FromStr for Override {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((path, value)) if !path.trim().is_empty() && !value.trim().is_empty() => {
                Ok(Override::new(path.trim(), value.trim()))
            }
            _ => Err("expected PATH=VALUE, such as train.epochs=3 or nodes.hidden.layer='Gru(units: 256)'".into()),
        }
    }
}

/// A graph file, read and found to be well formed.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// The file's name without `.ron`.
    pub name: String,
    /// The text, overrides included.
    pub document: Document,
    /// The network.
    pub graph: Graph,
    /// Where its data comes from.
    pub data: Tagged<dyn Dataset>,
    /// How it is trained.
    pub train: TrainSettings,
    /// How it writes.
    pub decoder: Tagged<dyn Decoder>,
}

/// The sections that are not the network.
const SECTIONS: [&str; 3] = ["data", "train", "sample"];

/// Where the default data set lies; it is made when it is absent.
pub const DEFAULT_DATA: &str = "datasets/scenes";

impl Experiment {
    /// Reads a graph file with `overrides` in place of what it says.
    ///
    /// # Errors
    /// When the file cannot be read, or with everything that is wrong with its text.
    pub fn load(path: &Path, overrides: &[Override]) -> Result<Self, GraphError> {
        Self::read(graph_name(path), graph_file::open(path)?, overrides)
    }

    /// As [`load`](Self::load), from a text.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn read(
        name: String,
        mut document: Document,
        overrides: &[Override],
    ) -> Result<Self, GraphError> {
        let mut faults = Vec::new();
        for Override { path, value } in overrides {
            faults.extend(document.set(path, value).err());
        }
        if !faults.is_empty() {
            return Err(graph_file::wrong(&document, faults));
        }
        let (graph, found) = Graph::read(&document, &SECTIONS);
        faults.extend(found);
        let sections = document.sections().unwrap_or_default();
        let text = |name: &str| sections.iter().find(|(s, _)| s == name).map(|(_, text)| *text);
        let default_data = || {
            Tagged::<dyn Dataset>(Arc::new(CocoHdf5 {
                dir: DEFAULT_DATA.into(),
                pca_features: false,
                grid: false,
                pixels: false,
                max_train: None,
            }))
        };
        let data = section(&document, text("data"), &mut faults, default_data);
        let train = match text("train").map(|text| document.parse_fields(text)) {
            None => Some(TrainSettings::default()),
            Some(train) => train.map_err(|found| faults.extend(found)).ok(),
        };
        let decoder = section(&document, text("sample"), &mut faults, || {
            Tagged::<dyn Decoder>(Arc::new(Greedy::default()))
        });
        if let (Some(graph), Some(train)) = (&graph, &train) {
            faults.extend(broken_streams(graph, train));
        }
        match (graph, data, train, decoder) {
            (Some(graph), Some(data), Some(train), Some(decoder)) if faults.is_empty() => {
                Ok(Experiment { name, graph, data, train, decoder, document })
            }
            (graph, data, ..) => {
                // The network is checked as far as it can be read, so that one run shows all there is to mend.
                let found = graph.map(|graph| check(&graph, data.as_deref(), &Sizes::new()).faults);
                faults
                    .extend(found.into_iter().flatten().filter(|f| f.severity == Severity::Error));
                Err(graph_file::wrong(&document, faults))
            }
        }
    }

    /// What the network computes, whatever the layout of the file, as a text.
    pub fn network(&self) -> String {
        let graph = &self.graph;
        let mut text = format!("{:?}\n", graph.precision);
        for (size, number) in &graph.sizes {
            text += &format!("{}: {number}\n", size.value);
        }
        for input in &graph.inputs {
            text += &format!("{}: {:?}\n", input.name, input.shape);
        }
        for node in &graph.nodes {
            text += &format!("{node}\n");
        }
        for output in &graph.outputs {
            text += &format!("{} -> {}\n", output.value, output.role);
        }
        for carry in &graph.carry {
            text += &format!("{} -> next {}\n", carry.value, carry.input);
        }
        text
    }

    /// Checks the network against what the data offers, and lays it out. `sizes` binds what is known of its sizes.
    /// Returns warnings beside the plan.
    ///
    /// # Errors
    /// Everything that is wrong with the network.
    pub fn plan(&self, sizes: &Sizes) -> Result<(Arc<Plan>, Vec<Fault>), GraphError> {
        let Checked { plan, mut faults } = check(&self.graph, Some(&*self.data), sizes);
        match plan {
            Some(plan) if faults.iter().all(|fault| fault.severity == Severity::Warning) => {
                if plan.output(SCORES).or_else(|| plan.value(SCORES)).is_none() {
                    let message =
                        "the graph has no node `scores`: it can be trained, but writes no captions";
                    faults.push(Fault::warning(message).help(
                        "call the node that scores words `scores`, or name it under `outputs`",
                    ));
                }
                match self.future(&plan) {
                    Some(fault) => Err(graph_file::wrong(&self.document, vec![fault])),
                    None => Ok((Arc::new(plan), faults)),
                }
            }
            _ => Err(graph_file::wrong(&self.document, faults)),
        }
    }
    /// What keeps scores of words from being computed word by word.
    fn future(&self, plan: &Plan) -> Option<Fault> {
        let node = &plan.nodes[plan.needs_future(word_scores(plan)?)?].name;
        let message = format!(
            "node `{node}`: `{SCORES}` depends on it, and it needs every time step at once; writing word by word, it \
             would need the future"
        );
        let written = self.graph.nodes.iter().find(|known| known.name.value == *node);
        let fault = Fault::error(message).help(
            "let it read only the steps so far, or give `scores` another name if the network is not to write",
        );
        Some(match written {
            Some(written) => fault.at(written.name.span.clone()),
            None => fault,
        })
    }
}

/// Checks a network by itself and against what the data offers, where that is known.
fn check(graph: &Graph, data: Option<&dyn Dataset>, sizes: &Sizes) -> Checked {
    let mut checked = graph.check(sizes, data.map(|data| data.sizes()));
    let Some(data) = data else { return checked };
    for input in &graph.inputs {
        let name = input.name.as_str();
        if graph.carry.iter().any(|carry| carry.input == name) {
            continue;
        }
        let Some(offer) = data.inputs().iter().find(|offer| offer.name == name) else {
            let message = format!("{} feeds no input `{name}`", data.typetag_name());
            let help = did_you_mean(name, data.inputs().iter().map(|offer| offer.name));
            checked.faults.push(Fault::error(message).at(input.span.clone()).help(help));
            continue;
        };
        let message = misfit(offer, input, checked.plan.as_ref(), sizes);
        checked.faults.extend(message.map(|message| Fault::error(message).at(input.span.clone())));
    }
    checked
}

/// What is carried from batch to batch means nothing where a batch does not go on where the one before ended.
fn broken_streams(graph: &Graph, train: &TrainSettings) -> Option<Fault> {
    let carry = graph.carry.first().filter(|_| train.order != Order::Streams)?;
    let message = format!(
        "carry `{}`: batches in the order {:?} do not go on where the one before ended",
        carry.input, train.order
    );
    Some(Fault::error(message).at(carry.span.clone()).help("write train: (order: Streams)"))
}

/// What keeps an input from being fed what the data offers.
fn misfit(offer: &Offer, input: &Input, plan: Option<&Plan>, sizes: &Sizes) -> Option<String> {
    let name = &input.name;
    let read = plan.and_then(|plan| plan.inputs.iter().find(|read| read.name == *name));
    match (offer.tokens_below, read.map(InputPlan::is_tokens)) {
        (Some(_), Some(false)) => {
            return Some(format!(
                "input `{name}`: the data has vocabulary indices, nodes that read it take numbers"
            ));
        }
        (None, Some(true)) => {
            return Some(format!(
                "input `{name}`: the data has numbers, nodes that read it take vocabulary indices"
            ));
        }
        _ => {}
    }
    let bind = |shape: &Shape| Shape::new(shape.dims().iter().map(|dim| sizes.bind(*dim)));
    let offered = bind(&Shape::new(offer.dims()));
    let shape = input.shape.as_ref()?;
    if !bind(shape).agrees(&offered) {
        return Some(format!("input `{name}`: expected the data's shape {offered}, found {shape}"));
    }
    let (limit, read) = (Dim::named(offer.tokens_below?), read?);
    let most = sizes.resolve(limit).ok()?;
    let least = read.below.iter().filter_map(|dim| sizes.resolve(*dim).ok()).min()?;
    let indices = format!("indices below {}", sizes.bind(limit));
    (least < most).then(|| {
        format!(
            "input `{name}`: the data has {indices}, a node that reads it takes those below {least}"
        )
    })
}

fn section<T: DeserializeOwned>(
    document: &Document,
    text: Option<&str>,
    faults: &mut Vec<Fault>,
    default: impl FnOnce() -> T,
) -> Option<T> {
    match text {
        None => Some(default()),
        Some(text) => document.parse(text).map_err(|fault| faults.push(fault)).ok(),
    }
}
