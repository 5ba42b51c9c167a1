//! Where a JPEG ends. Decoders fill what is missing with grey and say nothing.

use super::{Format, PictureError};

/// Marks the end.
const END: u8 = 0xd9;
/// Marks the start of a scan: pixels follow.
const SCAN: u8 = 0xda;

/// The bytes up to the end marker. Segments are passed over by their length, so that the end of a thumbnail in one of them
/// does not count.
///
/// # Errors
/// When there is no end after a scan.
pub(super) fn whole(bytes: &[u8]) -> Result<&[u8], PictureError> {
    end(bytes)
        .map(|end| &bytes[..end])
        .ok_or(PictureError::Truncated { format: Format::Jpeg, bytes: bytes.len() })
}

fn end(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    let mut scanned = false;
    loop {
        let marker = next_marker(bytes, &mut at)?;
        match marker {
            END if scanned => return Some(at),
            // No segment: an escaped 0xff, a restart, a start or a stray end.
            0x00 | 0x01 | 0xd0..=END => {}
            _ => {
                let length = u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]);
                at += usize::from(length).max(2);
                scanned |= marker == SCAN;
            }
        }
    }
}

/// The byte after the next 0xff that is not one itself; `at` is moved behind it.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    let start = *at + bytes.get(*at..)?.iter().position(|byte| *byte == 0xff)?;
    let length = bytes[start..].iter().position(|byte| *byte != 0xff)?;
    *at = start + length + 1;
    Some(bytes[start + length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_thumbnail_is_not_the_end() {
        let thumbnail = [0xff, 0xe1, 0, 6, 0xff, SCAN, 0xff, END];
        let scan = [0xff, SCAN, 0, 3, 7, 1, 2, 0xff, 0, 3, 0xff, 0xd0, 4];
        let mut bytes = vec![0xff, 0xd8];
        bytes.extend(thumbnail);
        bytes.extend(scan);
        assert_eq!(end(&bytes), None);
        bytes.extend([0xff, 0xff, END]);
        assert_eq!(end(&bytes), Some(bytes.len()));
        let length = bytes.len();
        bytes.extend([1, 2, 3]);
        assert_eq!(whole(&bytes).unwrap().len(), length);
        for cut in 0..length {
            assert_eq!(end(&bytes[..cut]), None);
        }
    }
}
