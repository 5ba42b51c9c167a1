//! A team of threads for work that comes in pieces of tens of microseconds.
//!
//! Its members look for work without pause for a while before they sleep: a job is handed out in a fraction of a
//! microsecond, where waking a thread takes ten. Each member has a contiguous share of a job, the same one in every job
//! of that size, so that what it works on stays in its cache; the calling thread is one of them. Who is done takes on
//! what others have not begun, for on a machine that is not ours alone a member may lose its processor.
//!
//! Every result must be the same whoever computes it. A call from within a job, or while another thread keeps the team
//! busy, is done by the calling thread alone.

mod chunks;
mod seat;

use std::cell::RefCell;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

pub use self::chunks::{Chunks, DisjointChunks, Share};
use self::seat::{Job, Padded, Payload, Seat};

/// Why a team cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Work has begun.
    #[error("a team is at work already")]
    InUse,
    /// The system refuses.
    #[error(transparent)]
    Spawn(#[from] io::Error),
}

/// The members of the calling thread's team, itself among them.
pub fn threads() -> usize {
    with_team(Team::members)
}

/// Starts the team of all threads that have no other, of `count` members. Without it, the first work starts one with as
/// many members as the machine has processors.
///
/// # Errors
/// When there is a team already, and when the system refuses to start threads.
pub fn set_threads(count: NonZeroUsize) -> Result<(), StartError> {
    let mut team = Team::of(count.get());
    team.start()?;
    DEFAULT.set(team).map_err(|_| StartError::InUse)
}

/// Calls `f`, for which this thread has a team of its own, of `count` members or as many as the system can start.
pub fn with_threads<R>(count: usize, f: impl FnOnce() -> R) -> R {
    let _restore = Restore(OWN.replace(Some(Rc::new(Team::started(count)))));
    f()
}

/// Calls `f` with all numbers below `count`.
///
/// # Panics
/// When `f` does, once all members are done.
pub fn for_each(count: usize, f: impl Fn(usize) + Sync) {
    if count < 2 || !with_team(|team| team.try_run(count, &f)) {
        (0..count).for_each(f);
    }
}

/// Calls `f` with all chunks of `chunk` items, the last of which may be shorter, and their numbers.
///
/// # Panics
/// When `chunk` is 0, and when `f` panics.
pub fn for_each_chunk_mut<T: Send>(
    items: &mut [T],
    chunk: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    for_each_disjoint(Chunks::new(items, chunk), f);
}

/// Calls `f` with the chunks of two arrays side by side, each cut to its own length of chunk.
///
/// # Panics
/// When a length is 0, when the arrays do not have the same number of chunks, and when `f` panics.
pub fn for_each_chunk_mut2<A: Send, B: Send>(
    (a, a_chunk): (&mut [A], usize),
    (b, b_chunk): (&mut [B], usize),
    f: impl Fn(usize, &mut [A], &mut [B]) + Sync,
) {
    let cut = (Chunks::new(a, a_chunk), Chunks::new(b, b_chunk));
    for_each_disjoint(cut, |at, (a, b)| f(at, a, b));
}

/// Calls `f` with the chunks of three arrays side by side, each cut to its own length of chunk.
///
/// # Panics
/// When a length is 0, when the arrays do not have the same number of chunks, and when `f` panics.
pub fn for_each_chunk_mut3<A: Send, B: Send, C: Send>(
    (a, a_chunk): (&mut [A], usize),
    (b, b_chunk): (&mut [B], usize),
    (c, c_chunk): (&mut [C], usize),
    f: impl Fn(usize, &mut [A], &mut [B], &mut [C]) + Sync,
) {
    let cut = (Chunks::new(a, a_chunk), Chunks::new(b, b_chunk), Chunks::new(c, c_chunk));
    for_each_disjoint(cut, |at, (a, b, c)| f(at, a, b, c));
}

/// Calls `f` with all chunks and their numbers.
///
/// # Panics
/// When there is no array at all, and when `f` panics.
pub fn for_each_disjoint<C: DisjointChunks>(cut: C, f: impl Fn(usize, C::Chunk) + Sync) {
    let count = cut.count();
    assert!(count < usize::MAX, "an array that is cut");
    for_each(count, |at| {
        // SAFETY: `for_each` gives each number below the count once, and the cut ends here.
        f(at, unsafe { cut.chunk(at) });
    });
}

