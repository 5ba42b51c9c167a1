//! Weights that cannot be had.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A file of weights that is damaged, or is that of another network.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum WeightsError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    #[diagnostic(help("give the file of the weights, in the safetensors format"))]
    Read {
        /// The file.
        path: PathBuf,
        /// The file system's reason.
        #[source]
        error: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    #[diagnostic(help("is the disk full?"))]
    Write {
        /// The file.
        path: PathBuf,
        /// The file system's reason.
        #[source]
        error: io::Error,
    },
    /// The file is not a safetensors file, or is damaged.
    #[error("{} is no readable safetensors file: {message}", path.display())]
    #[diagnostic(help(
        "was it downloaded to its end, and is it in the safetensors format? A pickle (.pth, .bin) is not read"
    ))]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The file's arrays are not those of the network.
    #[error("{} has not the weights of this network{}{}", path.display(), by(names), list(misfits))]
    #[diagnostic(help(
        "are these the weights of this graph? Its section `weights` says what other programs call them, and which arrays it does without (`unused`)"
    ))]
    Misfit {
        /// The file.
        path: PathBuf,
        /// The names that come nearest, those of the graph's section `weights` or the network's own.
        names: Option<String>,
        /// Everything that does not fit.
        misfits: Vec<Misfit>,
    },
}

/// One array that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// The file lacks it.
    Missing {
        /// The network's parameter.
        parameter: String,
        /// What it is called in the file.
        name: String,
        /// The nearest name in the file that no other parameter takes.
        near: Option<String>,
    },
    /// It has another shape.
    Shape {
        /// The network's parameter.
        parameter: String,
        /// What it is called in the file.
        name: String,
        /// The shape that it should have in the file.
        expected: Vec<usize>,
        /// The shape that it has.
        found: Vec<usize>,
    },
    /// It is not of real numbers.
    Kind {
        /// What it is called in the file.
        name: String,
        /// The type of its numbers.
        found: String,
    },
    /// The network has no parameter for it.
    LeftOver {
        /// What it is called in the file.
        name: String,
        /// The nearest name that the network expects.
        near: Option<String>,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nearest = |near: &Option<String>| match near {
            Some(near) => format!("; the nearest is `{near}`"),
            None => String::new(),
        };
        match self {
            Misfit::Missing { parameter, name, near } if parameter == name => {
                write!(f, "`{name}` is missing{}", nearest(near))
            }
            Misfit::Missing { parameter, name, near } => {
                write!(f, "`{name}`, the network's `{parameter}`, is missing{}", nearest(near))
            }
            Misfit::Shape { parameter, name, expected, found } => {
                let whose = if parameter == name {
                    String::new()
                } else {
                    format!(", the network's `{parameter}`")
                };
                write!(f, "`{name}`{whose}: expected the shape {expected:?}, found {found:?}")
            }
            Misfit::Kind { name, found } => {
                write!(f, "`{name}`: expected F32, F64, F16 or BF16, found {found}")
            }
            Misfit::LeftOver { name, near } => {
                write!(f, "`{name}` belongs to nothing in the network{}", nearest(near))
            }
        }
    }
}

/// So many misfits of one list are written out.
const WRITTEN: usize = 24;

fn by(names: &Option<String>) -> String {
    match names {
        Some(names) => format!(", by the names of `{names}`"),
        None => ", by the network's own names".into(),
    }
}

fn list(misfits: &[Misfit]) -> String {
    let lines = misfits.iter().take(WRITTEN).map(|misfit| format!("\n  {misfit}"));
    let mut list = format!(":{}", lines.collect::<String>());
    if misfits.len() > WRITTEN {
        list += &format!("\n  and {} more", misfits.len() - WRITTEN);
    }
    list
}
