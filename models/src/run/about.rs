//! `run.json`: by which program, when, with which command and on which machine a run was made.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use engine_core::Precision;
use serde::{Deserialize, Serialize};
use sysinfo::System;

use super::RunError;
use crate::files::replace;
use crate::peak;

/// The layout of run folders that this program writes. One that it does not know is refused.
pub(crate) const FORMAT: u32 = 1;

/// How a run came to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The layout of the folder: [`FORMAT`].
    pub format: u32,
    /// The version of the program.
    pub engine: String,
    /// When, as RFC 3339 writes it.
    pub created: String,
    /// The command line.
    pub command: Vec<String>,
    /// Rewrites of the plan that were left out. A run that goes on leaves out the same.
    pub without: Vec<String>,
    /// Where.
    pub machine: Machine,
    /// The sizes that the data gave the network, by name. Runs of earlier versions do not have them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sizes: BTreeMap<String, usize>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Processors that the program may use.
    pub cores: usize,
    /// Threads that compute.
    pub threads: usize,
    /// The widest instructions that it computes with.
    pub instructions: String,
    /// Memory in GiB; 0 where it is not known.
    pub memory_gib: f64,
    /// The operating system.
    pub os: String,
}

/// The part of the file that every layout has.
#[derive(Deserialize)]
struct Layout {
    format: u32,
}

impl About {
    /// A run that begins now, on this machine, with data of these sizes.
    pub fn now(without: &[String], sizes: impl IntoIterator<Item = (&'static str, usize)>) -> Self {
        About {
            format: FORMAT,
            engine: env!("CARGO_PKG_VERSION").into(),
            created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            command: std::env::args().collect(),
            without: without.to_vec(),
            machine: Machine::this(),
            sizes: sizes.into_iter().map(|(name, size)| (name.to_owned(), size)).collect(),
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When there is none, when it is of another layout, or not what its name promises.
    pub fn read(path: &Path) -> Result<Self, RunError> {
        let fault = |message: String| RunError::About { path: path.to_owned(), message };
        let text = fs::read(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
        let json = |error: serde_json::Error| fault(format!("is not in order: {error}"));
        match serde_json::from_slice::<Layout>(&text).map_err(json)?.format {
            FORMAT => serde_json::from_slice(&text).map_err(json),
            found => Err(RunError::OtherFormat { path: path.to_owned(), found }),
        }
    }

    /// Writes the file.
    pub(super) fn write(&self, path: &Path) -> std::io::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        replace(path, (text + "\n").as_bytes())
    }
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let system = System::new().ok().map(|mut system| {
            system.refresh_cpu_all();
            system.refresh_memory();
            system
        });
        let cpu = system.as_ref().and_then(|system| system.cpus().first());
        let cpu = cpu.map(|cpu| cpu.brand().trim().to_owned());
        let memory = system.map_or(0, |system| system.total_memory()) as f64;
        Machine {
            cpu: cpu
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| std::env::consts::ARCH.into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads: engine_kernels::team::threads(),
            instructions: peak::instructions(Precision::F32).into(),
            memory_gib: (memory / f64::from(1 << 30) * 10.0).round() / 10.0,
            os: System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_newer_layout_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        let about = About::now(&["padding".into()], [("Features", 512)]);
        assert!(!about.machine.cpu.is_empty() && about.machine.memory_gib > 0.0, "{about:?}");
        about.write(&path).unwrap();
        assert_eq!(About::read(&path).unwrap(), about);
        // A newer layout need not have anything else that this one knows.
        fs::write(&path, r#"{"format": 2, "engine": 7}"#).unwrap();
        assert!(matches!(About::read(&path), Err(RunError::OtherFormat { found: 2, .. })));
        fs::write(&path, "{\n  \"format\": }").unwrap();
        let message = About::read(&path).unwrap_err().to_string();
        assert!(message.contains("run.json") && message.contains("line 2 column 13"), "{message}");
    }
}
