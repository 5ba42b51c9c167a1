//! Generations of a run: everything that training needs to go on, saved whole.
//!
//! A generation is a folder, `checkpoints/step-00000600`:
//!
//! | file | holds |
//! |---|---|
//! | `parameters.safetensors` | the parameters |
//! | `optimizer.safetensors` | the numbers that the update rule keeps |
//! | `carried.safetensors` | what goes from batch to batch, for a graph that carries something |
//! | `state.json` | where training stands |
//! | `SHA256SUMS` | the checksums of the others, as `sha256sum -c` reads them |
//!
//! It is written under another name, each file and the folder synced, and gets its own name with one rename: a folder
//! called `step-..` is a whole generation, or was damaged later, which its checksums show.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::files::{hexadecimal, sync_folder, write_new};

/// The parameters' file in the folder of a generation.
pub(crate) const PARAMETERS: &str = "parameters.safetensors";
/// The file of the update rule's numbers.
pub(crate) const OPTIMIZER: &str = "optimizer.safetensors";
/// The file of what is carried from batch to batch; only for a graph that carries something.
pub(crate) const CARRIED: &str = "carried.safetensors";
/// The file that says where training stands.
pub(crate) const STATE: &str = "state.json";
const SUMS: &str = "SHA256SUMS";
const FILES: [&str; 3] = [PARAMETERS, OPTIMIZER, STATE];

/// A generation that cannot be written or read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum CheckpointsError {
    /// The file system refused.
    #[error("cannot {what} {}: {error}", path.display())]
    #[diagnostic(help("{}", match *what {
        "write" => "is the disk full? The checkpoint before it is untouched",
        _ => "is it readable?",
    }))]
    Io {
        /// `read` or `write`.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Its reason.
        #[source]
        error: io::Error,
    },
    /// The folder has no generation.
    #[error("there is no checkpoint in {}", path.display())]
    #[diagnostic(help(
        "a run saves its first one when it begins; go on with: engine train --resume RUN"
    ))]
    None {
        /// The folder of checkpoints.
        path: PathBuf,
    },
    /// A file of a generation is not what was saved.
    #[error("the checkpoint {} is damaged: {message}", path.display())]
    #[diagnostic(help("{}", way_on(path, whole.as_deref())))]
    Damaged {
        /// The generation's folder.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
        /// The latest generation before it that is whole.
        whole: Option<PathBuf>,
    },
}

fn way_on(damaged: &Path, whole: Option<&Path>) -> String {
    match whole {
        Some(whole) => {
            let (whole, damaged) = (whole.display(), damaged.display());
            format!("{whole} is whole: move {damaged} away to go on from there")
        }
        None => {
            "no other one is whole; `sha256sum -c SHA256SUMS` in its folder shows the files".into()
        }
    }
}

/// The folder `checkpoints` of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoints {
    path: PathBuf,
}

/// A saved generation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation {
    /// The steps that were made before it.
    pub step: u64,
    // A step that is saved again, as after an evaluation that a signal had put off, gets the next one.
    revision: u32,
    path: PathBuf,
}

/// What a generation holds, as bytes whose checksums are right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// [`PARAMETERS`].
    pub parameters: Vec<u8>,
    /// [`OPTIMIZER`].
    pub optimizer: Vec<u8>,
    /// [`CARRIED`].
    pub carried: Option<Vec<u8>>,
    /// [`STATE`].
    pub state: Vec<u8>,
}

impl Contents {
    fn files(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let carried = self.carried.as_deref().map(|carried| (CARRIED, carried));
        let before = [(PARAMETERS, self.parameters.as_slice()), (OPTIMIZER, &self.optimizer)];
        before.into_iter().chain(carried).chain([(STATE, self.state.as_slice())])
    }
}

impl Checkpoints {
    /// The generations in this folder, which need not exist.
    pub fn new(path: PathBuf) -> Self {
        Checkpoints { path }
    }

