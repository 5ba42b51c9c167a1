//! A JSON object a line, for programs that look on.

use engine::{End, Evaluation, StepReport, Summary, Watch};
use serde::Serialize;
use serde_json::Value;

use super::{Opening, Show};

/// Objects with the key `event`: `begin`, `step` (every so many), `evaluation`, `end`.
pub(super) struct Json {
    print_every: u64,
}

impl Json {
    pub(super) fn new(print_every: u64, opening: &Opening) -> Self {
        print("begin", opening);
        Json { print_every }
    }
}

impl Watch for Json {
    fn step(&mut self, report: &StepReport) {
        if report.record.iteration.is_multiple_of(self.print_every) {
            print("step", &report.record);
        }
    }

    fn evaluation(&mut self, evaluation: &Evaluation) {
        print("evaluation", evaluation);
    }
}

impl Show for Json {
    fn end(&mut self, summary: &Summary) {
        #[derive(Serialize)]
        struct Ended<'a> {
            iteration: u64,
            seconds: f64,
            reason: &'a str,
            signal: Option<i32>,
        }
        let (reason, signal) = match summary.end {
            End::Complete => ("complete", None),
            End::NoGain => ("no gain", None),
            End::Stopped(signal) => ("stopped", Some(signal)),
        };
        let (iteration, seconds) = (summary.iterations, summary.seconds);
        print("end", &Ended { iteration, seconds, reason, signal });
    }
}

fn print(event: &str, what: &impl Serialize) {
    let mut object = serde_json::Map::from_iter([("event".to_owned(), Value::from(event))]);
    if let Ok(Value::Object(fields)) = serde_json::to_value(what) {
        object.extend(fields);
    }
    eprintln!("{}", Value::Object(object));
}
