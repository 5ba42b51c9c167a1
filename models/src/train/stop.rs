//! The wish to stop, which signals can have as well.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether training is to stop at the next step, and which signal says so.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    signal: Arc<AtomicUsize>,
}

impl Stop {
    /// Nobody asks for it.
    pub fn never() -> Self {
        Self::default()
    }

    /// The first SIGINT or SIGTERM that the process gets asks for it; a second one ends the process at once, with the
    /// exit code 128 and the signal's number.
    ///
    /// # Errors
    /// When the system does not let signals be handled.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::never();
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal passes the shutdown by, and arms it.
            flag::register_conditional_shutdown(signal, 128 + signal, asked.clone())?;
            flag::register(signal, asked.clone())?;
            flag::register_usize(signal, stop.signal.clone(), signal as usize)?;
        }
        Ok(stop)
    }

    /// The signal that asks for it, if one does.
    pub fn asked(&self) -> Option<i32> {
        Some(self.signal.load(Ordering::Relaxed) as i32).filter(|signal| *signal != 0)
    }
}