    /// All generations, in the order in which they were saved.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<Generation>, CheckpointsError> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.io("read", &self.path, error)),
        };
        let mut generations = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| self.io("read", &self.path, error))?;
            generations.extend(Generation::at(entry.path()));
        }
        generations.sort();
        Ok(generations)
    }

    /// The latest generation.
    ///
    /// # Errors
    /// When there is none.
    pub fn latest(&self) -> Result<Generation, CheckpointsError> {
        let none = || CheckpointsError::None { path: self.path.clone() };
        self.list()?.pop().ok_or_else(none)
    }

    /// Reads a generation, and makes sure that it is as it was saved.
    ///
    /// # Errors
    /// When a file is missing or its checksum is another.
    pub fn load(&self, generation: &Generation) -> Result<Contents, CheckpointsError> {
        generation.read().map_err(|message| CheckpointsError::Damaged {
            path: generation.path.clone(),
            message,
            whole: self.whole_before(generation).map(|whole| whole.path),
        })
    }

    /// Reads one file of a generation, and makes sure that it is as it was saved. The others are left alone: those of an
    /// update rule are larger than all that is needed to write.
    ///
    /// # Errors
    /// When it is missing or its checksum is another.
    pub(crate) fn file(
        &self,
        generation: &Generation,
        name: &str,
    ) -> Result<Vec<u8>, CheckpointsError> {
        generation.file(name).map_err(|message| CheckpointsError::Damaged {
            path: generation.path.clone(),
            message,
            whole: self.whole_before(generation).map(|whole| whole.path),
        })
    }

    /// Saves a generation. Once this returns it outlasts a power cut; if it fails, those before it are as they were.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn save(&self, step: u64, contents: &Contents) -> Result<Generation, CheckpointsError> {
        let same_step = self.list()?.into_iter().filter(|generation| generation.step == step);
        let revision = same_step.map(|generation| generation.revision + 1).max().unwrap_or(0);
        let generation = Generation::new(&self.path, step, revision);
        let part = self.path.join(format!(".{}.part", generation.name()));
        self.write(&generation, &part, contents).map_err(|error| {
            let _ = fs::remove_dir_all(&part);
            self.io("write", &generation.path, error)
        })?;
        Ok(generation)
    }

    fn write(&self, generation: &Generation, part: &Path, contents: &Contents) -> io::Result<()> {
        if !self.path.is_dir() {
            fs::create_dir(&self.path)?;
            sync_folder(self.path.parent().unwrap_or(Path::new("")))?;
        }
        fs::create_dir(part)?;
        for (name, bytes) in contents.files() {
            write_new(&part.join(name), bytes)?;
        }
        write_new(&part.join(SUMS), sums(contents).as_bytes())?;
        sync_folder(part)?;
        fs::rename(part, &generation.path)?;
        sync_folder(&self.path)
    }

    /// Removes a generation.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove(&self, generation: &Generation) -> Result<(), CheckpointsError> {
        // Under another name first: half a generation must not bear the name of a whole one.
        let part = self.path.join(format!(".{}.part", generation.name()));
        let removed = fs::rename(&generation.path, &part).and_then(|()| fs::remove_dir_all(&part));
        removed.map_err(|error| self.io("write", &generation.path, error))
    }

    /// Removes what a process left that was stopped while it saved or removed a generation.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn clean(&self) -> Result<(), CheckpointsError> {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(".step-") && name.ends_with(".part") {
                let removed = fs::remove_dir_all(entry.path());
                removed.map_err(|error| self.io("write", &entry.path(), error))?;
            }
        }
        Ok(())
    }

    fn whole_before(&self, generation: &Generation) -> Option<Generation> {
        let earlier = self.list().ok()?.into_iter().filter(|other| other < generation);
        earlier.rev().find(|other| other.read().is_ok())
    }

    fn io(&self, what: &'static str, path: &Path, error: io::Error) -> CheckpointsError {
        CheckpointsError::Io { what, path: path.to_owned(), error }
    }
}

impl Generation {
    fn new(folder: &Path, step: u64, revision: u32) -> Self {
        let mut generation = Generation { step, revision, path: PathBuf::new() };
        generation.path = folder.join(generation.name());
        generation
    }

    /// The generation whose folder bears this name, if it is the name of one.
    fn at(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_prefix("step-")?;
        let (step, revision) = name.split_once('.').unwrap_or((name, "0"));
        let generation =
            Generation { step: step.parse().ok()?, revision: revision.parse().ok()?, path };
        (generation.path.file_name()?.to_str()? == generation.name()).then_some(generation)
    }

