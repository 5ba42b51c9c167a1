//! `engine train`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use engine::decode::{DecodeScalar, word_scores};
use engine::encoder::folder;
use engine::{
    About, BestBy, CaptionScores, Captioner, Continuation, End, Experiment, Identity, Override,
    Parameters, RunFolder, RunGuard, Stop, Summary, Training, replace,
};
use engine_core::engine::Engine;
use engine_core::graph::{Passes, Plan, UnknownPass};
use engine_core::{Precision, Sizes};
use engine_datasets::{Source, Split};

use crate::error::Error;
use crate::graph_args::{GraphArgs, open};
use crate::init;
use crate::log::{self, Form, Opening};
use crate::out::say;
use crate::pass_args::PassArgs;
use crate::sample::{print_captions, print_texts};
use crate::threads::ThreadArgs;

/// Train the network of a graph file, or go on with a run
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine train graphs/caption_lstm.ron
  engine train graphs/caption_lstm.ron --set nodes.hidden.layer='Gru(units: 256)' --epochs 3
  engine train graphs/caption_lstm.ron --data datasets/mine --out runs/mine
  engine train --resume runs/mine                    (where it stopped)
  engine train --resume runs/mine --epochs 20        (and further than it was to go)
  engine train graphs/caption_gru.ron --init runs/mine   (a new run, with what fits of its parameters)")]
pub(crate) struct Args {
    /// The graph file
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    graph: Option<PathBuf>,
    /// Goes on with this run exactly where its latest checkpoint stands; only --data, --epochs, --steps and --threads go
    /// with it
    #[arg(long, value_name = "RUN")]
    #[arg(conflicts_with_all = ["init", "sets", "batch", "seed", "without", "out"])]
    resume: Option<PathBuf>,
    /// Begins with the parameters of this run, or of a safetensors file, where names and shapes are the same
    #[arg(long, value_name = "RUN|FILE")]
    init: Option<PathBuf>,
    #[command(flatten)]
    values: GraphArgs,
    /// Times that training goes through the captions
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Steps after which training ends, if it has not by then
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Captions a step
    #[arg(long, value_name = "N")]
    batch: Option<u64>,
    /// Decides first values, the order of captions and all noise
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    passes: PassArgs,
    #[command(flatten)]
    threads: ThreadArgs,
    /// How training is shown
    #[arg(long, value_name = "FORM", value_enum, default_value = "auto")]
    log: Form,
    /// The run folder, in place of runs/<graph>-<number>
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// How many unseen images are shown with their captions at the end.
const SHOWN: usize = 5;

pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    args.threads.apply()?;
    let options = [
        ("train.epochs", args.epochs),
        ("train.steps", args.steps),
        ("train.batch", args.batch),
        ("train.seed", args.seed),
    ];
    let options = options.iter().filter_map(|(path, value)| Some(Override::new(*path, (*value)?)));
    let overrides = args.values.overrides(options.collect());
    let (run, graph, passes) = match (&args.resume, &args.graph) {
        (Some(run), _) => {
            let run = RunFolder::open(run)?.take()?;
            let passes = Passes::without(&run.about()?.without).map_err(usage)?;
            let graph = run.graph();
            (Some(run), graph, passes)
        }
        (None, graph) => (None, graph.clone().unwrap_or_default(), args.passes.passes()?),
    };
    let experiment = Experiment::load(&graph, &overrides)?;
    let (source, sizes, plan) = open(&experiment)?;
    let session = Session { args, experiment: &experiment, source: &*source, passes: &passes };
    match plan.precision {
        Precision::F32 => session.run::<f32>(plan, sizes, run),
        Precision::F64 => session.run::<f64>(plan, sizes, run),
    }
}

fn usage(error: UnknownPass) -> Error {
    Error::Usage { message: error.to_string(), help: error.help }
}

/// One session of training: a run from its beginning, or from where it stopped.
struct Session<'a> {
    args: &'a Args,
    experiment: &'a Experiment,
    source: &'a dyn Source,
    passes: &'a Passes,
}

