//! The transports: the one list of them, and how their settings become connectors.

use std::collections::HashMap;
use std::sync::Arc;

use lockgate_config::{Code, Diagnostic, Endpoint, PipelineSpec, Section, Transport};
use lockgate_pipeline::{Routes, Target, Wait};
use lockgate_transport::declare::{Declaring, ErrorKind, SettingsError};
use lockgate_transport::{ConnectError, SinkConnector, SourceConnector};
use lockgate_transport_amqp::{self as amqp, AmqpSink, AmqpSource};
use lockgate_transport_memory::{
    self as memory, Broker, MemorySinkConnector, MemorySourceConnector,
};
use serde::de::DeserializeOwned;

/// Every transport, and what judges its settings while a file is read.
pub(crate) const LIST: [Transport<'static>; 2] = [
    Transport {
        kind: "amqp",
        source: Some(|section| judge(section, amqp::SourceSettings::validate)),
        target: Some(|section| judge(section, amqp::RouteSettings::validate)),
    },
    Transport {
        kind: "memory",
        source: Some(|section| judge(section, memory::SourceSettings::validate)),
        target: Some(|section| judge(section, memory::RouteSettings::validate)),
    },
];

/// What lives as long as the process: the embedded broker, shared by all pipelines.
#[derive(Default)]
pub(crate) struct Brokers {
    memory: Broker,
    /// The pipelines that have not declared yet.
    pub(crate) declaring: Declaring,
}

impl Brokers {
    /// The embedded broker.
    pub(crate) fn memory(&self) -> Broker {
        self.memory.clone()
    }
}

/// A pipeline's connections.
pub(crate) struct Wired {
    pub(crate) source: Arc<dyn SourceConnector>,
    /// Deliveries that the source gives without a settlement.
    pub(crate) prefetch: usize,
    pub(crate) sinks: Vec<Arc<dyn SinkConnector>>,
    pub(crate) places: Places,
    /// What may lose messages on the brokers.
    pub(crate) warnings: Vec<Diagnostic>,
    pub(crate) routes: Routes,
    pub(crate) dead_letter: Option<Target>,
    /// Where messages wait for their next try.
    pub(crate) wait: Wait,
}

/// Where in the file a pipeline's connections are described.
pub(crate) struct Places {
    pipeline: Section,
    source: Section,
    /// Of each sink, the sections of its routes.
    sinks: Vec<Vec<Section>>,
}

impl Places {
    /// Why `sink`, or the source for `None`, cannot be connected; with the place in the file.
    pub(crate) fn refusal(&self, sink: Option<usize>, error: &ConnectError) -> Diagnostic {
        let routes = sink.and_then(|sink| self.sinks.get(sink)).map_or(&[][..], Vec::as_slice);
        let (section, path) = match error {
            ConnectError::FatalRoute(n, _) => (routes.get(*n), "exchange"),
            // Routes without a URL have the source's.
            _ => (routes.iter().find(|route| route.keys().any(|key| key == "url")), "url"),
        };
        let (section, path) = match (section, sink) {
            (Some(section), _) => (section, path),
            (None, Some(_)) => (&self.source, "url"),
            (None, None) => (&self.source, ""),
        };
        let code = match error {
            ConnectError::Retry(_) => Code::BrokerUnreachable,
            ConnectError::Stream(_) => Code::StreamQueue,
            _ => Code::BrokerRefused,
        };
        section
            .diagnostic(code, path, error.to_string())
            .help("mend the file or the broker; `lockgate check --broker` tells whether it fits")
    }

    /// What the broker was found to lose at the source.
    pub(crate) fn risk(&self, text: &str) -> Diagnostic {
        self.source.diagnostic(Code::MayLoseInCrashes, "queue", text)
    }

    /// Why a stage cannot be opened.
    pub(crate) fn stage_refusal(&self, text: &str) -> Diagnostic {
        self.pipeline.diagnostic(Code::BadModule, "stage", text)
    }
}