    fn name(&self) -> String {
        match self.revision {
            0 => format!("step-{:08}", self.step),
            revision => format!("step-{:08}.{revision}", self.step),
        }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file with its parameters.
    pub fn parameters(&self) -> PathBuf {
        self.path.join(PARAMETERS)
    }

    /// What a file of it holds, or what is wrong with that.
    fn file(&self, name: &str) -> Result<Vec<u8>, String> {
        let read = |name: &str| {
            fs::read(self.path.join(name)).map_err(|error| format!("cannot read {name}: {error}"))
        };
        let (bytes, sums) = (read(name)?, read(SUMS)?);
        let line = format!("{}  {name}", hexadecimal(&Sha256::digest(&bytes)));
        match String::from_utf8_lossy(&sums).lines().any(|found| found == line) {
            true => Ok(bytes),
            false => Err(format!("the checksum of {name} is not the one in {SUMS}")),
        }
    }

    /// What it holds, or what is wrong with it.
    fn read(&self) -> Result<Contents, String> {
        let read = |name: &str| {
            fs::read(self.path.join(name)).map_err(|error| format!("cannot read {name}: {error}"))
        };
        let [parameters, optimizer, state] = FILES.map(read);
        let found = String::from_utf8(read(SUMS)?).map_err(|_| format!("{SUMS} is no text"))?;
        let carries = found.lines().any(|line| line.ends_with(CARRIED));
        let carried = carries.then(|| read(CARRIED)).transpose()?;
        let contents =
            Contents { parameters: parameters?, optimizer: optimizer?, carried, state: state? };
        for ((name, _), line) in contents.files().zip(sums(&contents).lines()) {
            if !found.lines().any(|found| found == line) {
                return Err(format!("the checksum of {name} is not the one in {SUMS}"));
            }
        }
        if found == sums(&contents) {
            Ok(contents)
        } else {
            Err(format!("{SUMS} holds other lines"))
        }
    }
}

/// The checksums of a generation's files, a line each.
fn sums(contents: &Contents) -> String {
    let mut text = String::new();
    for (name, bytes) in contents.files() {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{}  {name}", hexadecimal(&Sha256::digest(bytes)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_read_without_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(dir.path().join("checkpoints"));
        let saved = checkpoints.save(3, &contents(3)).unwrap();
        fs::write(saved.path.join(OPTIMIZER), "another").unwrap();
        assert!(checkpoints.load(&saved).is_err());
        assert_eq!(checkpoints.file(&saved, PARAMETERS).unwrap(), contents(3).parameters);
        fs::write(saved.parameters(), "another").unwrap();
        let error = checkpoints.file(&saved, PARAMETERS).unwrap_err().to_string();
        assert!(error.contains("checksum of parameters.safetensors"), "{error}");
        fs::remove_file(saved.parameters()).unwrap();
        let error = checkpoints.file(&saved, PARAMETERS).unwrap_err().to_string();
        assert!(error.contains("cannot read parameters.safetensors"), "{error}");
    }

    fn contents(step: u8) -> Contents {
        let parameters = (0..40).map(|at| at ^ step).collect();
        Contents {
            parameters,
            optimizer: vec![step; 25],
            carried: (step > 2).then(|| vec![!step; 7]),
            state: format!("{{\"step\":{step}}}").into(),
        }
    }

    fn folder() -> (tempfile::TempDir, Checkpoints) {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(dir.path().join("checkpoints"));
        (dir, checkpoints)
    }

    #[test]
    fn what_was_saved_is_read() {
        let (_dir, checkpoints) = folder();
        assert!(matches!(checkpoints.latest(), Err(CheckpointsError::None { .. })));
        for step in [3, 20, 20, 100] {
            let saved = checkpoints.save(step.into(), &contents(step)).unwrap();
            assert_eq!(checkpoints.latest().unwrap(), saved);
            assert_eq!(checkpoints.load(&saved).unwrap(), contents(step));
        }
        let names: Vec<_> = checkpoints.list().unwrap().iter().map(Generation::name).collect();
        assert_eq!(names, ["step-00000003", "step-00000020", "step-00000020.1", "step-00000100"]);
        checkpoints.remove(&checkpoints.list().unwrap()[1]).unwrap();
        assert_eq!(checkpoints.list().unwrap().len(), 3);
    }

    #[test]
    fn any_flipped_bit_and_any_missing_byte_is_found() {
        let (_dir, checkpoints) = folder();
        let first = checkpoints.save(1, &contents(1)).unwrap();
        let second = checkpoints.save(3, &contents(3)).unwrap();
        let mut tried = 0;
        for name in FILES.iter().chain(&[CARRIED, SUMS]) {
            let file = second.path().join(name);
            let whole = fs::read(&file).unwrap();
            let flipped = (0..8 * whole.len()).map(|bit| {
                let mut bytes = whole.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            });
            let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
            for bytes in flipped.chain(cut) {
                fs::write(&file, bytes).unwrap();
                match checkpoints.load(&second) {
                    Err(CheckpointsError::Damaged { whole, .. }) => {
                        assert_eq!(whole.as_deref(), Some(first.path()));
                    }
                    other => panic!("{name}: {other:?}"),
                }
                tried += 1;
            }
            fs::remove_file(&file).unwrap();
            assert!(checkpoints.load(&second).is_err());
            fs::write(&file, whole).unwrap();
            checkpoints.load(&second).unwrap();
        }
        println!("{tried} damaged files");
    }

    #[test]
    fn folders_that_are_no_generations_are_left_alone() {
        let (_dir, checkpoints) = folder();
        checkpoints.save(7, &contents(7)).unwrap();
        for name in ["step-7", "step-00000007.0", "step-", "step-x", "other", ".step-00000008.part"]
        {
            fs::create_dir(checkpoints.path.join(name)).unwrap();
        }
        assert_eq!(checkpoints.list().unwrap().len(), 1);
        checkpoints.clean().unwrap();
        assert!(!checkpoints.path.join(".step-00000008.part").exists());
        assert!(checkpoints.path.join("other").exists());
    }

    #[test]
    fn the_sums_are_those_of_sha256sum() {
        let contents = Contents { state: b"abc".to_vec(), ..Contents::default() };
        let last = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  state.json\n";
        assert!(sums(&contents).ends_with(last), "{}", sums(&contents));
    }
}
