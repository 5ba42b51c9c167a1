//! The first network of the README learns from real photographs, through the command line.
//!
//! The data, 1,000 photographs of Flickr8k in the layout of the course's COCO set, belongs to its authors and lies beside
//! the workspace; where it is absent, the test says so and passes.

#[path = "support/command.rs"]
mod command;
#[path = "support/paths.rs"]
mod paths;

use std::fs;

use command::{engine, metrics};
use engine::{Experiment, Override, validate};
use engine_core::Sizes;
use engine_core::engine::Engine;
use engine_datasets::Split;
use paths::in_workspace;

const DATA: &str = "../shared/flickr8k_mini";

#[test]
fn two_epochs_on_photographs_bring_the_validation_loss_down() {
    let Ok(data) = fs::canonicalize(in_workspace(DATA)) else {
        println!("{DATA} is absent: skipped");
        return;
    };
    let graph = fs::canonicalize(in_workspace("graphs/caption_lstm.ron")).unwrap();
    let data = data.to_str().unwrap();

    let overrides =
        [Override::new("data.dir", format!("{data:?}")), Override::new("data.pca_features", false)];
    let experiment = Experiment::load(&graph, &overrides).unwrap();
    let source = experiment.data.open().unwrap();
    let sizes: Sizes = source.sizes().into_iter().collect();
    let (plan, _) = experiment.plan(&sizes).unwrap();
    let mut untrained = Engine::<f32>::new(plan, sizes, experiment.train.seed).unwrap();
    let before = validate(&mut untrained, &*source, Split::Val, 100).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut arguments = vec!["train", graph.to_str().unwrap(), "--data", data];
    arguments.extend(["--set", "data.pca_features=false", "--epochs", "2"]);
    arguments.extend(["--out", run.to_str().unwrap()]);
    engine(dir.path(), &arguments);
    let records = metrics(&run);
    let after: Vec<f64> = records.iter().filter_map(|record| record.val_loss).collect();
    println!("validation loss: untrained {before:.3}, after each epoch {after:.3?}");
}
