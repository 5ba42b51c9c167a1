//! TensorBoard's event files: the metrics as curves in a tool that many already have open.
//!
//! A file is a sequence of records; a record is the length of its data, a checksum of that length, the data and a
//! checksum of the data (the TFRecord format). The data is an `Event` of TensorFlow's `event.proto` in Protocol Buffers'
//! wire format, of which this writes the four fields and the two messages that scalars need.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::metrics::{MetricsError, Record};

/// The open file of one session.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Events {
    /// A new file in `folder` for what happens after `step` steps. What other files there say of later steps is void:
    /// TensorBoard drops it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn create(folder: &Path, step: u64) -> Result<Self, MetricsError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let host = sysinfo::System::host_name().unwrap_or_else(|_| "localhost".into());
        let (seconds, process) = (now.as_secs(), std::process::id());
        // The nanoseconds tell two sessions of one second apart; TensorBoard reads files in the order of their names.
        let name =
            format!("events.out.tfevents.{seconds}.{host}.{process}.{:09}", now.subsec_nanos());
        let path = folder.join(name);
        let file = File::create(&path).map_err(|error| io_error(&path, error))?;
        let mut events = Events { path, file: BufWriter::new(file) };
        events.write(&event(0, |event| event.text(3, "brain.Event:2")))?;
        if step > 0 {
            // A session log with the status START: it voids its own step as well.
            events.write(&event(step + 1, |event| event.message(7, |log| log.integer(1, 1))))?;
        }
        Ok(events)
    }

    /// Adds what happened at a step.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn step(&mut self, record: &Record) -> Result<(), MetricsError> {
        let scalars = [
            ("loss/step", record.loss),
            ("optimizer/learning_rate", record.learning_rate),
            ("optimizer/gradient_norm", record.gradient_norm),
            ("speed/captions_per_second", record.captions_per_second),
        ];
        self.scalars(record.iteration, scalars)
    }

    /// Adds numbers, each under its tag; the part before the slash is the group in which TensorBoard shows it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn scalars<'a>(
        &mut self,
        step: u64,
        scalars: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<(), MetricsError> {
        let value = |summary: &mut Message, (tag, value): (&str, f64)| {
            summary.message(1, |scalar| {
                scalar.text(1, tag);
                scalar.float(2, value as f32);
            });
        };
        let summary = event(step, |event| {
            event.message(5, |summary| {
                scalars.into_iter().for_each(|scalar| value(summary, scalar))
            });
        });
        self.write(&summary)
    }

    /// Hands what was added to the system.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn flush(&mut self) -> Result<(), MetricsError> {
        self.file.flush().map_err(|error| io_error(&self.path, error))
    }

    fn write(&mut self, event: &Message) -> Result<(), MetricsError> {
        self.file.write_all(&record(&event.0)).map_err(|error| io_error(&self.path, error))
    }
}

fn io_error(path: &Path, error: io::Error) -> MetricsError {
    MetricsError::Io { path: path.to_owned(), error }
}

/// An event of now with this step.
fn event(step: u64, fill: impl FnOnce(&mut Message)) -> Message {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut event = Message::default();
    event.double(1, now.as_secs_f64());
    event.integer(2, step);
    fill(&mut event);
    event
}

/// Data as a record.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let checksums = [masked_checksum(&length), masked_checksum(data)];
    [&length, checksums[0].as_slice(), data, &checksums[1]].concat()
}

/// CRC-32C, turned and shifted so that the checksum of data that holds checksums is no special case.
fn masked_checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// A message in the wire format: fields one after the other, each with its number and its kind before it.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u64, kind: u64) {
        self.varint(field << 3 | kind);
    }

    /// Seven bits a byte, the lowest first; the eighth says that more follow.
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn integer(&mut self, field: u64, number: u64) {
        self.key(field, 0);
        self.varint(number);
    }

    fn double(&mut self, field: u64, number: f64) {
        self.key(field, 1);
        self.0.extend(number.to_le_bytes());
    }

    fn float(&mut self, field: u64, number: f32) {
        self.key(field, 5);
        self.0.extend(number.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn message(&mut self, field: u64, fill: impl FnOnce(&mut Message)) {
        let mut message = Message::default();
        fill(&mut message);
        self.bytes(field, &message.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_wire_format_has_them() {
        let mut message = Message::default();
        message.integer(1, 150);
        message.text(2, "testing");
        // Both are examples of the format's own description.
        assert_eq!(message.0, b"\x08\x96\x01\x12\x07testing");
        let mut outer = Message::default();
        outer.message(3, |inner| inner.integer(1, 150));
        assert_eq!(outer.0, b"\x1a\x03\x08\x96\x01");
    }

    #[test]
    fn records_carry_masked_checksums() {
        // The check value of CRC-32C is that of these nine digits.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        let unmasked = |bytes: &[u8]| {
            let masked = u32::from_le_bytes(bytes.try_into().unwrap());
            masked.wrapping_sub(0xa282_ead8).rotate_left(15)
        };
        let record = record(b"123456789");
        assert_eq!(record[..8], 9_u64.to_le_bytes());
        assert_eq!(unmasked(&record[8..12]), crc32c::crc32c(&record[..8]));
        assert_eq!(&record[12..21], b"123456789");
        assert_eq!(unmasked(&record[21..]), 0xe306_9283);
    }
}
