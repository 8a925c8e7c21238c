//! Every schedule of the hand-over between those who settle and the task that tells the broker: no
//! wake-up is lost. The steps are the real ones of [`Inbound`], each under its lock; between any two
//! of them any other party may run. The wake-up is Tokio's: one permit, however often it is given.

use std::collections::HashSet;

use lockgate_message::Settlement;

use super::Inbound;

/// Where the task stands.
#[derive(Clone, Copy, Debug)]
enum Task {
    Drain,
    /// Has drained; is about to ask whether it may sleep.
    Ask,
    /// Sleeps until woken; with `timer`, also until a time.
    Sleep {
        timer: bool,
    },
    Ended,
}

/// Where one who settles stands.
#[derive(Clone, Copy, Debug)]
enum Party {
    Settles(u64),
    /// Wakes the task next.
    Wakes,
    Closes,
    Done,
}

#[derive(Clone, Debug)]
struct State {
    inbound: Inbound,
    permit: bool,
    task: Task,
    parties: Vec<Party>,
}

impl State {
    fn after(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = self.clone();
        change(&mut next);
        next
    }

    /// Every state that one more step leads to. The timer is left out: it comes late.
    fn next(&self) -> Vec<Self> {
        let mut next = Vec::new();
        match self.task {
            Task::Drain => next.push(self.after(|state| {
                let (mut handed, mut settled) = (Vec::new(), Vec::new());
                let closing = state.inbound.drain(&mut handed, &mut settled);
                state.task = if closing { Task::Ended } else { Task::Ask };
            })),
            // Whether something is to be flushed later depends on what was drained: try both.
            Task::Ask => next.extend([false, true].map(|timer| {
                self.after(|state| {
                    let sleeps = state.inbound.may_sleep(timer);
                    state.task = if sleeps { Task::Sleep { timer } } else { Task::Drain };
                })
            })),
            Task::Sleep { .. } if self.permit => next.push(self.after(|state| {
                state.permit = false;
                state.task = Task::Drain;
            })),
            Task::Sleep { .. } | Task::Ended => {}
        }
        for (at, party) in self.parties.iter().enumerate() {
            match party {
                Party::Settles(tag) => next.push(self.after(|state| {
                    let wakes = state.inbound.settle(*tag, Settlement::Ack);
                    state.parties[at] = if wakes { Party::Wakes } else { Party::Done };
                })),
                Party::Wakes => next.push(self.after(|state| {
                    state.permit = true;
                    state.parties[at] = Party::Done;
                })),
                Party::Closes => next.push(self.after(|state| {
                    state.inbound.closing = true;
                    state.parties[at] = Party::Wakes;
                })),
                Party::Done => {}
            }
        }
        next
    }

    /// Nobody can move but the timer: then nothing may be left that cannot wait for it.
    fn check_rest(&self) {
        let told = "a wake-up was lost";
        match self.task {
            Task::Sleep { timer } => {
                assert!(!self.inbound.closing, "{told}: it must close");
                assert!(timer || self.inbound.settled.is_empty(), "{told}: there is no timer");
                assert!(!self.inbound.urgent(), "{told}: it is urgent");
            }
            Task::Ended => assert!(self.inbound.closing),
            Task::Drain | Task::Ask => unreachable!("the task can move"),
        }
    }
}

/// Explores every schedule; returns how many states there are.
fn explore(settling: u64, handed: u64, closes: bool) -> usize {
    let mut parties: Vec<_> = (1..=settling).map(Party::Settles).collect();
    parties.extend(closes.then_some(Party::Closes));
    let inbound = Inbound {
        handed: (1..=handed).collect(),
        open: usize::try_from(handed).unwrap(),
        ..Inbound::default()
    };
    let first = State { inbound, permit: false, task: Task::Drain, parties };
    let mut known = HashSet::from([format!("{first:?}")]);
    let mut open = vec![first];
    while let Some(state) = open.pop() {
        let next = state.next();
        if next.is_empty() {
            state.check_rest();
        }
        open.extend(next.into_iter().filter(|state| known.insert(format!("{state:?}"))));
    }
    known.len()
}

#[test]
fn no_wake_up_is_lost() {
    let mut states = 0;
    for settling in 1..=4 {
        for handed in settling..=settling + 1 {
            states += explore(settling, handed, false) + explore(settling, handed, true);
        }
    }
    assert!(states > 1_000, "{states} states are not all");
}
