//! What a benchmark found: as JSON, and as text for a terminal.

use std::fmt;
use std::time::Duration;

use engine_core::Precision;
use engine_core::engine::NodeProfile;
use serde::Serialize;

use super::{Measured, Phase, WARM_UP};
use crate::peak::Peak;

/// What a benchmark found. Its fields are the keys of `--json FILE`; what is not known is `null`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The graph file's name without `.ron`.
    pub graph: String,
    /// The number type.
    pub precision: Precision,
    /// Threads that computed.
    pub threads: usize,
    /// The seed of first values, order and noise.
    pub seed: u64,
    /// Steps that went before, not counted.
    pub warm_up: u64,
    /// Steps that were measured.
    pub steps: usize,
    /// Captions a step.
    pub batch: usize,
    /// The time of the fastest step.
    pub step_ms_min: f64,
    /// The time that a quarter of the steps stayed below.
    pub step_ms_q1: f64,
    /// The time that half of the steps stayed below; what follows is reckoned with it.
    pub step_ms_median: f64,
    /// The time that three quarters of the steps stayed below.
    pub step_ms_q3: f64,
    /// The time of the slowest step.
    pub step_ms_max: f64,
    /// The speed.
    pub captions_per_second: f64,
    /// Billions of floating-point operations that a step takes as the graph is computed.
    pub gflop_needed: f64,
    /// The same for the graph as it is written.
    pub gflop_without_rewrites: f64,
    /// Billions of needed operations a second.
    pub gflop_per_second: f64,
    /// The machine's peak: the larger of before and after the steps, for others on the machine can only take from it.
    pub peak_gflop_per_second: f64,
    /// The peak before the steps.
    pub peak_gflop_per_second_before: f64,
    /// The peak after the steps.
    pub peak_gflop_per_second_after: f64,
    /// The instructions that the peak was measured with.
    pub peak_instructions: &'static str,
    /// The time that the needed operations take at the peak.
    pub floor_ms: f64,
    /// How many times the floor a step takes; not known where there is no floor.
    pub over_floor: Option<f64>,
    /// The most memory that the process had, the data included.
    pub peak_memory_mib: Option<f64>,
    /// Heap allocations a step.
    pub allocations_per_step: Option<f64>,
    /// The share of time spent waiting for data, from 0 to 1.
    pub data_share: f64,
    /// The nodes in the order of computation.
    pub nodes: Vec<NodeLine>,
    /// The phases of a step in their order.
    pub phases: Vec<PhaseLine>,
}

/// What one node costs a step, on average.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeLine {
    /// Its name.
    pub name: String,
    /// Its layer.
    pub layer: String,
    /// The forward pass's time.
    pub forward_ms: f64,
    /// The backward pass's time.
    pub backward_ms: f64,
    /// Billions of operations of the forward pass.
    pub forward_gflop: f64,
    /// Billions of operations of the backward pass.
    pub backward_gflop: f64,
}

/// What one phase costs a step, on average.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseLine {
    /// The phase.
    pub phase: Phase,
    /// Its time.
    pub ms: f64,
    /// Its share of the step, from 0 to 1.
    pub share: f64,
}

const GIGA: f64 = 1e9;

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Report {
    pub(super) fn new(
        graph: &str,
        precision: Precision,
        threads: usize,
        seed: u64,
        [before, after]: [Peak; 2],
        measured: &Measured,
    ) -> Self {
        let mut times: Vec<f64> = measured.steps.iter().copied().map(ms).collect();
        times.sort_by(f64::total_cmp);
        let [min, q1, median, q3, max] = [0.0, 0.25, 0.5, 0.75, 1.0].map(|q| quantile(&times, q));
        let (steps, seconds) = (times.len(), median / 1e3);
        let operations = |node: &NodeProfile| node.forward.operations + node.backward.operations;
        let needed: u64 = measured.nodes.iter().map(operations).sum();
        let needed = needed as f64 / steps as f64;
        let peak = before.per_second.max(after.per_second);
        let phases = phases(measured);
        Report {
            graph: graph.to_owned(),
            precision,
            threads,
            seed,
            warm_up: WARM_UP,
            steps,
            batch: measured.rows,
            step_ms_min: min,
            step_ms_q1: q1,
            step_ms_median: median,
            step_ms_q3: q3,
            step_ms_max: max,
            captions_per_second: measured.rows as f64 / seconds,
            gflop_needed: needed / GIGA,
            gflop_without_rewrites: measured.operations_as_written as f64 / GIGA,
            gflop_per_second: needed / seconds / GIGA,
            peak_gflop_per_second: peak / GIGA,
            peak_gflop_per_second_before: before.per_second / GIGA,
            peak_gflop_per_second_after: after.per_second / GIGA,
            peak_instructions: before.instructions,
            floor_ms: needed / peak * 1e3,
            over_floor: (needed > 0.0).then(|| seconds * peak / needed),
            peak_memory_mib: measured.memory,
            allocations_per_step: measured.allocations.map(|all| all as f64 / steps as f64),
            data_share: phases[Phase::Batch as usize].share,
            nodes: measured.nodes.iter().map(|node| NodeLine::new(node, steps)).collect(),
            phases,
        }
    }
}

impl NodeLine {
    /// A step's share of what a node took in all steps.
    fn new(node: &NodeProfile, steps: usize) -> Self {
        let a_step = |all: f64| all / steps as f64;
        NodeLine {
            name: node.name.clone(),
            layer: node.layer.clone(),
            forward_ms: a_step(ms(node.forward.time)),
            backward_ms: a_step(ms(node.backward.time)),
            forward_gflop: a_step(node.forward.operations as f64) / GIGA,
            backward_gflop: a_step(node.backward.operations as f64) / GIGA,
        }
    }
}