impl Session<'_> {
    fn run<T: DecodeScalar>(
        &self,
        plan: Arc<Plan>,
        sizes: Sizes,
        run: Option<RunGuard>,
    ) -> Result<ExitCode, Error> {
        let settings = &self.experiment.train;
        let writes = word_scores(&plan).is_some();
        let mut engine = Engine::<T>::new(plan, sizes, settings.seed)?.rewritten(self.passes);
        let (decoder, names) = (&*self.experiment.decoder, settings.all_scores());
        if writes || !names.is_empty() {
            // A graph that cannot write step by step is refused now rather than after its training.
            Captioner::new(&engine, self.source, decoder)?;
        }
        let mut scores = CaptionScores::new(self.source, decoder, &names)?;
        if let Some(init) = &self.args.init {
            init::adopt(&mut engine, init)?;
        }
        // Signals that arrive from here on are looked at after the first step.
        let stop = Stop::on_signals().map_err(|error| Error::Signals { error })?;
        let identity = Identity::of(self.experiment, self.source);
        // A run that was stopped before its first checkpoint begins anew.
        let checkpoints = run.as_ref().map(|run| run.checkpoints().list()).transpose()?;
        let resumed = checkpoints.is_some_and(|checkpoints| !checkpoints.is_empty());
        let run = run.map_or_else(|| self.begin_folder(), Ok)?;
        let opening = Opening::new(&engine, self.source, run.path(), settings);
        let training = match resumed {
            true => Training::resume(&mut engine, self.source, settings, &run, &identity)?,
            false => Training::begin(&mut engine, self.source, settings, &run, identity)?,
        };
        if resumed {
            let graph = run.graph();
            replace(&graph, self.experiment.document.text().as_bytes())
                .map_err(|error| Error::Write { path: graph, error })?;
        }
        let mut log = log::open(self.args.log, settings, opening.after(training.iteration()));
        let summary = training.run(&mut scores, &mut *log, &stop)?;
        log.end(&summary);
        if let End::Stopped(signal) = summary.end {
            return print_stopped(signal, &summary, &run);
        }
        Parameters::best(&run, settings.best_by)?.set(&mut engine)?;
        if writes {
            print_unseen(&engine, self.source, self.experiment)?;
        }
        self.print_summary(&summary, &run)?;
        if writes {
            let graph = self.args.graph.as_deref().filter(|_| self.args.out.is_none());
            let what = if self.has_images() { "captions" } else { "text" };
            say!("more {what}: engine sample {}", graph.unwrap_or(run.path()).display());
        }
        Ok(ExitCode::SUCCESS)
    }

    fn has_images(&self) -> bool {
        self.source.images(Split::Train) > 0
    }

    fn begin_folder(&self) -> Result<RunGuard, Error> {
        let run = RunFolder::create(self.args.out.as_deref(), &self.experiment.name)?;
        let about = About::now(&self.args.passes.without, self.source.sizes());
        let (words, graph) = (self.source.vocabulary().to_json(), self.experiment.document.text());
        let data = self.experiment.data.dir();
        let begun = folder::hand_on(data, run.path()).map_err(Error::from);
        let begun = begun.and_then(|()| Ok(run.begin(&about, &words, graph)?));
        match begun {
            Ok(()) => Ok(run),
            Err(error) => {
                folder::discard(run.path());
                run.discard();
                Err(error)
            }
        }
    }

    fn print_summary(&self, summary: &Summary, run: &RunGuard) -> Result<(), Error> {
        let (steps, seconds) = (summary.iterations, summary.seconds);
        let wait = 100.0 * summary.data_wait_share();
        say!("\n{steps} steps in {seconds:.1} s, {wait:.2} % of it waiting for data");
        if summary.end == End::NoGain {
            say!("ended early: no gain in the last {} evaluations", summary.without_gain());
        }
        let by = self.experiment.train.best_by;
        if let Some(best) = summary.best() {
            if let BestBy::Score(name) = by {
                let score = best.scores.get(name).copied().unwrap_or(f64::NAN);
                say!("best {name} {score:.4}, after epoch {}", best.epoch);
            }
            let best_loss = if by == BestBy::Loss { "best" } else { "its" };
            say!(
                "{best_loss} validation loss {:.4} {}, after epoch {}",
                best.val_loss,
                if self.has_images() { "nats a caption" } else { "nats" },
                best.epoch
            );
        }
        let shown = |path: &Path| path.display().to_string();
        let best = Parameters::best(run, by)?.file;
        say!("run folder        {}", shown(run.path()));
        say!("  best parameters {}", shown(&best));
        say!("  last parameters {}", shown(&run.checkpoints().latest()?.parameters()));
        say!("  metrics         {}", shown(&run.metrics()));
        say!("  graph           {}", shown(&run.graph()));
        Ok(())
    }
}

/// Says how to go on, and returns the exit code of the signal.
fn print_stopped(signal: i32, summary: &Summary, run: &RunGuard) -> Result<ExitCode, Error> {
    let checkpoint = run.checkpoints().latest()?;
    eprintln!(
        "stopped by signal {signal} after step {}; everything is in {}",
        summary.iterations,
        checkpoint.path().display()
    );
    eprintln!("go on with: engine train --resume {}", run.path().display());
    Ok(ExitCode::from(128 + signal as u8))
}

fn print_unseen<T: DecodeScalar>(
    engine: &Engine<T>,
    source: &dyn Source,
    experiment: &Experiment,
) -> Result<(), Error> {
    if source.images(Split::Val) == 0 {
        let mut writer = Continuation::new(engine, source, &*experiment.decoder)?;
        say!("\nA text that the network writes:");
        return print_texts(&mut writer, source, None, &[0], false);
    }
    let mut captioner = Captioner::new(engine, source, &*experiment.decoder)?;
    let images: Vec<usize> = (0..source.images(Split::Val).min(SHOWN)).collect();
    say!("\nCaptions of images that training has not seen:");
    print_captions(&mut captioner, source, Split::Val, &images)?;
    if let Some(truth) = captioner.truth(source, Split::Val)? {
        say!(
            "{} of {} captions of unseen images are true of their picture: {:.1} %",
            truth.right,
            truth.all,
            100.0 * truth.share()
        );
    }
    Ok(())
}
