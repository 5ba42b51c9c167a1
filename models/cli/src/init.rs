//! `--init`: a new run that begins with parameters of another.

use std::fs;
use std::path::Path;

use engine::{Experiment, Parameters, RunFolder};
use engine_core::Scalar;
use engine_core::engine::Engine;
use engine_core::engine::checkpoint::{Adopted, adopt_parameters};

use crate::error::Error;

/// Takes what fits of the best parameters of a run, or of those in a safetensors file, and says what does not.
pub(crate) fn adopt<T: Scalar>(engine: &mut Engine<T>, from: &Path) -> Result<(), Error> {
    let Parameters { bytes, file } = match from.extension().is_some_and(|ext| ext == "safetensors")
    {
        true => {
            let read = |error| Error::ReadParameters { path: from.to_owned(), error };
            Parameters { bytes: fs::read(from).map_err(read)?, file: from.to_owned() }
        }
        false => {
            let run = RunFolder::open(from)?;
            Parameters::best(&run, Experiment::load(&run.graph(), &[])?.train.best_by)?
        }
    };
    let adopted = adopt_parameters(engine, &bytes, &file)?;
    print(&adopted, &file);
    if adopted.taken.is_empty() {
        return Err(Error::Usage {
            message: format!("{} has no parameter that fits this network", file.display()),
            help: "give a run of a network with layers of the same names and shapes, or leave --init out".into(),
        });
    }
    Ok(())
}

fn print(adopted: &Adopted, path: &Path) {
    let all = adopted.taken.len() + adopted.differing.len() + adopted.missing.len();
    eprintln!("{} of {all} parameters from {}", adopted.taken.len(), path.display());
    eprintln!("  taken      {}", list(&adopted.taken));
    for (name, ours, theirs) in &adopted.differing {
        eprintln!("  not taken  {name}: expected {ours:?}, found {theirs:?}");
    }
    for (name, near) in &adopted.missing {
        let near = near.as_ref().map_or(String::new(), |near| format!("; the nearest is {near}"));
        eprintln!("  not taken  {name}: not in the file{near}");
    }
    if !adopted.left_over.is_empty() {
        eprintln!("  left over  {}: not in this network", list(&adopted.left_over));
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
