//! What the server counts, as Prometheus reads it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of the times that are told apart, in seconds.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Upper bounds of the batches that are told apart, in pictures.
const PICTURES: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// Everything that is counted from the start of the server.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Answers by path and status.
    answers: Mutex<BTreeMap<(&'static str, u16), u64>>,
    seconds: Histogram<12>,
    batches: Histogram<6>,
    /// Pictures that wait for the network.
    waiting: AtomicI64,
    /// Requests for captions that are not answered yet.
    open: AtomicI64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Metrics {
            answers: Mutex::default(),
            seconds: Histogram::new(SECONDS),
            batches: Histogram::new(PICTURES),
            waiting: AtomicI64::new(0),
            open: AtomicI64::new(0),
        }
    }

    /// A request was answered.
    pub(crate) fn answered(&self, path: &'static str, status: u16, took: Duration, caption: bool) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers.entry((path, status)).or_default() += 1;
        if caption {
            self.seconds.count(took.as_secs_f64());
        }
    }

    /// A batch of so many pictures was captioned.
    pub(crate) fn batch(&self, pictures: usize) {
        self.batches.count(pictures as f64);
    }

    /// Counts a picture as waiting until the guard goes.
    pub(crate) fn waits(&self) -> Guard<'_> {
        Guard::new(&self.waiting)
    }

    /// Counts a request as open until the guard goes.
    pub(crate) fn opens(&self) -> Guard<'_> {
        Guard::new(&self.open)
    }

    /// As a text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a text cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        head(text, "engine_http_requests_total", "counter", "Answers by path and status.")?;
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ((path, status), count) in answers {
            let labels = format!("path=\"{path}\",status=\"{status}\"");
            writeln!(text, "engine_http_requests_total{{{labels}}} {count}")?;
        }
        let name = "engine_caption_request_seconds";
        head(text, name, "histogram", "From the head of a request for a caption to its answer.")?;
        self.seconds.write(text, name)?;
        let name = "engine_batch_pictures";
        head(text, name, "histogram", "Pictures that were captioned at once.")?;
        self.batches.write(text, name)?;
        let gauges = [
            ("engine_queue_pictures", "Pictures that wait for the network.", &self.waiting),
            ("engine_caption_requests_open", "Requests for captions being answered.", &self.open),
        ];
        for (name, help, gauge) in gauges {
            head(text, name, "gauge", help)?;
            writeln!(text, "{name} {}", gauge.load(Ordering::Relaxed))?;
        }
        Ok(())
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) -> std::fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// Something that is there until this goes.
#[derive(Debug)]
pub(crate) struct Guard<'a>(&'a AtomicI64);

impl<'a> Guard<'a> {
    fn new(gauge: &'a AtomicI64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Guard(gauge)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How often values fell below bounds.
#[derive(Debug)]
struct Histogram<const N: usize> {
    bounds: [f64; N],
    /// The values in each interval, those above all bounds last.
    counts: Mutex<(Vec<u64>, f64)>,
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: [f64; N]) -> Self {
        Histogram { bounds, counts: Mutex::new((vec![0; N + 1], 0.0)) }
    }

    fn count(&self, value: f64) {
        let at = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(N);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.0[at] += 1;
        counts.1 += value;
    }

    fn write(&self, text: &mut String, name: &str) -> std::fmt::Result {
        let (counts, sum) = &*self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let bounds = self.bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        let mut below = 0;
        for (bound, count) in bounds.zip(counts) {
            below += count;
            writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {below}")?;
        }
        writeln!(text, "{name}_sum {sum}\n{name}_count {below}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told() {
        let metrics = Metrics::new();
        for seconds in [0.005, 0.02, 40.0] {
            metrics.answered("/api/caption", 200, Duration::from_secs_f64(seconds), true);
        }
        metrics.answered("/", 200, Duration::from_secs(1), false);
        metrics.batch(3);
        let _waiting = metrics.waits();
        drop(metrics.opens());
        let text = metrics.text();
        for line in [
            "engine_http_requests_total{path=\"/api/caption\",status=\"200\"} 3",
            "engine_caption_request_seconds_bucket{le=\"0.005\"} 1",
            "engine_caption_request_seconds_bucket{le=\"0.025\"} 2",
            "engine_caption_request_seconds_bucket{le=\"+Inf\"} 3",
            "engine_caption_request_seconds_count 3",
            "engine_batch_pictures_bucket{le=\"2\"} 0",
            "engine_batch_pictures_bucket{le=\"4\"} 1",
            "engine_queue_pictures 1",
            "engine_caption_requests_open 0",
            "# TYPE engine_queue_pictures gauge",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