/// Calls `f` with the shares of all chunks, neighbours each, and memory of its own: with so many shares as `memory` is cut
/// into.
///
/// # Panics
/// When there is memory for more shares than there are chunks, and when `f` panics.
pub fn for_each_share<C: DisjointChunks, T: Send>(
    chunks: C,
    memory: Chunks<'_, T>,
    f: impl Fn(Share<'_, C>, &mut [T]) + Sync,
) {
    let (count, shares) = (chunks.count(), memory.count());
    assert!(shares <= count, "a chunk for each share");
    for_each_disjoint(memory, |at, memory| {
        // SAFETY: shares of different numbers have different chunks, and the chunks end here.
        let share = unsafe { Share::new(&chunks, at * count / shares..(at + 1) * count / shares) };
        f(share, memory);
    });
}

/// The team of all threads that have no other.
static DEFAULT: OnceLock<Team> = OnceLock::new();

thread_local! {
    /// The team of this thread alone. A member has one without others, so that it does on its own what its work asks
    /// for.
    static OWN: RefCell<Option<Rc<Team>>> = const { RefCell::new(None) };
}

fn with_team<R>(f: impl FnOnce(&Team) -> R) -> R {
    let own = OWN.with_borrow(Option::clone);
    match own {
        Some(team) => f(&team),
        None => f(DEFAULT.get_or_init(|| Team::started(processors()))),
    }
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Gives a thread back the team that it had.
struct Restore(Option<Rc<Team>>);

impl Drop for Restore {
    fn drop(&mut self) {
        OWN.set(self.0.take());
    }
}

/// Threads that wait for work.
struct Team {
    /// One for each member but the caller.
    seats: Arc<[Seat]>,
    threads: Vec<JoinHandle<()>>,
    /// Whether some thread has shared out a job.
    busy: AtomicBool,
}

impl Team {
    /// A team whose other members are yet to start.
    fn of(members: usize) -> Self {
        let seats = (1..members).map(|_| Seat::default()).collect();
        Team { seats, threads: Vec::new(), busy: AtomicBool::new(false) }
    }

    /// A team of as many members as can be started.
    fn started(members: usize) -> Self {
        let mut team = Team::of(members);
        // A team with fewer members does the same work.
        let _ = team.start();
        team
    }

    fn start(&mut self) -> io::Result<()> {
        for at in 0..self.seats.len() {
            let seats = Arc::clone(&self.seats);
            let member = thread::Builder::new().name(format!("team-{}", at + 1));
            self.threads.push(member.spawn(move || {
                OWN.set(Some(Rc::new(Team::of(1))));
                seats[at].serve();
            })?);
        }
        Ok(())
    }

    fn members(&self) -> usize {
        1 + self.threads.len()
    }

    /// Does `work` for all numbers below `count`, which is not 0, or returns false if the team cannot do it now.
    fn try_run(&self, count: usize, work: &(dyn Fn(usize) + Sync)) -> bool {
        if self.threads.is_empty() || self.busy.swap(true, Ordering::Acquire) {
            return false;
        }
        let panic = self.run(count, work);
        self.busy.store(false, Ordering::Release);
        panic.is_none_or(|payload| resume_unwind(payload))
    }

    /// Returns the first panic. Only one thread may do so at a time.
    fn run(&self, count: usize, work: &(dyn Fn(usize) + Sync)) -> Option<Payload> {
        let members = self.members().min(count).min(MOST);
        let shares = Shares::new(count, members);
        let go = |member| shares.go_through(member, work);
        let job = Job::new(&go);
        let seats = || self.seats.iter().zip(1..members);
        for (seat, member) in seats() {
            // SAFETY: nothing from here on unwinds, and at its end all seats are free.
            unsafe { seat.offer(&job, member) };
        }
        self.wake(members);
        job.run(0);
        // Whoever has not come by now has nothing left to do.
        seats().filter(|(seat, _)| !seat.take_back()).for_each(|(seat, _)| seat.wait());
        job.into_panic()
    }

    /// Wakes those of the first members who sleep.
    fn wake(&self, members: usize) {
        fence(Ordering::SeqCst);
        for (seat, thread) in self.seats[..members - 1].iter().zip(&self.threads) {
            if seat.is_asleep() {
                thread.thread().unpark();
            }
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.seats.iter().for_each(Seat::dismiss);
        self.wake(self.members());
        for thread in self.threads.drain(..) {
            // Members never panic: jobs keep panics for the caller.
            let _ = thread.join();
        }
    }
}

/// The most members that share a job.
const MOST: usize = 32;

/// What is left of a job.
struct Shares {
    /// For each member the first number of its share that nobody has taken, and the end of the share.
    left: [(Padded<AtomicUsize>, usize); MOST],
    members: usize,
}

impl Shares {
    fn new(count: usize, members: usize) -> Self {
        let left = std::array::from_fn(|member| {
            let share = if member < members { share(count, members, member) } else { 0..0 };
            (Padded(AtomicUsize::new(share.start)), share.end)
        });
        Shares { left, members }
    }

    /// Does what is left of a member's share, and then of those of others.
    fn go_through(&self, member: usize, work: &(dyn Fn(usize) + Sync)) {
        for at in (member..self.members).chain(0..member) {
            let (next, end) = &self.left[at];
            // A look first, for taking disturbs the share's owner.
            while next.0.load(Ordering::Relaxed) < *end {
                let number = next.0.fetch_add(1, Ordering::Relaxed);
                if number < *end {
                    work(number);
                }
            }
        }
    }
}

/// The numbers below `count` that are a member's.
fn share(count: usize, members: usize, member: usize) -> Range<usize> {
    let (each, more) = (count / members, count % members);
    let start = |member: usize| each * member + more.min(member);
    start(member)..start(member + 1)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;

    /// How often each number came.
    fn visits(count: usize) -> Vec<usize> {
        let visits: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
        for_each(count, |at| {
            visits[at].fetch_add(1, Ordering::Relaxed);
        });
        visits.into_iter().map(AtomicUsize::into_inner).collect()
    }

    #[test]
    fn every_number_comes_once() {
        for members in 1..=9 {
            with_threads(members, || {
                assert_eq!(threads(), members);
                for count in [0, 1, 2, 3, members, members + 1, 100] {
                    assert_eq!(visits(count), vec![1; count], "{count} on {members} threads");
                }
            });
        }
    }

    #[test]
    fn many_jobs_in_a_row() {
        for members in [2, 3, 5] {
            with_threads(members, || {
                let mut numbers = [0u32; 7];
                for _ in 0..2000 {
                    for_each_chunk_mut(&mut numbers, 1, |_, number| number[0] += 1);
                }
                assert_eq!(numbers, [2000; 7]);
            });
        }
    }

    #[test]
    fn sleepers_wake() {
        with_threads(3, || {
            for _ in 0..20 {
                assert_eq!(visits(10), [1; 10]);
                thread::sleep(3 * Duration::from_millis(1));
            }
            // Members need to do their share: the caller waits in its own for one of another.
            let begun = AtomicUsize::new(0);
            for_each(2, |_| {
                begun.fetch_add(1, Ordering::SeqCst);
                while begun.load(Ordering::SeqCst) < 2 {
                    thread::yield_now();
                }
            });
        });
    }

    #[test]
    fn shares_are_contiguous_and_even() {
        for count in 1..40 {
            for members in 1..=count {
                let shares = (0..members).map(|member| share(count, members, member));
                let lengths: Vec<usize> = shares.clone().map(|share| share.len()).collect();
                assert!(shares.flatten().eq(0..count));
                assert!(
                    lengths
                        .iter()
                        .all(|len| count / members == *len || count / members + 1 == *len)
                );
            }
        }
    }

    #[test]
    fn chunks_are_numbered_and_cut_in_step() {
        let (mut a, mut b, mut c) = ([0; 10], [0; 7], [0; 4]);
        with_threads(3, || {
            for_each_chunk_mut(&mut a, 4, |at, chunk| chunk.fill(at + 1));
            assert_eq!(a, [1, 1, 1, 1, 2, 2, 2, 2, 3, 3]);
            for_each_chunk_mut2((&mut a, 3), (&mut b, 2), |at, a, b| {
                a.fill(at);
                b.fill(a.len());
            });
            assert_eq!((a, b), ([0, 0, 0, 1, 1, 1, 2, 2, 2, 3], [3, 3, 3, 3, 3, 3, 1]));
            for_each_chunk_mut3((&mut a, 3), (&mut b, 2), (&mut c, 1), |at, a, b, c| {
                c[0] = at + a.len() + b.len();
            });
            assert_eq!(c, [5, 6, 7, 5]);
            for_each_chunk_mut::<u8>(&mut [], 4, |_, _| unreachable!("there is no chunk"));
        });
    }

    #[test]
    fn shares_have_neighbouring_chunks_and_memory_of_their_own() {
        let (mut numbers, mut memory) = ([0; 10], [0; 6]);
        with_threads(3, || {
            let chunks = (Chunks::new(&mut numbers, 2), None::<Chunks<'_, u8>>);
            for_each_share(chunks, Chunks::new(&mut memory, 2), |share, memory| {
                memory[0] = share.numbers().start;
                for (at, (chunk, nothing)) in share {
                    assert!(nothing.is_none());
                    chunk.fill(at + 1);
                    memory[1] += 1;
                }
            });
        });
        assert_eq!(numbers, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
        assert_eq!(memory, [0, 1, 1, 2, 3, 2]);
    }

    #[test]
    #[should_panic(expected = "as many chunks of each array")]
    fn arrays_that_do_not_go_together_are_noticed() {
        for_each_chunk_mut2((&mut [0; 10], 3), (&mut [0; 9], 3), |_, _, _| ());
    }

    #[test]
    #[should_panic(expected = "chunks of at least one item")]
    fn chunks_are_not_empty() {
        for_each_chunk_mut(&mut [0; 10], 0, |_, _| ());
    }

    #[test]
    fn a_job_within_a_job_is_done_alone() {
        with_threads(3, || {
            let sums: Vec<AtomicUsize> = (0..9).map(|_| AtomicUsize::new(0)).collect();
            for_each(9, |at| {
                let this = thread::current().id();
                for_each(5, |inner| {
                    assert_eq!(thread::current().id(), this);
                    sums[at].fetch_add(inner, Ordering::Relaxed);
                });
            });
            assert!(sums.iter().all(|sum| sum.load(Ordering::Relaxed) == 10));
        });
    }

    #[test]
    fn a_team_within_a_team() {
        with_threads(2, || {
            let (left, right) = (AtomicUsize::new(0), AtomicUsize::new(0));
            for_each(4, |_| {
                with_threads(3, || {
                    left.fetch_add(threads(), Ordering::Relaxed);
                    right.fetch_add(visits(5).iter().sum::<usize>(), Ordering::Relaxed);
                });
            });
            assert_eq!((left.into_inner(), right.into_inner()), (12, 20));
            assert_eq!(threads(), 2);
        });
    }

    #[test]
    fn callers_at_the_same_time_share_one_team() {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..200).for_each(|_| assert_eq!(visits(12), [1; 12])));
            }
        });
        assert!(matches!(set_threads(NonZeroUsize::MIN), Err(StartError::InUse)));
    }

    #[test]
    fn a_panic_comes_to_the_caller_when_all_are_done() {
        with_threads(4, || {
            for culprit in 0..8 {
                let working = AtomicUsize::new(0);
                let panic = catch_unwind(AssertUnwindSafe(|| {
                    for_each(8, |at| {
                        if at == culprit {
                            std::panic::panic_any(at);
                        }
                        working.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(Duration::from_micros(100));
                        working.fetch_sub(1, Ordering::Relaxed);
                    });
                }));
                assert_eq!(panic.unwrap_err().downcast_ref(), Some(&culprit));
                assert_eq!(working.into_inner(), 0, "nobody works on");
                assert_eq!(visits(8), [1; 8]);
            }
            let panic = catch_unwind(|| for_each(8, |at| std::panic::panic_any(at)));
            assert!(panic.unwrap_err().is::<usize>());
            assert_eq!(visits(8), [1; 8]);
        });
    }

    #[test]
    fn a_panic_leaves_the_thread_the_team_that_it_had() {
        with_threads(2, || {
            let panic = catch_unwind(|| with_threads(3, || panic!("on purpose")));
            assert!(panic.is_err());
            assert_eq!(threads(), 2);
        });
    }
}
