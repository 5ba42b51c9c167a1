//! The update rules and schedules that there are, and limits on gradients.

pub mod clip;
pub mod optimizers;
pub mod schedules;
