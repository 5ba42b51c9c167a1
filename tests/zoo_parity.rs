//! Every network of `graphs/zoo/` computes what an independent implementation in PyTorch does: loss, scores and the
//! gradient of every parameter, as the network is written and as passes rewrite it.
//!
//! `tests/parity/torch/` has these implementations and their results in double precision, a case for each graph file:
//! what is set in the file to make the network small, its parameters, a batch, and what comes of it. To see how far each
//! network is off:
//!
//! ```text
//! cargo test --release -p engine --test zoo_parity -- --nocapture
//! ```

#[path = "support/paths.rs"]
mod paths;
#[path = "support/stored.rs"]
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use engine::{Experiment, Override};
use engine_core::engine::{Engine, checkpoint};
use engine_core::graph::Passes;
use engine_core::{Batch, Mode, Sizes, Tensor};
use paths::in_workspace;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use stored::Array;

const GRAPHS: &str = "graphs/zoo";
const CASES: &str = "tests/parity/torch/cases";

/// The largest `max |found - exact| / max |exact|` over an array.
const BOUND: f64 = 1e-9;

/// An array of gradients whose largest number is this share of the network's largest gradient is 0 but for rounding, and
/// measured by that: attention's scores all move alike with a bias of the keys.
const NOTHING: f64 = 1e-12;

/// A network's parameters, a batch, and what PyTorch makes of them.
struct Case {
    header: Header,
    arrays: BTreeMap<String, Array>,
}

/// How a graph file becomes the network of a case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// The file, from the workspace's root.
    graph: String,
    /// Places in it, such as `sizes.Hidden`, and what is set there.
    set: BTreeMap<String, String>,
    /// Sizes of the data.
    sizes: BTreeMap<String, usize>,
    /// PyTorch's version.
    torch: String,
}

impl Case {
    fn read(path: &Path) -> Result<Self, String> {
        let data = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let (_, metadata) = SafeTensors::read_metadata(&data).map_err(|e| e.to_string())?;
        let header = metadata.metadata().as_ref().and_then(|entries| entries.get("case"));
        let header = header.ok_or("its header has no entry `case`")?;
        let header = serde_json::from_str(header).map_err(|e| format!("its entry `case`: {e}"))?;
        Ok(Case { header, arrays: stored::arrays(path, &data) })
    }

    /// The arrays whose names begin with a prefix, by the rest of their names.
    fn all<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Array)> {
        let named = self.arrays.iter();
        named.filter_map(move |(name, array)| Some((name.strip_prefix(prefix)?, array)))
    }

    /// The same for arrays of numbers.
    fn numbers<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Tensor<f64>)> {
        self.all(prefix).map(move |(name, array)| match array {
            Array::Numbers(numbers) => (name, numbers),
            Array::Tokens(_) => panic!("`{prefix}{name}` holds indices, not numbers"),
        })
    }

    /// The graph file's network with the case's sizes and parameters.
    fn engine(&self) -> Result<Engine<f64>, String> {
        let set = self.header.set.iter().map(|(place, value)| Override::new(place, value));
        let overrides: Vec<_> =
            [Override::new("precision", "F64")].into_iter().chain(set).collect();
        let experiment = Experiment::load(&in_workspace(&self.header.graph), &overrides);
        let experiment = experiment.map_err(|error| error.to_string())?;
        let sizes = self.header.sizes.iter().map(|(name, size)| (name.as_str(), *size));
        let sizes: Sizes = sizes.collect();
        let (plan, _) = experiment.plan(&sizes).map_err(|error| error.to_string())?;
        let mut engine = Engine::new(plan, sizes, 0).map_err(|error| error.to_string())?;

        let names = engine.plan().parameters.iter().map(|p| p.name.clone());
        let names: BTreeSet<String> = names.collect();
        for prefix in ["param.", "grad."] {
            let known: BTreeSet<String> =
                self.all(prefix).map(|(name, _)| name.to_owned()).collect();
            if names != known {
                let without: Vec<_> = names.difference(&known).collect();
                let unknown: Vec<_> = known.difference(&names).collect();
                return Err(format!(
                    "parameters without a `{prefix}`: {without:?}, `{prefix}` without a parameter: {unknown:?}"
                ));
            }
        }
        for (name, exact) in self.numbers("param.") {
            let at = engine.plan().parameter(name).expect("compared above");
            let parameter = &mut engine.parameters_mut()[at];
            if parameter.shape() != exact.shape() {
                let shapes = (parameter.shape(), exact.shape());
                return Err(format!(
                    "parameter `{name}` is {:?}, the case's {:?}",
                    shapes.0, shapes.1
                ));
            }
            parameter.clone_from(exact);
        }
        Ok(engine)
    }

    fn batch(&self) -> Batch {
        let mut batch = Batch::new();
        for (name, array) in self.all("in.") {
            match array {
                Array::Numbers(x) => {
                    batch.f64_mut(name, x.shape()).copy_from_slice(x.as_slice());
                }
                Array::Tokens(x) => {
                    batch.tokens_mut(name, x.shape()).copy_from_slice(x.as_slice());
                }
            }
        }
        batch
    }

    /// Hands a network what the case says that the batch before left.
    fn carry_in(&self, engine: &mut Engine<f64>) -> Result<(), String> {
        let plan = engine.plan().clone();
        let names = plan.carries.iter().map(|carry| plan.values[carry.input].name.as_str());
        let names: BTreeSet<&str> = names.collect();
        if names.is_empty() {
            return Ok(());
        }
        let arrays = self.all("in.").filter(|(name, _)| names.contains(name));
        let arrays = arrays.filter_map(|(name, array)| {
            let Array::Numbers(array) = array else { return None };
            let bytes: Vec<u8> = array.as_slice().iter().flat_map(|x| x.to_le_bytes()).collect();
            Some((name, array.shape().to_vec(), bytes))
        });
        let arrays: Vec<_> = arrays.collect();
        let views = arrays.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F64, shape.clone(), bytes);
            (*name, view.expect("eight bytes for each number"))
        });
        let bytes = safetensors::serialize(views, None).map_err(|error| error.to_string())?;
        let path = Path::new(&self.header.graph);
        checkpoint::set_carried(engine, &bytes, path).map_err(|error| error.to_string())
    }

    /// What a network computes that is furthest off, and how far: results in these roles or of these names, and the
    /// gradients of all parameters.
    fn worst(&self, mut engine: Engine<f64>, results: &[&str]) -> Result<Worst, String> {
        self.carry_in(&mut engine)?;
        let fed = engine.forward(&self.batch(), Mode::Train { iteration: 0 });
        fed.map_err(|error| error.to_string())?;
        engine.backward();
        let mut worst = Worst::default();
        for (name, exact) in self.numbers("out.").filter(|(name, _)| results.contains(name)) {
            let program = engine.program();
            let at = program.output(name).or_else(|| program.value(name));
            let at = at.ok_or_else(|| format!("the graph has no `{name}`"))?;
            worst.see(name, engine.value(at), exact, largest(exact))?;
        }
        let most = self.numbers("grad.").map(|(_, exact)| largest(exact)).fold(0.0, f64::max);
        for (name, exact) in self.numbers("grad.") {
            let at = engine.plan().parameter(name).expect("`engine` has compared names");
            let nothing = largest(exact) < NOTHING * most;
            let scale = if nothing { most } else { largest(exact) };
            let name = format!("the gradient of {name}");
            worst.see(&name, &engine.gradients()[at], exact, scale)?;
        }
        Ok(worst)
    }

    /// A line about how far the network is off, as it is written and as passes rewrite it.
    fn compare(&self) -> Result<String, String> {
        let engine = self.engine()?;
        let all: Vec<&str> = self.numbers("out.").map(|(name, _)| name).collect();
        for required in ["loss", "scores"] {
            if !all.contains(&required) {
                return Err(format!("the case has no `out.{required}`"));
            }
        }
        let written = self.worst(engine.clone(), &all)?;
        // Rewritten, a network computes its loss and nothing that leaves no trace in it.
        let rewritten = self.worst(engine.rewritten(&Passes::default()), &["loss"])?;
        let line = format!("as written {written}; rewritten {rewritten}");
        match written.error.max(rewritten.error) <= BOUND {
            true => Ok(line),
            false => Err(format!("{line}; expected at most {BOUND:.0e}")),
        }
    }
}