fn judge<T: DeserializeOwned>(
    section: &Section,
    validate: impl Fn(&T) -> Vec<SettingsError>,
) -> Vec<Diagnostic> {
    match section.parse::<T>() {
        Err(diagnostics) => diagnostics,
        Ok(settings) => explain(section, &validate(&settings)),
    }
}

pub(crate) fn explain(section: &Section, errors: &[SettingsError]) -> Vec<Diagnostic> {
    let told =
        |error: &SettingsError| section.diagnostic(code(error.kind), &error.path, &error.message);
    errors.iter().map(told).collect()
}

/// The code of what a transport refuses.
pub(crate) fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Setting => Code::BadSetting,
        ErrorKind::Stream => Code::StreamQueue,
        ErrorKind::Unescaped => Code::UnescapedUrl,
    }
}

fn warn<'a>(
    section: &'a Section,
    risks: &'a [SettingsError],
) -> impl Iterator<Item = Diagnostic> + 'a {
    risks.iter().map(|risk| section.diagnostic(Code::MayLose, &risk.path, &risk.message))
}

/// Makes the connectors of a pipeline; connects nothing yet.
///
/// # Errors
/// Everything that is wrong with the transports' settings.
pub(crate) fn wire(spec: &PipelineSpec, brokers: &Brokers) -> Result<Wired, Vec<Diagnostic>> {
    let section = &spec.source.settings;
    let mut warnings = Vec::new();
    let ordered = spec.delivery.order != lockgate_config::Order::None;
    let bytes = crate::memory::in_flight(spec.delivery.in_flight_bytes);
    let (source, prefetch, default, queue): (Arc<dyn SourceConnector>, _, _, String) =
        match spec.source.kind.as_str() {
            "amqp" => {
                let settings: amqp::SourceSettings = section.parse()?;
                let endpoint = settings.endpoint().map_err(|errors| explain(section, &errors))?;
                let (prefetch, queue) = (settings.prefetch, settings.queue.clone());
                warnings.extend(warn(section, &settings.risks()));
                if let Some(risk) = settings.crash_risk() {
                    let code = Code::MayLoseInCrashes;
                    warnings.push(section.diagnostic(code, &risk.path, &risk.message));
                }
                if ordered && !settings.is_alone() {
                    let text = "another consumer of the queue would break the order";
                    warnings.push(section.diagnostic(Code::MayReorder, "queue", text).help(
                        "set `exclusive = true`, or declare the queue with \
                         `x-single-active-consumer = true` to have a stand-by",
                    ));
                }
                let source = AmqpSource::new(settings);
                let source = source.map_err(|errors| explain(section, &errors))?;
                let source = source.bounded(bytes).ordered(ordered).beside(&brokers.declaring);
                (Arc::new(source), prefetch.into(), Some(endpoint), queue)
            }
            _ => {
                let settings: memory::SourceSettings = section.parse()?;
                let (prefetch, queue) = (settings.prefetch.into(), settings.queue.clone());
                let source = MemorySourceConnector::new(&brokers.memory, settings);
                let source = source.bounded(bytes).beside(&brokers.declaring);
                (Arc::new(source), prefetch, None, queue)
            }
        };
    let ends: Vec<(&str, &Endpoint)> = spec
        .routes
        .iter()
        .map(|route| (route.name.as_str(), &route.target))
        .chain(spec.dead_letter.iter().map(|endpoint| ("", endpoint)))
        .collect();
    let mut wired = Wired {
        source,
        prefetch,
        sinks: Vec::new(),
        places: Places {
            pipeline: spec.section.clone(),
            source: section.clone(),
            sinks: Vec::new(),
        },
        warnings,
        routes: HashMap::new(),
        dead_letter: None,
        wait: Wait::Memory,
    };
    let waits = spec.delivery.retry.wait == lockgate_config::Wait::Queue;
    let queue = waits.then_some(queue);
    let (amqp, memory) = match default {
        Some(_) => (queue, None),
        None => (None, queue),
    };
    wire_amqp(&mut wired, brokers, default.as_ref(), &ends, amqp)?;
    wire_memory(&mut wired, brokers, &ends, memory)?;
    Ok(wired)
}

