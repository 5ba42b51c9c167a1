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
/// When there is no end after a scan, or the picture is of a kind that the decoder takes for another.
pub(super) fn whole(bytes: &[u8]) -> Result<&[u8], PictureError> {
    let format = Format::Jpeg;
    let mut at = 2;
    let mut scanned = false;
    while let Some(marker) = next_marker(bytes, &mut at) {
        match marker {
            END if scanned => return Ok(&bytes[..at]),
            // No segment: an escaped 0xff, a restart, a start or a stray end.
            0x00 | 0x01 | 0xd0..=END => {}
            _ => {
                let Some(segment) = segment(bytes, at) else { break };
                if let Some(feature) = rare(marker, segment) {
                    return Err(PictureError::Unsupported { format, feature });
                }
                at += segment.len();
                scanned |= marker == SCAN;
            }
        }
    }
    Err(PictureError::Truncated { format, bytes: bytes.len() })
}

/// What stands after a marker, its length first.
fn segment(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]);
    bytes.get(at..at + usize::from(length).max(2))
}

/// What nobody reads in a frame of this kind.
fn rare(marker: u8, segment: &[u8]) -> Option<String> {
    match (marker, segment.get(2)) {
        (0xc0..=0xc2, Some(8) | None) => None,
        (0xc0..=0xc2, Some(bits)) => Some(format!("it has {bits} bits a channel, expected 8")),
        (0xc3, _) => Some("it is compressed without loss".into()),
        (0xc5..=0xc7, _) => Some("it is hierarchical".into()),
        (0xc9..=0xcb | 0xcd..=0xcf, _) => Some("it has arithmetic coding".into()),
        _ => None,
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
        bytes.extend([0xff, 0xff, END]);
        let length = bytes.len();
        bytes.extend([1, 2, 3]);
        assert_eq!(whole(&bytes).unwrap().len(), length);
        for cut in 0..length {
            let error = whole(&bytes[..cut]).unwrap_err();
            assert!(matches!(error, PictureError::Truncated { .. }), "{cut}: {error}");
        }
    }
}
