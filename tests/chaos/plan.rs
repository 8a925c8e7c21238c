//! Plan: which faults, in which order, at which messages; the seed decides, and nothing else.

use std::fmt;

/// What is done to the daemon, its broker or the network between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// kill -9 of the daemon.
    KillHost,
    /// SIGTERM, which must end well, and a new daemon.
    DrainHost,
    /// The broker stops in good order and starts again.
    RestartBroker,
    /// kill -9 of the broker.
    KillBroker,
    /// Every connection of the daemon ends by a TCP reset.
    Reset,
    /// The network swallows everything until the heartbeats have given up.
    Hole,
    /// 200 ms each way for a while.
    Latency,
}

impl Fault {
    pub(crate) const ALL: [Self; 7] = [
        Self::KillHost,
        Self::DrainHost,
        Self::RestartBroker,
        Self::KillBroker,
        Self::Reset,
        Self::Hole,
        Self::Latency,
    ];

    /// Whether messages in flight may be doubled by it.
    pub(crate) fn doubles(self) -> bool {
        !matches!(self, Self::DrainHost | Self::Latency)
    }

    /// Since when the way back to work is measured.
    pub(crate) fn since(self) -> &'static str {
        match self {
            Self::KillHost | Self::DrainHost => "start of the new process",
            Self::RestartBroker | Self::KillBroker => "port open",
            Self::Reset => "reset",
            Self::Hole => "noticed, network back",
            Self::Latency => "(200 messages out) its start",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillHost => "kill -9 of the host",
            Self::DrainHost => "SIGTERM, drain, start",
            Self::RestartBroker => "broker restart",
            Self::KillBroker => "broker kill -9",
            Self::Reset => "TCP reset of all connections",
            Self::Hole => "black hole",
            Self::Latency => "200 ms latency each way",
        })
    }
}

/// What one run does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Messages, at least.
    pub(crate) messages: u64,
    /// Messages a second, at most.
    pub(crate) rate: u64,
    /// Each fault with the number of the message that it is due at, in order.
    pub(crate) faults: Vec<(u64, Fault)>,
}

impl Plan {
    /// Shuffles `counts` of faults over the messages, one in each share of them.
    pub(crate) fn new(seed: u64, messages: u64, rate: u64, counts: &[(Fault, u64)]) -> Self {
        let mut dice = Dice(seed);
        let mut faults: Vec<Fault> = Vec::new();
        for (fault, count) in counts {
            faults.extend((0..*count).map(|_| *fault));
        }
        // Fisher and Yates.
        for last in (1..faults.len()).rev() {
            faults.swap(last, dice.below(last as u64 + 1) as usize);
        }
        let share = messages / (faults.len() as u64 + 1).max(1);
        let due = faults.into_iter().enumerate();
        let faults = due
            .map(|(at, fault)| (share * (at as u64 + 1) - dice.below(share.max(2) / 2), fault))
            .collect();
        Self { seed, messages, rate: rate.max(1), faults }
    }

    /// How often a fault comes.
    pub(crate) fn count(&self, fault: Fault) -> u64 {
        self.faults.iter().filter(|(_, planned)| *planned == fault).count() as u64
    }
}

/// splitmix64 (Steele, Lea, Flood, 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31) % limit.max(1)
    }
}

#[test]
fn the_seed_decides() {
    let counts = [(Fault::KillHost, 5), (Fault::Reset, 20), (Fault::Hole, 2)];
    let plan = Plan::new(7, 10_000, 100, &counts);
    assert_eq!(plan, Plan::new(7, 10_000, 100, &counts));
    assert_ne!(plan.faults, Plan::new(8, 10_000, 100, &counts).faults);
    assert!(counts.iter().all(|(fault, count)| plan.count(*fault) == *count), "{plan:?}");
    assert!(plan.faults.is_sorted_by_key(|(due, _)| *due), "{plan:?}");
    assert!(plan.faults.iter().all(|(due, _)| *due > 0 && *due < 10_000), "{plan:?}");
    assert!(Plan::new(7, 0, 0, &[]).faults.is_empty());
}