impl Wired {
    /// Names a target; the dead-letter target has no name.
    fn add(&mut self, name: &str, sink: usize, exchange: &str, routing_key: Option<&str>) {
        let target =
            Target { sink, exchange: exchange.into(), routing_key: routing_key.map(Arc::from) };
        if name.is_empty() {
            self.dead_letter = Some(target);
        } else {
            self.routes.insert(name.to_owned(), target);
        }
    }
}

fn wire_amqp(
    wired: &mut Wired,
    brokers: &Brokers,
    default: Option<&amqp::settings::Endpoint>,
    ends: &[(&str, &Endpoint)],
    delayed: Option<String>,
) -> Result<(), Vec<Diagnostic>> {
    let mut routes = Vec::new();
    let mut settings = Vec::new();
    for (name, endpoint) in ends.iter().filter(|(_, endpoint)| endpoint.kind == "amqp") {
        let route: amqp::RouteSettings = endpoint.settings.parse()?;
        wired.warnings.extend(warn(&endpoint.settings, &route.risks()));
        if name.is_empty() {
            let wrong = route.validate_dead_letter();
            if !wrong.is_empty() {
                return Err(explain(&endpoint.settings, &wrong));
            }
        }
        settings.push(route);
        routes.push((*name, *endpoint));
    }
    settings.extend(delayed.as_ref().map(|_| amqp::RouteSettings::default_exchange()));
    let shared = AmqpSink::for_routes(default, &settings).map_err(|errors| {
        errors
            .into_iter()
            .filter_map(|(n, error)| {
                let (_, endpoint) = routes.get(n)?;
                Some(explain(&endpoint.settings, &[error]))
            })
            .flatten()
            .collect::<Vec<_>>()
    })?;
    let first = wired.sinks.len();
    let sinks = shared.sinks.into_iter().map(|sink| sink.beside(&brokers.declaring));
    wired.sinks.extend(sinks.map(|sink| Arc::new(sink) as Arc<dyn SinkConnector>));
    wired.places.sinks.resize(wired.sinks.len(), Vec::new());
    if let (Some(queue), Some(place)) = (delayed, shared.of_route.last()) {
        wired.wait = Wait::Queue { sink: first + place, queue: queue.into() };
    }
    for (((name, endpoint), settings), place) in routes.iter().zip(&settings).zip(shared.of_route) {
        wired.add(name, first + place, &settings.exchange, settings.routing_key.as_deref());
        if let Some(sections) = wired.places.sinks.get_mut(first + place) {
            sections.push(endpoint.settings.clone());
        }
    }
    Ok(())
}

fn wire_memory(
    wired: &mut Wired,
    brokers: &Brokers,
    ends: &[(&str, &Endpoint)],
    delayed: Option<String>,
) -> Result<(), Vec<Diagnostic>> {
    let (mut names, mut settings, mut sections) = (Vec::new(), Vec::new(), Vec::new());
    for (name, endpoint) in ends.iter().filter(|(_, endpoint)| endpoint.kind == "memory") {
        names.push(*name);
        settings.push(endpoint.settings.parse::<memory::RouteSettings>()?);
        sections.push(endpoint.settings.clone());
    }
    if settings.is_empty() && delayed.is_none() {
        return Ok(());
    }
    let sink = wired.sinks.len();
    if let Some(queue) = delayed {
        wired.wait = Wait::Queue { sink, queue: queue.into() };
    }
    for (name, settings) in names.into_iter().zip(&settings) {
        wired.add(name, sink, &settings.exchange, settings.routing_key.as_deref());
    }
    let connector = MemorySinkConnector::new(&brokers.memory, settings);
    wired.sinks.push(Arc::new(connector.beside(&brokers.declaring)));
    wired.places.sinks.push(sections);
    Ok(())
}
