//! Pika: a part of the traffic goes by a client that shares no code with the host's.

use std::io::{BufRead, BufReader};
use std::process::ChildStdout;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};
use lockgate_tests::Talk;
use serde_json::json;

use crate::content::{self, Arrival};
use crate::message::{self, BY_PIKA, Kind};
use crate::traffic::Traffic;

/// The publisher.
#[derive(Clone)]
pub(crate) struct Publisher(Arc<Mutex<Line>>);

struct Line {
    tool: Talk,
    answers: BufReader<ChildStdout>,
}

impl Publisher {
    pub(crate) fn start(url: &str) -> Result<Self> {
        let (tool, answers) = Talk::start("traffic", &[url, "publish"])?;
        Ok(Self(Arc::new(Mutex::new(Line { tool, answers }))))
    }

    /// Publishes messages as one transaction; whether the broker has confirmed it. Blocks.
    pub(crate) fn publish(&self, traffic: &Traffic, seqs: &[u64]) -> Result<bool> {
        let block = seqs.iter().map(|seq| {
            json!({
                "queue": traffic.source_of(*seq),
                "body": String::from_utf8_lossy(&message::body(&traffic.run, *seq)),
                "properties": content::properties(&traffic.run, *seq),
                "headers": content::headers(*seq),
            })
        });
        let block = json!(block.collect::<Vec<_>>()).to_string();
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        line.tool.say(&block)?;
        let mut answer = String::new();
        line.answers.read_line(&mut answer)?;
        match answer.trim_end() {
            "confirmed" => Ok(true),
            "unknown" => Ok(false),
            other => bail!("pika's publisher said {other:?}"),
        }
    }
}

/// Takes what comes to [`BY_PIKA`] into the ledger until the tool is dropped.
pub(crate) fn consume(traffic: &Traffic) -> Result<Talk> {
    let queues = BY_PIKA.map(|outlet| traffic.named(outlet));
    let arguments: Vec<&str> =
        [&*traffic.url, "consume"].into_iter().chain(queues.iter().map(String::as_str)).collect();
    let (tool, lines) = Talk::start("traffic", &arguments)?;
    let traffic = traffic.clone();
    thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            if let Err(error) = take(&traffic, &queues, &line) {
                traffic.ledger().complain(format!("{error:#}: {line}"));
            }
        }
    });
    Ok(tool)
}

fn take(traffic: &Traffic, queues: &[String], line: &str) -> Result<()> {
    let (queue, arrival) = Arrival::by_pika(line).context("pika's consumer said")?;
    let place = queues.iter().position(|known| *known == queue);
    let outlet = place.and_then(|place| BY_PIKA.get(place)).context("pika's consumer said")?;
    traffic.ledger().came(outlet, &arrival);
    Ok(())
}

#[test]
fn every_kind_goes_by_pika_too_and_keys_by_one_publisher() {
    let published: Vec<u64> = (0..10_000).filter(|seq| message::by_pika(*seq)).collect();
    for kind in [Kind::A, Kind::B, Kind::Nowhere, Kind::Drop, Kind::Both, Kind::Split, Kind::Keyed]
    {
        assert!(published.iter().any(|seq| Kind::of(*seq) == kind), "{kind:?}");
    }
    let by = |seq: u64| (message::key(seq), message::by_pika(seq));
    let keys: std::collections::BTreeSet<_> = (0..10_000).map(by).collect();
    assert_eq!(keys.len(), 64);
}
