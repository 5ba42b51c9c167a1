//! Batches prepared ahead are those that would be filled on the spot, and whatever ends them ends their thread.

#[path = "support/tapped.rs"]
mod tapped;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use engine::{Draw, Drawn, with_batches};
use engine_core::Batch;
use engine_datasets::{Order, Source, Split};
use tapped::{Tapped, scenes};

const DRAW: Draw =
    Draw { split: Split::Train, order: Order::Shuffled, seed: 3, rows: 30, skip: 0, batches: 11 };

/// All batches of a draw, copied.
fn all(source: &dyn Source, draw: Draw) -> Vec<Drawn> {
    with_batches(source, draw, |batches| {
        let mut all = Vec::new();
        while let Some(drawn) = batches.next() {
            all.push(drawn.clone());
        }
        assert!(batches.next().is_none(), "after the last one there is none");
        all
    })
}

#[test]
fn they_are_those_filled_on_the_spot() {
    let source = scenes();
    for order in [Order::Shuffled, Order::WithReplacement] {
        for (split, rows, batches) in
            [(Split::Train, 30, 11), (Split::Val, 7, 3), (Split::Train, 1000, 3)]
        {
            let found = all(&*source, Draw { split, order, rows, batches, ..DRAW });
            assert_eq!(found.len() as u64, batches);
            let mut found = found.iter();
            let mut batch = Batch::new();
            for epoch in 0.. {
                let order = order.epoch(DRAW.seed, epoch, source.captions(split), rows);
                for (rows, found) in order.batches().zip(&mut found) {
                    source.fill(split, rows, &mut batch);
                    assert_eq!((found.epoch, found.rows), (epoch + 1, rows.len()));
                    assert!(found.batch == batch, "{split}, epoch {epoch}");
                }
                if found.len() == 0 {
                    break;
                }
            }
        }
    }
    assert_eq!(all(&*source, Draw { batches: 0, ..DRAW }), []);
}

#[test]
fn those_after_some_are_those_of_a_draw_from_the_start() {
    let source = scenes();
    for order in [Order::Shuffled, Order::WithReplacement] {
        let draw = Draw { order, batches: 25, ..DRAW };
        let whole = all(&*source, draw);
        for skip in 0..=25 {
            let rest = all(&*source, Draw { skip, batches: 25 - skip, ..draw });
            assert!(rest == whole[skip as usize..], "{order:?}, after {skip}");
        }
    }
}

#[test]
fn one_is_made_ahead_and_none_in_vain() {
    let (source, made) = (scenes(), AtomicUsize::new(0));
    let count = |_: Split, _: &[usize]| {
        made.fetch_add(1, Ordering::SeqCst);
    };
    let source = Tapped { source: &*source, tap: count };
    with_batches(&source, DRAW, |batches| {
        for asked in 1..=3 {
            assert!(batches.next().is_some());
            let begun = Instant::now();
            while made.load(Ordering::SeqCst) <= asked {
                assert!(begun.elapsed() < Duration::from_secs(60), "the next one is not made");
                sleep(Duration::from_millis(1));
            }
            assert_eq!(made.load(Ordering::SeqCst), asked + 1);
        }
    });
    made.store(0, Ordering::SeqCst);
    assert_eq!(all(&source, DRAW).len(), 11);
    assert_eq!(made.load(Ordering::SeqCst), 11);
}

#[test]
fn an_early_end_is_no_error() {
    let source = scenes();
    let endless = Draw { batches: u64::MAX, ..DRAW };
    let outcome: Result<(), &str> = with_batches(&*source, endless, |batches| {
        batches.next();
        Err("stop")
    });
    assert_eq!(outcome, Err("stop"));
    with_batches(&*source, endless, |_| {});
    let panic = catch_unwind(AssertUnwindSafe(|| {
        with_batches(&*source, endless, |batches| {
            batches.next();
            panic!("the caller's own");
        })
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"the caller's own"));
}

#[test]
fn a_panic_of_the_source_is_the_callers() {
    let (source, made) = (scenes(), AtomicUsize::new(0));
    let fail = |_: Split, _: &[usize]| {
        assert!(made.fetch_add(1, Ordering::SeqCst) < 2, "the third batch");
    };
    let source = Tapped { source: &*source, tap: fail };
    let mut got = 0;
    let panic = catch_unwind(AssertUnwindSafe(|| {
        with_batches(&source, DRAW, |batches| {
            while batches.next().is_some() {
                got += 1;
            }
        })
    }));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"the third batch"));
    assert_eq!(got, 2);
    // Whoever ends before that batch never hears of it.
    made.store(0, Ordering::SeqCst);
    with_batches(&source, DRAW, |batches| {
        assert!(batches.next().is_some() && batches.next().is_some());
        while made.load(Ordering::SeqCst) < 3 {
            sleep(Duration::from_millis(1));
        }
    });
}

#[test]
fn only_waiting_counts_as_waiting() {
    const MAKING: Duration = Duration::from_millis(20);
    let inner = scenes();
    let slow = Tapped { source: &*inner, tap: |_: Split, _: &[usize]| sleep(MAKING) };
    let waited = |source: &dyn Source, work: Duration| {
        with_batches(source, DRAW, |batches| {
            let begun = Instant::now();
            while batches.next().is_some() {
                sleep(work);
            }
            (batches.waited(), begun.elapsed())
        })
    };
    let (wait, whole) = waited(&slow, Duration::ZERO);
    assert!(wait >= MAKING * 10 && wait <= whole, "{wait:?} of {whole:?} at once");
    // Making is hidden behind work that takes longer, all but the first one's.
    let (wait, whole) = waited(&slow, MAKING * 3);
    assert!(wait * 4 < whole, "{wait:?} of {whole:?} behind work");
    assert!(wait >= MAKING / 2, "{wait:?} for the first");
}
