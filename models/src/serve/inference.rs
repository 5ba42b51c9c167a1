//! The one thread that the network runs in: it takes all pictures that wait, and captions them at once.

use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use engine_datasets::picture::Picture;
use tokio::sync::oneshot;

use super::asked::Choice;
use super::metrics::Metrics;
use crate::decode::Decoder;
use crate::error::Error;
use crate::photographs::{Captioned, Describe};

/// A picture that waits, or the end.
pub(super) enum Message {
    Job(Job),
    End,
}

/// A picture that waits for its caption.
pub(super) struct Job {
    pub(super) picture: Picture,
    pub(super) choice: Choice,
    pub(super) since: Instant,
    pub(super) reply: oneshot::Sender<Result<Written, String>>,
}

/// A caption, and how long it took.
pub(super) struct Written {
    pub(super) captioned: Captioned,
    /// From the time that the picture was ready to that when the network took it.
    pub(super) waited: Duration,
    /// What the network took for it and the others of its batch.
    pub(super) wrote: Duration,
}

/// Where pictures are handed in.
pub(super) type Counter = Sender<Message>;

/// How pictures are captioned.
pub(super) struct Bench<'a> {
    /// The run's own way to choose words.
    pub(super) decoder: &'a dyn Decoder,
    /// Pictures that are captioned at once.
    pub(super) most: usize,
    pub(super) metrics: &'a Metrics,
}

impl Bench<'_> {
    /// Captions pictures until the end.
    pub(super) fn work(&self, describe: &mut dyn Describe, queue: &Receiver<Message>) {
        while let Ok(Message::Job(first)) = queue.recv() {
            let mut jobs = vec![first];
            let mut is_over = false;
            while jobs.len() < self.most {
                match queue.try_recv() {
                    Ok(Message::Job(job)) => jobs.push(job),
                    Ok(Message::End) => {
                        is_over = true;
                        break;
                    }
                    Err(_) => break,
                }
            }
            self.caption(describe, jobs);
            if is_over {
                break;
            }
        }
    }

    /// Captions jobs, those at once that choose words alike.
    fn caption(&self, describe: &mut dyn Describe, mut jobs: Vec<Job>) {
        // Nobody waits any longer for what took too long.
        jobs.retain(|job| !job.reply.is_closed());
        while let Some(choice) = jobs.first().map(|job| job.choice) {
            let (alike, others) = jobs.into_iter().partition(|job| job.choice == choice);
            self.caption_alike(describe, choice, alike);
            jobs = others;
        }
    }

    fn caption_alike(&self, describe: &mut dyn Describe, choice: Choice, jobs: Vec<Job>) {
        let begun = Instant::now();
        let (mut pictures, mut waiting) = (Vec::new(), Vec::new());
        for Job { picture, since, reply, .. } in jobs {
            pictures.push(picture);
            waiting.push((since, reply));
        }
        let beam = choice.beam();
        let decoder = beam.as_ref().map_or(self.decoder, |beam| beam as &dyn Decoder);
        let found = describe.caption(&pictures, decoder);
        self.metrics.batch(pictures.len());
        let wrote = begun.elapsed();
        match found {
            Ok(found) => {
                for (captioned, (since, reply)) in found.into_iter().zip(waiting) {
                    let waited = begun - since;
                    // Whoever has gone does not want it.
                    let _ = reply.send(Ok(Written { captioned, waited, wrote }));
                }
            }
            Err(error) => {
                for (_, reply) in waiting {
                    let _ = reply.send(Err(told(&error)));
                }
            }
        }
    }
}

fn told(error: &Error) -> String {
    match error.help() {
        Some(help) => format!("{error}; {help}"),
        None => error.to_string(),
    }
}