fn phases(measured: &Measured) -> Vec<PhaseLine> {
    let all: Duration = measured.phases.iter().sum();
    let line = |phase| {
        let time = measured.phases[phase as usize];
        let share = time.as_secs_f64() / all.as_secs_f64();
        PhaseLine { phase, ms: ms(time) / measured.steps.len() as f64, share }
    };
    Phase::ALL.into_iter().map(line).collect()
}

/// What this share of the sorted numbers stays below, between two of them where it falls between.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} steps of {} captions in {:?}, after {} to warm up; {} threads, seed {}\n",
            self.graph,
            self.steps,
            self.batch,
            self.precision,
            self.warm_up,
            self.threads,
            self.seed
        )?;
        self.summary(f)?;
        self.by_phase(f)?;
        self.by_node(f)
    }
}

impl Report {
    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "step         {:.2} ms (median); fastest {:.2}, quartiles {:.2} and {:.2}, slowest {:.2}",
            self.step_ms_median,
            self.step_ms_min,
            self.step_ms_q1,
            self.step_ms_q3,
            self.step_ms_max
        )?;
        writeln!(f, "speed        {:.0} captions/s", self.captions_per_second)?;
        writeln!(
            f,
            "operations   {:.3} GFLOP a step, {:.3} without rewrites",
            self.gflop_needed, self.gflop_without_rewrites
        )?;
        writeln!(
            f,
            "achieved     {:.1} GFLOP/s of {:.1}, the peak of {} (before {:.1}, after {:.1})",
            self.gflop_per_second,
            self.peak_gflop_per_second,
            self.peak_instructions,
            self.peak_gflop_per_second_before,
            self.peak_gflop_per_second_after
        )?;
        if let Some(over) = self.over_floor {
            writeln!(f, "floor        {:.2} ms; a step takes {over:.2} times that", self.floor_ms)?;
        }
        if let Some(mib) = self.peak_memory_mib {
            writeln!(f, "memory       {mib:.0} MiB at most")?;
        }
        if let Some(allocations) = self.allocations_per_step {
            writeln!(f, "allocations  {allocations:.1} a step")?;
        }
        writeln!(
            f,
            "data         {:.2} % of the time is spent waiting for it",
            100.0 * self.data_share
        )
    }

    fn by_phase(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:10}{:>12}{:>10}", "phase", "ms", "share")?;
        for PhaseLine { phase, ms, share } in &self.phases {
            let name = format!("{phase:?}").to_lowercase();
            writeln!(f, "{name:10}{ms:12.3}{:8.1} %", 100.0 * share)?;
        }
        Ok(())
    }

    fn by_node(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0).max(5) + 2;
        let name_width = width(&mut self.nodes.iter().map(|node| node.name.len()));
        let layer_width = width(&mut self.nodes.iter().map(|node| node.layer.len()));
        let columns = ["forward ms", "backward ms", "forward GFLOP", "backward GFLOP"];
        write!(f, "\n{:name_width$}{:layer_width$}", "node", "layer")?;
        columns.iter().try_for_each(|column| write!(f, "{column:>16}"))?;
        for node in &self.nodes {
            write!(f, "\n{:name_width$}{:layer_width$}", node.name, node.layer)?;
            write!(f, "{:16.3}{:16.3}", node.forward_ms, node.backward_ms)?;
            write!(f, "{:16.3}{:16.3}", node.forward_gflop, node.backward_gflop)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use engine_core::engine::Work;

    use super::*;

    fn report() -> Report {
        let steps = [30, 10, 20, 50, 40].map(Duration::from_millis).to_vec();
        let work = |ms, operations| Work { time: Duration::from_millis(ms), operations };
        let node = NodeProfile {
            name: "hidden".into(),
            layer: "Lstm".into(),
            forward: work(20, 5_000_000_000),
            backward: work(30, 10_000_000_000),
        };
        let measured = Measured {
            steps,
            phases: [15, 0, 0, 45, 75, 0, 15].map(Duration::from_millis),
            rows: 60,
            allocations: Some(20),
            memory: Some(1.5),
            nodes: vec![node],
            operations_as_written: 4_000_000_000,
        };
        let peak = |per_second| Peak { per_second, instructions: "AVX-512" };
        Report::new("g", Precision::F32, 2, 7, [peak(190e9), peak(210e9)], &measured)
    }

    #[test]
    fn figures_follow_from_what_was_measured() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9 * b.abs(), "{a}, {b}");
        let report = report();
        let spread = [report.step_ms_min, report.step_ms_q1, report.step_ms_q3, report.step_ms_max];
        assert_eq!((report.step_ms_median, spread), (30.0, [10.0, 20.0, 40.0, 50.0]));
        near(report.captions_per_second, 2000.0);
        near(report.gflop_needed, 3.0);
        near(report.gflop_without_rewrites, 4.0);
        near(report.gflop_per_second, 100.0);
        near(report.peak_gflop_per_second, 210.0);
        near(report.floor_ms, 3000.0 / 210.0);
        near(report.over_floor.unwrap(), 2.1);
        near(report.data_share, 0.1);
        near(report.phases[Phase::Backward as usize].ms, 15.0);
        assert_eq!(report.allocations_per_step, Some(4.0));
    }

    #[test]
    fn quantiles_lie_between_numbers() {
        assert_eq!(quantile(&[1.0, 2.0], 0.25), 1.25);
        assert_eq!(quantile(&[5.0], 0.75), 5.0);
    }

    #[test]
    fn a_node_has_a_line() {
        let text = report().to_string();
        let line: Vec<_> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(line, ["hidden", "Lstm", "4.000", "6.000", "1.000", "2.000"]);
    }
}
