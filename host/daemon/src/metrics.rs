//! Prometheus text: every metric name of the daemon is declared here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lockgate_message::Outcome;
use lockgate_pipeline::{Component, Histogram, Snapshot};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::app::{App, Entry};
use crate::state::Measured;

/// Everything the daemon knows, as Prometheus text.
///
/// # Errors
/// Formatting into a string does not fail in practice.
pub(crate) fn text(app: &Arc<App>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("lockgate");
    registry.register_collector(Box::new(Scrape(app.clone())));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

/// Reads all counters at the moment of the scrape; nothing is kept twice.
struct Scrape(Arc<App>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let pipelines: Vec<Reading<'_>> = self
            .0
            .entries
            .iter()
            .map(|entry| (entry.name.as_str(), &**entry, entry.stats.snapshot()))
            .collect();
        messages(&mut encoder, &pipelines)?;
        stages(&mut encoder, &pipelines)?;
        plugins(&mut encoder, &self.0)?;
        match self.0.state.opened() {
            Some(opened) => state(&mut encoder, &opened),
            None => Ok(()),
        }
    }
}

/// A pipeline and its counts, all read at one moment: received is what was settled and what is
/// in flight, in every scrape.
type Reading<'a> = (&'a str, &'a Entry, Snapshot);

fn messages(encoder: &mut DescriptorEncoder<'_>, pipelines: &[Reading<'_>]) -> fmt::Result {
    let mut out = family(encoder, "messages_received", "Deliveries taken", MetricType::Counter)?;
    for (pipeline, _, snapshot) in pipelines {
        counter(&mut out, &[("pipeline", pipeline)], snapshot.received)?;
    }
    let help = "Deliveries settled, by what became of them";
    let mut out = family(encoder, "messages_settled", help, MetricType::Counter)?;
    for (pipeline, _, snapshot) in pipelines {
        for outcome in Outcome::ALL {
            let labels = [("pipeline", *pipeline), ("outcome", outcome.name())];
            counter(&mut out, &labels, snapshot.outcome(outcome))?;
        }
    }
    let mut out = family(encoder, "in_flight", "Taken and not settled", MetricType::Gauge)?;
    for (pipeline, _, snapshot) in pipelines {
        gauge(&mut out, &[("pipeline", pipeline)], snapshot.in_flight)?;
    }
    let mut out = family(encoder, "generation", "Generation at work", MetricType::Gauge)?;
    for (pipeline, entry, _) in pipelines {
        gauge(&mut out, &[("pipeline", pipeline)], entry.generation)?;
    }
    let help = "1 when the source and every target are connected and nothing is wrong";
    let mut out = family(encoder, "ready", help, MetricType::Gauge)?;
    for (pipeline, entry, _) in pipelines {
        gauge(&mut out, &[("pipeline", pipeline)], entry.waiting().is_empty().into())?;
    }
    let help = "1 while a component keeps the pipeline from its work";
    let mut out = family(encoder, "condition", help, MetricType::Gauge)?;
    for (pipeline, entry, _) in pipelines {
        let waiting = entry.waiting();
        for component in Component::ALL {
            let bad = waiting.iter().any(|(what, _)| *what == component.name());
            let labels = [("pipeline", *pipeline), ("component", component.name())];
            gauge(&mut out, &labels, bad.into())?;
        }
    }
    let help = "Connections to brokers that were lost";
    let mut out = family(encoder, "transport_reconnects", help, MetricType::Counter)?;
    for (pipeline, Entry { stats, .. }, _) in pipelines {
        counter(&mut out, &[("pipeline", pipeline)], stats.reconnects.load(Ordering::Relaxed))?;
    }
    let help = "Header values left out, for the client knows one a name";
    let mut out = family(encoder, "duplicate_headers", help, MetricType::Counter)?;
    for (pipeline, entry, _) in pipelines {
        counter(&mut out, &[("pipeline", pipeline)], entry.duplicate_headers())?;
    }
    let mut out = seconds(encoder, "delivery", "From taking a delivery to settling it")?;
    for (pipeline, Entry { stats, .. }, _) in pipelines {
        histogram(&mut out, &[("pipeline", pipeline)], &stats.delivery_seconds)?;
    }
    let mut out = seconds(encoder, "publish_confirm", "From a block's publish to its confirms")?;
    for (pipeline, Entry { stats, .. }, _) in pipelines {
        histogram(&mut out, &[("pipeline", pipeline)], &stats.confirm_seconds)?;
    }
    Ok(())
}

