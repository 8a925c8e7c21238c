//! Random schedules of a lane's queue, with every lock and wake-up under the control of shuttle: no
//! wake-up is lost (it finds the deadlock), and nothing that was pushed.

use std::sync::atomic::{AtomicU64, Ordering};

use lockgate_message::{AckHandle, Message, Settle, Settlement};
use shuttle::sync::{Arc, mpsc};
use shuttle::thread;

use super::*;

/// Counts what is settled: every delivery drops in the end, wherever it went.
#[derive(Default)]
struct Count(AtomicU64);

impl Settle for Count {
    fn settle(&self, _: u64, _: Settlement) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn delivery(count: &std::sync::Arc<Count>) -> Delivery {
    Delivery::new(Message::default(), false, AckHandle::new(count.clone(), 1))
}

/// Intake pushes, the dispatcher grows hungry and is fed, a retry comes late; then the queue is
/// closed, before or after all of it was taken.
fn lane(full: usize, pushes: usize, close_early: bool) {
    let count = std::sync::Arc::new(Count::default());
    let queue = Arc::new(LaneQueue::new(full, Order::None));
    let (give, jobs) = mpsc::channel::<Vec<Delivery>>();
    let executor = thread::spawn({
        let queue = queue.clone();
        move || {
            let mut batch = Vec::new();
            while queue.take(1 << 20, &mut batch, &mut Vec::new()) {
                assert!((1..=full).contains(&batch.len()));
                // The dispatcher may have gone.
                drop(give.send(std::mem::take(&mut batch)));
            }
        }
    });
    let dispatcher = thread::spawn({
        let queue = queue.clone();
        move || {
            let mut seen = 0;
            loop {
                queue.set_hungry(true);
                let Ok(batch) = jobs.recv() else { return seen };
                queue.set_hungry(false);
                seen += batch.len();
                // Closed by the last, as a drain does: what is in flight is waited for.
                if !close_early && seen == pushes + 1 {
                    queue.close();
                }
            }
        }
    });
    let retry = thread::spawn({
        let (queue, count) = (queue.clone(), count.clone());
        move || usize::from(queue.retry(delivery(&count), Duration::ZERO).is_some())
    });
    let mut back = 0;
    for _ in 0..pushes {
        back += queue.push([delivery(&count)]).len();
    }
    if close_early {
        back += queue.close().len();
    }
    let seen = dispatcher.join().unwrap();
    back += retry.join().unwrap();
    executor.join().unwrap();
    assert_eq!(seen + back, pushes + 1);
    assert_eq!(count.0.load(Ordering::Relaxed) as usize, pushes + 1);
}

#[test]
fn no_wake_up_is_lost() {
    for full in [1, 2, 3] {
        for close_early in [false, true] {
            shuttle::check_random(move || lane(full, 3, close_early), 5_000);
            shuttle::check_pct(move || lane(full, 3, close_early), 5_000, 3);
        }
    }
}
