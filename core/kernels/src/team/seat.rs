//! The seat of one member, where it is handed its share of a job, and where it waits for the next.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a member looks for work before it goes to sleep.
const PATIENCE: Duration = Duration::from_micros(150);

/// Looks between two offers of the processor to other threads, which may be the very ones that are waited for.
const LOOKS: usize = 1000;

/// Something that has been thrown.
pub(super) type Payload = Box<dyn Any + Send>;

/// Work that is shared out.
pub(super) struct Job<'a> {
    work: &'a (dyn Fn(usize) + Sync),
    panic: Mutex<Option<Payload>>,
}

impl<'a> Job<'a> {
    pub(super) fn new(work: &'a (dyn Fn(usize) + Sync)) -> Self {
        Job { work, panic: Mutex::new(None) }
    }

    /// Does what is a member's. Keeps the first panic of all members, and never unwinds.
    pub(super) fn run(&self, member: usize) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| (self.work)(member))) {
            let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            match *first {
                None => *first = Some(payload),
                // Whatever was thrown could throw again as it is dropped.
                Some(_) => std::mem::forget(payload),
            }
        }
    }

    /// The first panic.
    pub(super) fn into_panic(self) -> Option<Payload> {
        self.panic.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two cache lines, which processors fetch in pairs, for one value alone.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Padded<T>(pub(super) T);

/// Nothing to do: the seat is the caller's, who may write a share into it.
const FREE: u8 = 0;
/// A share lies ready for whoever takes it first.
const READY: u8 = 1;
/// The member works.
const BUSY: u8 = 2;
/// The member is to leave.
const DISMISSED: u8 = 3;

/// What goes to and fro between caller and member, in one piece.
#[derive(Default)]
struct Share {
    state: AtomicU8,
    job: AtomicPtr<Job<'static>>,
    member: AtomicUsize,
}

/// The place of one member.
#[derive(Default)]
pub(super) struct Seat {
    share: Padded<Share>,
    /// Apart from the share, for it hardly ever changes and the caller reads it at every job.
    asleep: Padded<AtomicBool>,
}

impl Seat {
    /// Lays a share on a free seat. A sleeping member needs to be woken afterwards.
    ///
    /// # Safety
    /// The job must stay where it is until [`Seat::take_back`] has returned true or [`Seat::wait`] has returned.
    pub(super) unsafe fn offer(&self, job: &Job<'_>, member: usize) {
        let Padded(seat) = &self.share;
        debug_assert_eq!(seat.state.load(Ordering::Relaxed), FREE, "one share at a time");
        seat.job.store(std::ptr::from_ref(job).cast_mut().cast(), Ordering::Relaxed);
        seat.member.store(member, Ordering::Relaxed);
        seat.state.store(READY, Ordering::Release);
    }

    /// Whether the member sleeps. Between [`Seat::offer`] and this lies a fence; see [`Seat::sleep`].
    pub(super) fn is_asleep(&self) -> bool {
        self.asleep.0.load(Ordering::Relaxed)
    }

    /// Frees the seat and returns true if its member has not begun, and now never will.
    pub(super) fn take_back(&self) -> bool {
        self.state() == READY && self.turn(READY, FREE)
    }

    /// Waits until the member is done.
    pub(super) fn wait(&self) {
        look(|| self.state() == FREE, || false);
    }

    /// Sends the member away. It needs to be woken afterwards.
    pub(super) fn dismiss(&self) {
        self.share.0.state.store(DISMISSED, Ordering::Release);
    }

    /// What the member does until it is dismissed.
    pub(super) fn serve(&self) {
        loop {
            let mut begun = None;
            let tired = || begun.get_or_insert_with(Instant::now).elapsed() > PATIENCE;
            if !look(|| self.state() != FREE, tired) {
                self.sleep();
            }
            match self.state() {
                DISMISSED => return,
                READY if self.turn(READY, BUSY) => self.work(),
                // The caller was faster.
                _ => (),
            }
        }
    }

    /// Does the share of a busy seat, and frees it.
    fn work(&self) {
        let Padded(seat) = &self.share;
        let job = seat.job.load(Ordering::Relaxed);
        let member = seat.member.load(Ordering::Relaxed);
        // SAFETY: whoever made the offer keeps the job until the seat is free again.
        unsafe { (*job).run(member) };
        seat.state.store(FREE, Ordering::Release);
    }

    /// Sleeps while there is nothing to do.
    ///
    /// The caller offers and then looks for sleepers, the member falls asleep and then looks for an offer. With a fence
    /// between the two on either side, one of them sees the other.
    fn sleep(&self) {
        self.asleep.0.store(true, Ordering::Relaxed);
        std::sync::atomic::fence(Ordering::SeqCst);
        while self.state() == FREE {
            thread::park();
        }
        self.asleep.0.store(false, Ordering::Relaxed);
    }

    fn state(&self) -> u8 {
        self.share.0.state.load(Ordering::Acquire)
    }

    /// Changes the state if it is as expected.
    fn turn(&self, from: u8, to: u8) -> bool {
        let state = &self.share.0.state;
        state.compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}

/// Looks again and again whether it is `done`, without a pause that would take long to end, until `tired`.
fn look(done: impl Fn() -> bool, mut tired: impl FnMut() -> bool) -> bool {
    loop {
        for _ in 0..LOOKS {
            if done() {
                return true;
            }
            std::hint::spin_loop();
        }
        if tired() {
            return false;
        }
        thread::yield_now();
    }
}