fn stages(encoder: &mut DescriptorEncoder<'_>, pipelines: &[Reading<'_>]) -> fmt::Result {
    let help = "Verdicts of each stage";
    let mut out = family(encoder, "stage_verdicts", help, MetricType::Counter)?;
    for (pipeline, Entry { stats, .. }, _) in pipelines {
        for stage in &stats.stages {
            for (verdict, count) in stage.verdicts() {
                let labels =
                    [("pipeline", *pipeline), ("stage", &*stage.name), ("verdict", verdict)];
                counter(&mut out, &labels, count)?;
            }
        }
    }
    let help = "Reasons that plugins gave for drops and rejections";
    let mut out = family(encoder, "stage_reasons", help, MetricType::Counter)?;
    for (pipeline, Entry { stats, .. }, _) in pipelines {
        for stage in &stats.stages {
            for (reason, count) in stage.reasons() {
                let labels =
                    [("pipeline", *pipeline), ("stage", &*stage.name), ("reason", &*reason)];
                counter(&mut out, &labels, count)?;
            }
        }
    }
    let mut out = seconds(encoder, "stage", "Time of a stage, a message")?;
    for (pipeline, Entry { stats, .. }, _) in pipelines {
        for stage in &stats.stages {
            let labels = [("pipeline", *pipeline), ("stage", &*stage.name)];
            histogram(&mut out, &labels, &stage.seconds)?;
        }
    }
    Ok(())
}

fn plugins(encoder: &mut DescriptorEncoder<'_>, app: &App) -> fmt::Result {
    let used: Vec<_> = app.plugin_stats();
    let help = "Guest calls that failed, by kind";
    let mut out = family(encoder, "plugin_faults", help, MetricType::Counter)?;
    for plugin in &used {
        for (kind, count) in &plugin.faults {
            counter(&mut out, &[("plugin", &*plugin.name), ("kind", kind)], *count)?;
        }
    }
    let help = "Linear memory of a plugin's instances";
    let mut out =
        encoder.encode_descriptor("plugin_memory", help, Some(&Unit::Bytes), MetricType::Gauge)?;
    for plugin in &used {
        gauge(&mut out, &[("plugin", &*plugin.name)], plugin.memory_bytes)?;
    }
    Ok(())
}

fn state(encoder: &mut DescriptorEncoder<'_>, store: &Measured) -> fmt::Result {
    let usage = store.usage();
    let help = "Keys that a stage keeps, ended ones included until they are swept";
    let mut out = family(encoder, "state_keys", help, MetricType::Gauge)?;
    for one in &usage {
        let labels = [("pipeline", &*one.space.pipeline), ("stage", &*one.space.stage)];
        gauge(&mut out, &labels, one.keys)?;
    }
    let help = "Keys and values that a stage keeps";
    let mut out =
        encoder.encode_descriptor("state", help, Some(&Unit::Bytes), MetricType::Gauge)?;
    for one in &usage {
        let labels = [("pipeline", &*one.space.pipeline), ("stage", &*one.space.stage)];
        gauge(&mut out, &labels, one.bytes)?;
    }
    let help = "Calls of the state that failed, by kind";
    let mut out = family(encoder, "state_errors", help, MetricType::Counter)?;
    for (kind, count) in store.errors() {
        counter(&mut out, &[("kind", kind)], count)?;
    }
    let mut out = seconds(encoder, "state_commit", "Time of a commit of what stages staged")?;
    histogram(&mut out, &[], &store.commit_seconds)
}

fn family<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &'e str,
    kind: MetricType,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, kind)
}

fn seconds<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &'e str,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)
}

fn counter<const N: usize>(
    out: &mut MetricEncoder<'_>,
    labels: &[(&str, &str); N],
    value: u64,
) -> fmt::Result {
    let value = prometheus_client::metrics::counter::ConstCounter::new(value);
    value.encode(out.encode_family(labels)?)
}

fn gauge<const N: usize>(
    out: &mut MetricEncoder<'_>,
    labels: &[(&str, &str); N],
    value: u64,
) -> fmt::Result {
    out.encode_family(labels)?.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
}

fn histogram<const N: usize>(
    out: &mut MetricEncoder<'_>,
    labels: &[(&str, &str); N],
    histogram: &Histogram,
) -> fmt::Result {
    let (sum, count, mut buckets) = histogram.read();
    if let Some(last) = buckets.last_mut() {
        // The encoder writes the greatest finite number as `+Inf`.
        last.0 = f64::MAX;
    }
    out.encode_family(labels)?.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)
}
