//! `lockgate demo`: the orders pipeline on the embedded broker with sample data.

mod sample;

use std::io::{IsTerminal, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use lockgate_config::{SourceFile, has_errors, parse_pipeline};
use lockgate_pipeline::{Running, Stats};
use lockgate_transport_memory::Broker;
use tokio::sync::watch;

use crate::assemble::{self, Assembled};
use crate::cli::Format;
use crate::plugins::Plugins;
use crate::transports::Brokers;
use crate::{exit, plugins, report, transports};

use sample::{Made, Orders};

const PIPELINE: &str = include_str!("../../demo/orders.toml");
/// Where the demo's messages end up: route and queue.
const ENDS: [(&str, &str); 4] = [
    ("eu", "orders.eu"),
    ("rest", "orders.rest"),
    ("quarantine", "orders.quarantine"),
    ("dead letters", "orders.dead"),
];
/// Time between lines of the live table.
const TICK: Duration = Duration::from_millis(250);
/// Messages that wait in the source queue at most; the sample is made as it is consumed.
const AHEAD: usize = 2_000;

pub(crate) fn run(messages: u64, plain: bool) -> anyhow::Result<ExitCode> {
    let brokers = Brokers::default();
    let file = SourceFile::new("demo/orders.toml", PIPELINE);
    let mut diagnostics = Vec::new();
    let context = lockgate_config::Context {
        environment: &|_| None,
        transports: &transports::LIST,
        plugins: &plugins::NAMES,
    };
    let spec = parse_pipeline(&file, &context, &mut diagnostics);
    report::line("Lockgate demo: orders on the embedded broker, no RabbitMQ needed.");
    report::line("  orders → paid-only → spam → totals → by-region → eu | rest | quarantine");
    let start = Instant::now();
    let plugins = Plugins::new(assemble::cache_dir())?;
    let assembled = spec.map(|spec| assemble::assemble(&spec, &plugins, &brokers));
    let assembled = match assembled {
        Some(Ok((assembled, _))) if !has_errors(&diagnostics) => assembled,
        other => {
            if let Some(Err(errors)) = other {
                diagnostics.extend(errors);
            }
            report::diagnostics(&diagnostics, Format::Text);
            return Ok(exit::failed());
        }
    };
    report::line(format!(
        "four plugins ready in {:.1} s (compiled once, then cached)\n",
        start.elapsed().as_secs_f64()
    ));
    let live = stdout().is_terminal() && !plain;
    super::runtime()?.block_on(play(assembled, brokers.memory(), messages, live))
}

async fn play(
    assembled: Assembled,
    broker: Broker,
    messages: u64,
    live: bool,
) -> anyhow::Result<ExitCode> {
    let (_keep, running) = watch::channel(true);
    let pipeline = assembled.pipeline.start(running).await?;
    let stats = pipeline.stats.clone();
    let start = Instant::now();
    let feed = broker.clone();
    let feeder = tokio::spawn(async move { feed_orders(&feed, messages).await });
    let mut shown = false;
    loop {
        tokio::time::sleep(TICK).await;
        let snapshot = stats.snapshot();
        if live {
            show(&stats, start, std::mem::replace(&mut shown, true));
        }
        if feeder.is_finished() && snapshot.received >= messages && snapshot.in_flight == 0 {
            break;
        }
    }
    let elapsed = start.elapsed();
    let made = feeder.await.context("the sample ended early")??;
    if !live {
        show(&stats, start, false);
    }
    finish(pipeline, &broker, made, elapsed).await
}

async fn feed_orders(broker: &Broker, messages: u64) -> anyhow::Result<Made> {
    let mut orders = Orders::new();
    while orders.made.orders < messages {
        broker.until("orders.in", |queue| queue.ready < AHEAD).await?;
        for _ in 0..256.min(messages - orders.made.orders) {
            let order = orders.next();
            broker.publish("orders", "order.new", order)?;
        }
    }
    Ok(orders.made)
}

/// One line a stage; on a terminal it overwrites the last one.
fn show(stats: &Arc<Stats>, start: Instant, again: bool) {
    if again {
        report::line(format!("\x1b[{}A", stats.stages.len() + 3));
    }
    let snapshot = stats.snapshot();
    let rate = snapshot.received as f64 / start.elapsed().as_secs_f64().max(0.001);
    report::line(format!("{:>10} messages in, {rate:>9.0} a second", snapshot.received));
    for stage in &stats.stages {
        let (sum, count, _) = stage.seconds.read();
        let verdicts: Vec<_> = stage
            .verdicts()
            .filter(|(_, count)| *count > 0)
            .map(|(verdict, count)| format!("{verdict} {count}"))
            .collect();
        let each = sum * 1e6 / count.max(1) as f64;
        report::line(format!("  {:<12} {each:>6.1} µs   {:<52}", stage.name, verdicts.join("  ")));
    }
    report::line("");
}

/// Drains, then compares what came out with what went in.
async fn finish(
    pipeline: Running,
    broker: &Broker,
    made: Made,
    elapsed: Duration,
) -> anyhow::Result<ExitCode> {
    let stats = pipeline.stats.clone();
    if !pipeline.stop().await {
        bail!("the pipeline did not drain in time");
    }
    let snapshot = stats.snapshot();
    let mut out = 0;
    report::line(format!("{:>10} orders made", made.orders));
    for (end, queue) in ENDS {
        let depth = broker.depth(queue).unwrap_or_default() as u64;
        out += depth;
        let expected = match end {
            "quarantine" => format!("  ({} were spam)", made.spam),
            _ => String::new(),
        };
        report::line(format!("{depth:>10} in {end}{expected}"));
    }
    report::line(format!(
        "{:>10} filtered  ({} were unpaid, {} were no JSON)",
        snapshot.filtered, made.unpaid, made.broken
    ));
    let sum = out + snapshot.filtered;
    report::line(format!(
        "{sum:>10} accounted for in {:.1} s: {} lost",
        elapsed.as_secs_f64(),
        made.orders.saturating_sub(sum),
    ));
    report::line(
        "\nNext: `lockgate check pipelines`, then `lockgate run` with a RabbitMQ (see README).",
    );
    Ok(if sum == made.orders { exit::OK } else { exit::failed() })
}
