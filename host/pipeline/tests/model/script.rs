//! What happens in one run: messages with what the stage decides about them, troubles, an end.

use std::sync::Arc;

use lockgate_message::{Change, Delta, Emitted, Failure, Fault, FaultKind, Value, Verdict};
use lockgate_pipeline::{Input, Stage, StageFactory};
use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) plans: Arc<[Plan]>,
    pub(crate) lanes: usize,
    pub(crate) by_key: bool,
    pub(crate) letters: Letters,
    /// For what the target answers to each put, in order; what is beyond them is stored.
    pub(crate) answers: Vec<Answer>,
    /// The source is lost at these calls of `next`.
    pub(crate) losses: Vec<usize>,
    pub(crate) end: End,
}

/// What becomes of one message in the stage.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) key: usize,
    /// Attempts that ask for another one first.
    pub(crate) retries: u32,
    pub(crate) step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Pass,
    Modify,
    Both,
    Children(usize),
    Drop,
    Reject,
    Bad,
    Trap,
    NoRoute,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Stored,
    Unroutable,
    Invalid,
    Nacked,
    /// The sink is dead; whether this one was stored nobody is told.
    Unknown,
}

/// Where dead letters go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Letters {
    Ours,
    Brokers,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// When all is settled.
    Settled,
    /// After so many events, with time to finish.
    Drained(usize),
    /// After so many events, without.
    Abandoned(usize),
}

impl Script {
    /// Nothing goes wrong outside the stage.
    pub(crate) fn is_calm(&self) -> bool {
        let stored = self.answers.iter().all(|answer| matches!(answer, Answer::Stored));
        let plain = self.plans.iter().all(|plan| plan.retries == 0);
        stored && plain && self.losses.is_empty() && matches!(self.end, End::Settled)
    }

    /// Whatever else goes wrong, nothing is refused for a while or tried again.
    pub(crate) fn keeps_order(&self) -> bool {
        let straight = |answer: &Answer| !matches!(answer, Answer::Nacked);
        let plain = self.plans.iter().all(|plan| plan.retries == 0);
        plain && self.answers.iter().all(straight) && (self.by_key || self.lanes == 1)
    }
}

impl Plan {
    /// Where its copies go, and the ids they carry.
    pub(crate) fn copies(&self, id: usize) -> Vec<(&'static str, String)> {
        match self.step {
            Step::Pass | Step::Modify => vec![("default", id.to_string())],
            Step::Both => vec![("default", id.to_string()), ("other", id.to_string())],
            Step::Children(1) => vec![("default", id.to_string())],
            Step::Children(n) => (0..n).map(|child| ("default", format!("{id}/{child}"))).collect(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn filters(&self) -> bool {
        matches!(self.step, Step::Drop | Step::Children(0))
    }

    pub(crate) fn fails(&self) -> bool {
        matches!(self.step, Step::Reject | Step::Bad | Step::Trap | Step::NoRoute)
    }
}

/// The stage that follows the script.
pub(crate) struct Judge(pub(crate) Script);

impl StageFactory for Judge {
    fn name(&self) -> &str {
        "judge"
    }

    fn open(&self, _: usize) -> Result<Box<dyn Stage>, String> {
        Ok(Box::new(Open(self.0.clone())))
    }
}

struct Open(Script);

impl Stage for Open {
    fn process(&mut self, batch: &[Input<'_>], verdicts: &mut Vec<Verdict>) {
        verdicts.extend(batch.iter().map(|input| {
            let id: usize = std::str::from_utf8(input.message.body()).unwrap().parse().unwrap();
            verdict(&self.0.plans[id], input.attempt)
        }));
    }
}

fn verdict(plan: &Plan, attempt: u32) -> Verdict {
    if attempt <= plan.retries {
        return match attempt % 2 {
            0 => Verdict::Retry { after: None, text: String::new() },
            _ => Verdict::Fail { failure: Failure::Dependency, text: String::new() },
        };
    }
    let delta = Delta(vec![Change::SetHeader("seen".into(), Value::Bool(true))]);
    let routes = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    match plan.step {
        Step::Pass => Verdict::Pass,
        Step::Modify => Verdict::Modify(delta),
        Step::Both => Verdict::Route { routes: routes(&["default", "other"]), delta },
        Step::NoRoute => Verdict::Route { routes: routes(&["default", "missing"]), delta },
        Step::Children(n) => Verdict::Emit(vec![Emitted { route: None, delta }; n]),
        Step::Drop => Verdict::Drop { reason: None },
        Step::Reject => Verdict::Reject { reason: None, text: String::new() },
        Step::Bad => Verdict::Fail { failure: Failure::BadMessage, text: String::new() },
        Step::Trap => Verdict::Fault(Fault { kind: FaultKind::Trap, text: String::new() }),
    }
}

fn plan() -> impl Strategy<Value = Plan> {
    let step = prop_oneof![
        6 => Just(Step::Pass),
        1 => Just(Step::Modify),
        2 => Just(Step::Both),
        1 => (0usize..4).prop_map(Step::Children),
        2 => Just(Step::Drop),
        1 => Just(Step::Reject),
        1 => Just(Step::Bad),
        1 => Just(Step::Trap),
        1 => Just(Step::NoRoute),
    ];
    // Fewer than the attempts there are, so that the step is reached.
    let retries = prop_oneof![8 => Just(0u32), 1 => 1u32..4];
    (0usize..5, retries, step).prop_map(|(key, retries, step)| Plan { key, retries, step })
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        6 => Just(Answer::Stored),
        1 => Just(Answer::Unroutable),
        1 => Just(Answer::Invalid),
        1 => Just(Answer::Nacked),
        1 => Just(Answer::Unknown),
    ]
}

pub(crate) fn script() -> impl Strategy<Value = Script> {
    let answers = prop_oneof![
        1 => Just(Vec::new()),
        2 => prop::collection::vec(answer(), 0..60),
    ];
    let losses = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(1usize..30, 1..4),
    ];
    let end = prop_oneof![
        3 => Just(End::Settled),
        1 => (0usize..200).prop_map(End::Drained),
        1 => (0usize..200).prop_map(End::Abandoned),
    ];
    let letters = prop_oneof![3 => Just(Letters::Ours), 1 => Just(Letters::Brokers)];
    let plans = prop::collection::vec(plan(), 1..80);
    (plans, 1usize..4, any::<bool>(), letters, answers, losses, end).prop_map(
        |(plans, lanes, by_key, letters, answers, losses, end)| Script {
            plans: plans.into(),
            lanes,
            by_key,
            letters,
            answers,
            losses,
            end,
        },
    )
}
