//! Prometheus text: every metric name of the daemon is declared here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lockgate_message::Outcome;
use lockgate_pipeline::{Component, Histogram, Snapshot};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::{Registry, Unit};

use crate::app::{App, Entry};
use crate::process::Figures;
use crate::state::Measured;

/// Everything the daemon knows, as Prometheus text.
///
/// # Errors
/// Formatting into a string does not fail in practice.
pub(crate) fn text(app: &Arc<App>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    let own = registry.sub_registry_with_prefix("lockgate");
    own.register_collector(Box::new(Scrape(app.clone())));
    registry.register_collector(Box::new(Process));
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
            .entries()
            .iter()
            .map(|entry| (entry.name.as_str(), &**entry, entry.stats.snapshot()))
            .collect();
        host(&mut encoder, &self.0)?;
        messages(&mut encoder, &pipelines)?;
        stages(&mut encoder, &pipelines)?;
        plugins(&mut encoder, &self.0)?;
        match self.0.state.opened() {
            Some(opened) => state(&mut encoder, &opened),
            None => Ok(()),
        }
    }
}

/// What every Prometheus client says of its process, and under the usual names.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(now) = Figures::read() else { return Ok(()) };
        let (seconds, bytes) = (Some(&Unit::Seconds), Some(&Unit::Bytes));
        let help = "Processor time in user and kernel space";
        let out = encoder.encode_descriptor("process_cpu", help, seconds, MetricType::Counter)?;
        ConstCounter::new(now.cpu_seconds).encode(out)?;
        let (open, most) = (now.open_files as f64, now.most_files.map(|most| most as f64));
        for (name, unit, help, value) in [
            ("process_start_time", seconds, "Start, since 1970 in UTC", Some(now.start_seconds)),
            ("process_resident_memory", bytes, "Memory in use", Some(now.resident_bytes as f64)),
            ("process_virtual_memory", bytes, "Address space", Some(now.virtual_bytes as f64)),
            ("process_open_fds", None, "Open file descriptors", Some(open)),
            ("process_max_fds", None, "File descriptors at most; none without a limit", most),
            ("process_threads", None, "Threads", Some(now.threads as f64)),
        ] {
            let Some(value) = value else { continue };
            encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}

fn host(encoder: &mut DescriptorEncoder<'_>, app: &App) -> fmt::Result {
    let mut out = family(encoder, "build", "The daemon's version", MetricType::Info)?;
    out.encode_info(&[
        ("version", env!("CARGO_PKG_VERSION")),
        ("os", std::env::consts::OS),
        ("arch", std::env::consts::ARCH),
    ])?;
    let help = "Open connections to the admin listener";
    let mut out = family(encoder, "admin_connections", help, MetricType::Gauge)?;
    gauge(&mut out, &[], app.connections.count())?;
    let help = "Connections to the admin listener that were cut, for others or for taking too long";
    let mut out = family(encoder, "admin_connections_cut", help, MetricType::Counter)?;
    for (reason, count) in app.connections.cut() {
        counter(&mut out, &[("reason", reason)], count)?;
    }
    Ok(())
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
    let help = "1 while a component keeps the pipeline from its work, else absent";
    let mut out = family(encoder, "condition", help, MetricType::Gauge)?;
    for (pipeline, entry, _) in pipelines {
        let waiting = entry.waiting();
        for component in Component::ALL {
            if waiting.iter().any(|(what, _)| *what == component.name()) {
                let labels = [("pipeline", *pipeline), ("component", component.name())];
                gauge(&mut out, &labels, 1)?;
            }
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
        histogram(&mut out, &[("pipeline", pipeline)], &stats.delivery_seconds, &NETWORK)?;
    }
    let mut out = seconds(encoder, "publish_confirm", "From a block's publish to its confirms")?;
    for (pipeline, Entry { stats, .. }, _) in pipelines {
        histogram(&mut out, &[("pipeline", pipeline)], &stats.confirm_seconds, &NETWORK)?;
    }
    Ok(())
}

fn stages(encoder: &mut DescriptorEncoder<'_>, pipelines: &[Reading<'_>]) -> fmt::Result {
    let help = "Verdicts of each stage";
    let mut out = family(encoder, "stage_verdicts", help, MetricType::Counter)?;
    for (pipeline, Entry { stats, .. }, _) in pipelines {
        for stage in &stats.stages {
            // Most stages give two or three of the ten.
            for (verdict, count) in stage.verdicts().filter(|(_, count)| *count > 0) {
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
            histogram(&mut out, &labels, &stage.seconds, &PLUGIN)?;
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
    histogram(&mut out, &[], &store.commit_seconds, &NETWORK)
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
    ConstCounter::new(value).encode(out.encode_family(labels)?)
}

fn gauge<const N: usize>(
    out: &mut MetricEncoder<'_>,
    labels: &[(&str, &str); N],
    value: u64,
) -> fmt::Result {
    out.encode_family(labels)?.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))
}

/// Bounds of the buckets for what waits for a network or a disk, seconds: there and back once at
/// least, and up to the deadlines.
const NETWORK: [f64; 8] = [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 10.0];
/// And for a plugin's time for one message: from an empty call to ten times the default limit.
const PLUGIN: [f64; 7] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0];

/// Writes a histogram with `bounds`, which are some of its own: with all of them, histograms are most
/// of a scrape.
fn histogram<const N: usize>(
    out: &mut MetricEncoder<'_>,
    labels: &[(&str, &str); N],
    histogram: &Histogram,
    bounds: &[f64],
) -> fmt::Result {
    let (sum, count, fine) = histogram.read();
    // Of a pipeline or stage that has not seen a message, there is nothing to say.
    if count == 0 {
        return Ok(());
    }
    let mut coarse: Vec<(f64, u64)> =
        bounds.iter().chain(&[f64::INFINITY]).map(|bound| (*bound, 0)).collect();
    for (bound, count) in fine {
        let bucket = coarse.iter_mut().find(|(upper, _)| bound <= *upper);
        bucket.into_iter().for_each(|(_, sum)| *sum += count);
    }
    out.encode_family(labels)?.encode_histogram::<[(&str, &str); 0]>(sum, count, &coarse, None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A histogram whose bounds are not among those that are kept would be shown wrongly.
    #[test]
    fn bounds_are_some_of_those_that_are_kept() {
        let (_, _, kept) = Histogram::default().read();
        for bound in NETWORK.iter().chain(&PLUGIN) {
            assert!(kept.iter().any(|(one, _)| one == bound), "{bound}");
        }
    }

    #[test]
    fn buckets_are_joined_and_the_last_is_infinite() {
        struct One;
        impl fmt::Debug for One {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("One")
            }
        }
        impl Collector for One {
            fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
                let all = Histogram::default();
                all.observe(Duration::from_micros(2), 3);
                all.observe(Duration::from_millis(2), 2);
                all.observe(Duration::from_secs(60), 1);
                let mut out = seconds(&mut encoder, "x", "help")?;
                histogram(&mut out, &[], &all, &NETWORK)
            }
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(One));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "{le=\"0.001\"} 3",
            "{le=\"0.003\"} 5",
            "{le=\"10.0\"} 5",
            "{le=\"+Inf\"} 6",
            "_count{} 6",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
