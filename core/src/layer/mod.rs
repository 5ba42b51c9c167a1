//! What a layer is: its ports, what it says about itself, and the forms in which it is computed.
//!
//! A layer's configuration *is* the layer: a serde struct that a graph file names, `Lstm(units: 512)`. It is immutable,
//! holds no numbers of a run and never knows its own name; the engine owns all memory and adds names to errors.
//!
//! | where | what |
//! |---|---|
//! | [`port`] | inputs: names, and the shapes they take |
//! | [`signature`] | outputs, parameters, and what outputs depend on |
//! | [`form`] | the forms of the mathematics that passes ask for |
//! | [`memory`] | the memory that a form needs, asked for by handles |
//! | [`kernel`] | the mathematics itself, in every precision |
//! | [`context`] | what the engine hands to it |

pub mod context;
pub mod form;
pub mod kernel;
pub mod memory;
pub mod port;
pub mod signature;

use std::fmt::Debug;

use form::{Form, Lowered};
use memory::Memory;
use port::{Port, PortShapes};
use signature::Signature;

/// What a node of a graph computes.
///
/// Implementations are serde structs registered under their type's name by `#[typetag::serde]`, with
/// [`register!`](crate::register) beside it for their documentation and checks.
#[typetag::serde]
pub trait Layer: Debug + Send + Sync {
    /// The inputs in the order in which a node's `from` lists them.
    fn ports(&self) -> Vec<Port>;

    /// Outputs, parameters, and what outputs depend on, given inputs that already fit the ports.
    ///
    /// # Errors
    /// What the ports cannot say, such as widths that must add up.
    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError>;

    /// The mathematics as the layer's documentation writes it, and the memory that it needs.
    fn plain(&self, memory: &mut Memory<'_>) -> Lowered;

    /// The mathematics in another form, which a pass asks for; `None` if the layer does not have it.
    fn form(&self, form: Form, memory: &mut Memory<'_>) -> Option<Lowered> {
        let _ = (form, memory);
        None
    }
}

crate::config::tagged::tagged!(Layer);

/// A layer in one of its forms; `None` if it does not have it.
pub(crate) fn lower(layer: &dyn Layer, form: Form, memory: &mut Memory<'_>) -> Option<Lowered> {
    if form == Form::PLAIN { Some(layer.plain(memory)) } else { layer.form(form, memory) }
}

/// A layer whose inputs fit its ports and yet cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PlanError {
    /// What was expected and what was found.
    pub message: String,
    /// The field of the layer's configuration to look at, if it is one field's fault.
    pub field: Option<&'static str>,
}

impl PlanError {
    /// An error that concerns the inputs.
    pub fn new(message: impl Into<String>) -> Self {
        PlanError { message: message.into(), field: None }
    }

    /// An error that concerns one field of the configuration.
    pub fn field(field: &'static str, message: impl Into<String>) -> Self {
        PlanError { message: message.into(), field: Some(field) }
    }
}
