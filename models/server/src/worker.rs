//! The one thread that the network runs in: it takes all pictures that wait, and captions them at once.

use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use engine::decode::Decoder;
use engine::photographs::{Captioned, Describe, PhotographsError};
use engine_datasets::picture::Picture;
use miette::Diagnostic;
use tokio::sync::oneshot;

use crate::metrics::Metrics;
use crate::request::Choice;

/// A picture that waits, or the end.
pub(crate) enum Message {
    Job(Job),
    End,
}

/// A picture that waits for its caption.
pub(crate) struct Job {
    pub(crate) picture: Picture,
    pub(crate) choice: Choice,
    pub(crate) since: Instant,
    pub(crate) reply: oneshot::Sender<Result<Written, String>>,
}

/// A caption, and how long it took.
pub(crate) struct Written {
    pub(crate) captioned: Captioned,
    /// From the time that the picture was ready to that when the network took it.
    pub(crate) waited: Duration,
    /// What the network took for it and the others of its batch.
    pub(crate) wrote: Duration,
}

/// Where pictures are handed in.
pub(crate) type JobSender = Sender<Message>;

/// How pictures are captioned.
pub(crate) struct Worker<'a> {
    /// The run's own way to choose words.
    pub(crate) decoder: &'a dyn Decoder,
    /// Pictures that are captioned at once.
    pub(crate) most: usize,
    pub(crate) metrics: &'a Metrics,
}

impl Worker<'_> {
    /// Captions pictures until the end.
    pub(crate) fn work(&self, describe: &mut dyn Describe, queue: &Receiver<Message>) {
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

fn told(error: &PhotographsError) -> String {
    match error.help() {
        Some(help) => format!("{error}; {help}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use engine::decode::Greedy;

    /// Says how wide pictures are, and notes how many it was given at once.
    #[derive(Default)]
    struct Wide {
        batches: Vec<usize>,
        fails: bool,
    }

    impl Describe for Wide {
        fn caption(
            &mut self,
            pictures: &[Picture],
            _decoder: &dyn Decoder,
        ) -> Result<Vec<Captioned>, PhotographsError> {
            self.batches.push(pictures.len());
            if self.fails {
                return Err(PhotographsError::NoSubject);
            }
            let captioned = |picture: &Picture| Captioned {
                sentence: picture.width().to_string(),
                alternatives: Vec::new(),
                attention: None,
            };
            Ok(pictures.iter().map(captioned).collect())
        }
    }

    type Waiting = oneshot::Receiver<Result<Written, String>>;

    fn job(width: usize, beam: Option<u64>) -> (Message, Waiting) {
        let (reply, waiting) = oneshot::channel();
        let picture = Picture::new(width, 1, vec![0; 3 * width]);
        let choice = Choice { beam, best: None };
        (Message::Job(Job { picture, choice, since: Instant::now(), reply }), waiting)
    }

    /// Puts jobs into a queue that ends after them, and has them done.
    fn work(wide: &mut Wide, jobs: Vec<Message>, most: usize) {
        let (sender, queue) = channel();
        jobs.into_iter().chain([Message::End]).for_each(|job| sender.send(job).unwrap());
        let (decoder, metrics) = (Greedy::default(), Metrics::new());
        Worker { decoder: &decoder, most, metrics: &metrics }.work(wide, &queue);
    }

    #[test]
    fn those_that_wait_are_captioned_at_once_if_they_choose_alike() {
        let mut wide = Wide::default();
        let jobs = [(1, None), (2, Some(3)), (3, None), (4, Some(3)), (5, None), (6, None)];
        let (jobs, waiting): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|(width, beam)| job(width, beam)).unzip();
        work(&mut wide, jobs, 4);
        assert_eq!(wide.batches, [2, 2, 2]);
        for (width, mut waiting) in (1..).zip(waiting) {
            let written = waiting.try_recv().unwrap().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(written.captioned.sentence, width.to_string());
        }
    }

    #[test]
    fn nothing_is_done_for_those_that_have_gone() {
        let mut wide = Wide::default();
        let ((one, gone), (other, mut waiting)) = (job(1, None), job(2, None));
        drop(gone);
        work(&mut wide, vec![one, other], 8);
        assert_eq!(wide.batches, [1]);
        assert!(waiting.try_recv().unwrap().is_ok());
    }

    #[test]
    fn what_goes_wrong_is_told_to_all() {
        let mut wide = Wide { fails: true, ..Wide::default() };
        let ((one, first), (other, second)) = (job(1, None), job(2, None));
        work(&mut wide, vec![one, other], 8);
        for mut waiting in [first, second] {
            let told = waiting.try_recv().unwrap().err().unwrap();
            assert!(told.contains("reads no pictures"), "{told}");
        }
    }
}
