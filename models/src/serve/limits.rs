//! What a request may be at most.

use std::time::Duration;

/// Bytes of a body, and of a picture at an address.
pub(super) const MOST_BYTES: usize = 10_000_000;

/// Pixels of a picture.
pub(super) const MOST_PIXELS: u64 = 50_000_000;

/// Places of a beam.
pub(super) const WIDEST: u64 = 10;

/// Bytes of a body that is refused and still read, so that who sends it gets to read why.
pub(super) const DRAINED: usize = 64_000_000;

/// How long such a body is read.
pub(super) const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Connections that are open at once. More wait to be accepted.
pub(super) const CONNECTIONS: usize = 512;

/// Pictures that are fetched at once.
pub(super) const FETCHES: usize = 8;

/// A number with commas between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_told_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (50_000_000, "50,000,000")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
