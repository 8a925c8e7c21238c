//! Table: a run in Markdown, for people.

use std::fmt::Write;
use std::time::Duration;

use crate::plan::{Fault, Plan};
use crate::run::Outcome;
use crate::stage::{PIPELINES, PREFETCH, Times};

/// The whole report.
pub(crate) fn markdown(plan: &Plan, outcome: &Outcome) -> String {
    let verdict = &outcome.verdict;
    let (readings, wrong) = &outcome.readings;
    let (logged, flood) = outcome.complaints;
    let counters = if outcome.miscounted.is_empty() { "equal" } else { "NOT EQUAL" };
    let mut text = format!(
        "Seed {}, {} faults, {:.1} minutes; {} pipelines with a prefetch of {PREFETCH} each.\n\n\
         | ledger | |\n|---|---:|\n",
        plan.seed,
        plan.faults.len(),
        outcome.took.as_secs_f64() / 60.0,
        PIPELINES.len(),
    );
    let unknown = verdict.unknown + verdict.nacked;
    for (what, figure) in [
        ("messages sent", verdict.sent.to_string()),
        ("confirmed to the publisher", verdict.confirmed.to_string()),
        ("unknown to the publisher, of which came", format!("{unknown}, {}", verdict.recovered)),
        ("**lost**", verdict.lost.count.to_string()),
        ("unexpected", verdict.unexpected.count.to_string()),
        ("corrupted", verdict.corrupted.count.to_string()),
        ("out of order in their key", verdict.disordered.count.to_string()),
        ("doubled, at most", format!("{}, {}", verdict.doubled, outcome.doubled_at_most)),
        ("readings of the counters, that do not add up", format!("{readings}, {}", wrong.len())),
        ("warnings and errors logged, at most", format!("{logged}, {flood}")),
        ("counters and ledger after the last fault", counters.to_owned()),
    ] {
        // Writing into a string does not fail.
        let _ = writeln!(text, "| {what} | {figure} |");
    }
    text += "\n| fault | times | first message out, since | p50 | p99 | most |\n\
             |---|---:|---|---:|---:|---:|\n";
    for fault in Fault::ALL {
        let Some(times) = outcome.times.get(&fault) else { continue };
        let back = times.iter().flat_map(|times| times.back.iter().copied()).collect();
        row(&mut text, &fault.to_string(), times, fault.since(), back);
        let noticed: Vec<_> = times.iter().filter_map(|times| times.noticed).collect();
        if !noticed.is_empty() {
            row(&mut text, "– noticed", times, "start of the silence", noticed);
        }
    }
    text
}

fn row(text: &mut String, what: &str, times: &[Times], since: &str, mut all: Vec<Duration>) {
    all.sort();
    let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| {
        let rank = (share * all.len() as f64).ceil() as usize;
        let nearest = all.get(rank.saturating_sub(1)).copied().unwrap_or_default();
        format!("{:.2} s", nearest.as_secs_f64())
    });
    let _ = writeln!(text, "| {what} | {} | {since} | {p50} | {p99} | {most} |", times.len());
}
