//! The first graph file learns from real photographs, through the command line.
//!
//! The data, 1,000 photographs of Flickr8k in the layout of the course's COCO set, belongs to its authors and lies beside
//! the workspace; where it is absent, the test says so and passes.

#[path = "support/command.rs"]
mod command;
#[path = "support/paths.rs"]
mod paths;

use std::fs;

use command::{argument, engine, metrics};
use engine::{Experiment, Override, Stop, validate};
use engine_core::Sizes;
use engine_core::engine::Engine;
use engine_datasets::{Order, Split};
use paths::in_workspace;

const DATA: &str = "../shared/flickr8k_mini";

/// What the two epochs came to when this was written, in nats a caption, the same on any number of threads. Before them,
/// the network knew nothing: 82.8, about 12 words as likely as any of the vocabulary's.
const MEASURED: [f64; 2] = [52.051, 46.436];

#[test]
fn two_epochs_on_photographs_bring_the_validation_loss_down() {
    let Ok(data) = fs::canonicalize(in_workspace(DATA)) else {
        println!("{DATA} is absent: skipped");
        return;
    };
    let graph = fs::canonicalize(in_workspace("graphs/caption_lstm.ron")).unwrap();
    let data = argument(&data);

    let overrides =
        [Override::new("data.dir", format!("{data:?}")), Override::new("data.pca_features", false)];
    let experiment = Experiment::load(&graph, &overrides).unwrap();
    let source = experiment.data.open().unwrap();
    let sizes: Sizes = source.sizes().into_iter().collect();
    let (plan, _) = experiment.plan(&sizes).unwrap();
    let mut untrained = Engine::<f32>::new(plan, sizes, experiment.train.seed).unwrap();
    let before =
        validate(&mut untrained, &*source, Split::Val, (Order::default(), 100), &Stop::never());
    let before = before.unwrap().unwrap();

    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut arguments = vec!["train", argument(&graph), "--data", data];
    arguments.extend(["--set", "data.pca_features=false", "--epochs", "2"]);
    arguments.extend(["--set", "train.schedule=Constant()"]);
    arguments.extend(["--out", argument(&run)]);
    engine(dir.path(), &arguments);
    let (_, evaluations) = metrics(&run);
    let after: Vec<f64> = evaluations.iter().map(|evaluation| evaluation.val_loss).collect();
    println!("validation loss: untrained {before:.3}, after each epoch {after:.3?}");

    assert_eq!(after.len(), MEASURED.len(), "a validation loss each epoch");
    for (after, measured) in after.iter().zip(MEASURED) {
        assert!(*after <= 1.05 * measured, "{after} is well above {measured}");
    }
    assert!(before > 1.5 * after[0] && after[0] > after[1], "the loss falls from {before}");
}
