//! Chaos: numbered messages through a real RabbitMQ behind a fault proxy, a seeded schedule of
//! faults, and a ledger that must come out even.
//!
//! `make test` runs a short schedule; `make chaos` a long one, by `CHAOS_MINUTES`, `CHAOS_MESSAGES`
//! and `CHAOS_SEED`. The same seed gives the same schedule.

mod content;
mod ledger;
mod message;
mod pika;
mod plan;
mod run;
mod scrape;
mod stage;
mod table;
mod traffic;

use anyhow::{Context, Result, ensure};
use lockgate_tests::{Scene, report, target_dir};

use plan::{Fault, Plan};

/// The faults of half an hour.
const LONG: [(Fault, u64); 7] = [
    (Fault::KillHost, 100),
    (Fault::DrainHost, 20),
    (Fault::RestartBroker, 20),
    (Fault::KillBroker, 10),
    (Fault::Reset, 500),
    (Fault::Hole, 50),
    (Fault::Latency, 20),
];
const SHORT: [(Fault, u64); 7] = [
    (Fault::KillHost, 2),
    (Fault::DrainHost, 1),
    (Fault::RestartBroker, 1),
    (Fault::KillBroker, 1),
    (Fault::Reset, 5),
    (Fault::Hole, 1),
    (Fault::Latency, 1),
];

#[test]
fn a_seeded_schedule_of_faults_loses_nothing() -> Result<()> {
    let seed = number("CHAOS_SEED")?.unwrap_or(1);
    let plan = match number("CHAOS_MINUTES")? {
        Some(minutes) => {
            let messages = number("CHAOS_MESSAGES")?.unwrap_or(1_000_000);
            let counts = LONG.map(|(fault, count)| (fault, (count * minutes).div_ceil(30)));
            Plan::new(seed, messages, messages / (minutes * 60).max(1), &counts)
        }
        None => Plan::new(seed, 15_000, 500, &SHORT),
    };
    let (faults, messages) = (plan.faults.len(), plan.messages);
    report(&format!("chaos: seed {seed}, {faults} faults over {messages} messages"));
    let outcome = run::run(&plan, Scene::own("chaos")?, "chaos", false)?;
    let table = table::markdown(&plan, &outcome);
    std::fs::write(target_dir()?.join("chaos-report.md"), &table)?;
    report(&table);
    let broken = outcome.broken();
    ensure!(broken.is_empty(), "seed {seed}: {broken:#?}");
    Ok(())
}

/// The checker is worth something only if it sees a loss: here one message is taken from an output.
#[test]
fn a_stolen_message_is_missed() -> Result<()> {
    let plan = Plan::new(1, 2_000, 2_000, &[]);
    let outcome = run::run(&plan, Scene::shared("thief")?, "thief", true)?;
    let stolen = outcome.stolen.context("nothing was stolen")?;
    let broken = outcome.broken();
    ensure!(broken == [format!("1 lost: {stolen}")], "{stolen} was stolen: {broken:#?}");
    Ok(())
}

/// A number that the environment gives.
fn number(name: &str) -> Result<Option<u64>> {
    let Some(text) = std::env::var_os(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let text = text.to_str().with_context(|| format!("{name} is not UTF-8"))?;
    Ok(Some(text.parse().with_context(|| format!("{name} is no number"))?))
}
