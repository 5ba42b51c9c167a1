//! What a request may be at most.

use std::time::Duration;

/// Bytes of a body, and of a picture at an address.
pub(crate) const MOST_BYTES: usize = 10_000_000;

/// Pixels of a picture.
pub(crate) const MOST_PIXELS: u64 = 50_000_000;

/// Places of a beam.
pub(crate) const WIDEST: u64 = 10;

/// Bytes of a body that is refused and still read, so that who sends it gets to read why.
pub(crate) const DRAINED: usize = 64_000_000;

/// How long such a body is read.
pub(crate) const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Connections that are open at once. More wait to be accepted.
pub(crate) const CONNECTIONS: usize = 512;

/// Pictures that are fetched at once.
pub(crate) const FETCHES: usize = 8;