/// The array that is furthest off.
#[derive(Default)]
struct Worst {
    error: f64,
    name: String,
}

impl Worst {
    fn see(
        &mut self,
        name: &str,
        found: &Tensor<f64>,
        exact: &Tensor<f64>,
        scale: f64,
    ) -> Result<(), String> {
        if found.shape() != exact.shape() {
            let shapes = (found.shape(), exact.shape());
            return Err(format!("{name} is {:?}, the case's {:?}", shapes.0, shapes.1));
        }
        let pairs = found.as_slice().iter().zip(exact.as_slice());
        for error in pairs.map(|(found, exact)| (found - exact).abs() / scale) {
            // What is not a number is infinitely far off.
            let error = if error.is_nan() { f64::INFINITY } else { error };
            if error > self.error || self.name.is_empty() {
                *self = Worst { error, name: name.to_owned() };
            }
        }
        Ok(())
    }
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1e} ({})", self.error, self.name)
    }
}

/// The largest magnitude in an array.
fn largest(array: &Tensor<f64>) -> f64 {
    array.as_slice().iter().fold(0.0, |most, x| most.max(x.abs()))
}

/// The names of a folder's files with an extension, and their paths. What lies in folders inside it is not looked at:
/// those are blocks, which graph files import.
fn files(dir: &str, extension: &str) -> BTreeMap<String, PathBuf> {
    let dir = in_workspace(dir);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let paths = paths.filter(|path| path.extension().is_some_and(|e| e == extension));
    let name = |path: &Path| path.file_stem().expect("a file has a name").to_string_lossy().into();
    paths.map(|path| (name(&path), path)).collect()
}

#[test]
fn every_network_has_a_case_and_every_case_a_network() {
    let graphs: BTreeSet<String> = files(GRAPHS, "ron").into_keys().collect();
    let cases: BTreeSet<String> = files(CASES, "safetensors").into_keys().collect();
    let without: Vec<_> = graphs.difference(&cases).collect();
    assert!(without.is_empty(), "no case for {without:?}: write one in tests/parity/torch");
    let stale: Vec<_> = cases.difference(&graphs).collect();
    assert!(stale.is_empty(), "no graph file in {GRAPHS} for the cases {stale:?}");
    assert!(!graphs.is_empty(), "{GRAPHS} has graph files");
}

#[test]
fn every_network_computes_what_pytorch_does() {
    let mut failures = Vec::new();
    for (name, path) in files(CASES, "safetensors") {
        let case = Case::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(
            case.header.graph,
            format!("{GRAPHS}/{name}.ron"),
            "a case is named as its graph"
        );
        match case.compare() {
            Ok(line) => println!("{name}: {line}, of PyTorch {}", case.header.torch),
            Err(message) => failures.push(format!("{name}: {message}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
