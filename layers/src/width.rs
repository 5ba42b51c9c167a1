//! The width of rows.

use engine_core::{Dim, PlanError, Shape, Symbol};

/// The last dimension of what a layer goes along.
///
/// # Errors
/// Where it is `Batch` or `Time`: these change from batch to batch, and a layer that goes along one of them could not run
/// step by step.
pub(crate) fn of_rows(x: &Shape) -> Result<Dim, PlanError> {
    let last = x.last();
    match last.is(Symbol::BATCH) || last.is(Symbol::TIME) || x.rank() == 0 {
        true => Err(PlanError::new(format!(
            "expected an input whose last dimension has a fixed size, found {x}"
        ))),
        false => Ok(last),
    }
}
