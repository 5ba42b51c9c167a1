//! `engine check`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::Experiment;
use engine_core::Sizes;
use engine_core::graph::{Fault, PASSES, Passes, Plan};

use crate::diagnostics;
use crate::error::Error;
use crate::graph_args::GraphArgs;
use crate::out::say;
use crate::pass_args::PassArgs;

/// Check graph files: everything that is wrong, and every shape if nothing is
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine check graphs/*.ron
  engine check graphs/caption_lstm.ron --set nodes.hidden.layer='Gru(units: 256)'
  engine check graphs/caption_lstm.ron --passes --without padding")]
pub(crate) struct Args {
    /// The graph files
    #[arg(required_unless_present = "passes", value_name = "GRAPH")]
    graphs: Vec<PathBuf>,
    /// Lists the rewrites of plans, and shows the nodes that training runs once they are applied
    #[arg(long)]
    passes: bool,
    #[command(flatten)]
    without: PassArgs,
    #[command(flatten)]
    values: GraphArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let passes = args.without.passes()?;
    if args.passes {
        print_passes();
    }
    let mut first_error = None;
    for graph in &args.graphs {
        if let Err(error) = check(graph, &args.values, args.passes.then_some(&passes)) {
            // All but one are printed here; the last is the command's own error.
            if let Some(earlier) = first_error.replace(error) {
                diagnostics::print(&earlier);
            }
        }
    }
    first_error.map_or(Ok(()), Err)
}

fn check(path: &Path, values: &GraphArgs, passes: Option<&Passes>) -> Result<(), Error> {
    let experiment = Experiment::load(path, &values.overrides(Vec::new()))?;
    let (plan, sizes, warnings) = laid_out(&experiment, values)?;
    diagnostics::print_faults(&experiment.document, &warnings);
    print_plan(path, &plan, &sizes, experiment.data.dir());
    if let Some(rewritten) = passes.and_then(|passes| plan.rewritten("loss", passes)) {
        print_rewritten(&rewritten);
    }
    Ok(())
}

/// A network laid out with the sizes of its data, those sizes, and warnings.
pub(crate) fn laid_out(
    experiment: &Experiment,
    values: &GraphArgs,
) -> Result<(Arc<Plan>, Sizes, Vec<Fault>), Error> {
    let (plan, warnings) = experiment.plan(&Sizes::new())?;
    // Data that is there decides sizes; data that is not is no fault of the graph.
    if !(values.names_data() || experiment.data.dir().is_dir()) {
        return Ok((plan, Sizes::new(), warnings));
    }
    let sizes: Sizes = experiment.data.peek()?.into_iter().collect();
    let (plan, warnings) = experiment.plan(&sizes)?;
    Ok((plan, sizes, warnings))
}

fn print_passes() {
    say!("Rewrites of plans, in their order; `--without PASS` leaves one out");
    let width = PASSES.iter().map(|pass| pass.name.len()).max().unwrap_or(0);
    PASSES.iter().for_each(|pass| say!("  {:width$}  {}", pass.name, pass.summary));
    say!("");
}

/// What training runs.
fn print_rewritten(plan: &Plan) {
    let ends =
        if plan.ends_early() { ", sequences end at their last position that counts" } else { "" };
    say!("  as training runs it{ends}:");
    let running = running(plan, 0);
    let width = running.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    running.iter().for_each(|(name, kernel)| say!("    {name:width$}  {kernel}"));
}

/// What runs, by node; nodes of bodies follow the node whose body it is, further in.
fn running(plan: &Plan, depth: usize) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for node in &plan.nodes {
        let rows = if node.by_word() { "   once for each different word" } else { "" };
        let name = format!("{:indent$}{}", "", node.name, indent = 2 * depth);
        all.push((name, format!("{}{rows}", node.kernel())));
        all.extend(node.body.iter().flat_map(|body| running(&body.plan, depth + 1)));
    }
    all
}

fn print_plan(path: &Path, plan: &Plan, sizes: &Sizes, data: &Path) {
    say!("{}", path.display());
    for (symbol, size) in sizes.iter() {
        say!("  {symbol} = {size} in {}", data.display());
    }
    let inputs = plan.inputs.iter().map(|input| &input.name);
    let names = inputs.chain(plan.nodes.iter().map(|node| &node.name));
    let width = names.map(String::len).max().unwrap_or(0);
    for input in &plan.inputs {
        let kind = if input.is_tokens() { "tokens" } else { "input" };
        say!("  {:width$}  {kind:16}{}", input.name, input.shape);
    }
    for node in &plan.nodes {
        let tag = node.tag();
        let shapes: Vec<String> =
            node.outputs().map(|at| plan.values[at].shape.to_string()).collect();
        let parameters: Vec<String> = node
            .parameters
            .iter()
            .map(|at| format!("{} {}", plan.parameters[*at].name, plan.parameters[*at].shape))
            .collect();
        say!("  {:width$}  {tag:16}{}   {}", node.name, shapes.join(" "), parameters.join(", "));
    }
    match plan.parameter_count(sizes) {
        Some(count) => say!("  {count} parameters, nothing wrong"),
        None => say!("  nothing wrong; sizes follow from the data"),
    }
}
