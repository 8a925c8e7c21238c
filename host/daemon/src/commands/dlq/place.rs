//! Place: which broker and queue the dead letters are in, and where they came from.

use std::path::Path;

use lockgate_config::{Code, Diagnostic, PipelineSpec, Section, has_errors};
use lockgate_transport::declare::SettingsError;
use lockgate_transport_amqp::settings::{Endpoint, Login, Secret};
use lockgate_transport_amqp::{RouteSettings, SourceSettings};

use super::Refused;
use super::arguments::PlaceArguments;
use crate::{assemble, transports};

/// Seconds between heartbeats to a broker that is given by `--url`.
const HEARTBEAT: u16 = 10;

/// Where dead letters are.
pub(super) struct Place {
    pub(super) endpoint: Endpoint,
    pub(super) queue: String,
    /// The broker of the pipeline's source, where their origin is.
    pub(super) origin: Option<Endpoint>,
    /// Largest body that may be published, bytes.
    pub(super) max_body: Option<u64>,
}

impl Place {
    /// For people.
    pub(super) fn describe(&self) -> String {
        format!("{} at {}", self.queue, self.endpoint)
    }
}

/// Finds it without connecting.
pub(super) fn find(arguments: &PlaceArguments) -> Result<Place, Refused> {
    match (&arguments.pipeline, &arguments.url, &arguments.queue) {
        (Some(path), _, queue) => of_pipeline(&pipeline(path)?, queue.as_deref()),
        (None, Some(url), Some(queue)) => {
            let endpoint = Endpoint::new(Login {
                url: &Secret::new(url),
                username: None,
                password: None,
                auth_mechanism: None,
                tls: None,
                heartbeat: HEARTBEAT,
                connection_name: None,
            });
            let endpoint = endpoint.map_err(|errors| {
                let told = errors.iter().map(|error| {
                    let text = format!("--url: {}", error.message);
                    Diagnostic::new(transports::code(error.kind), text)
                });
                Refused(told.collect())
            })?;
            let origin = Some(endpoint.clone());
            Ok(Place { endpoint, queue: queue.clone(), origin, max_body: None })
        }
        // The command line's own rules say so before.
        _ => Err(unknown_queue("no queue is named")),
    }
}

/// Loads one pipeline file.
fn pipeline(path: &Path) -> Result<PipelineSpec, Refused> {
    let mut loaded = assemble::load(&[path.to_path_buf()]);
    if has_errors(&loaded.diagnostics) {
        return Err(Refused(loaded.diagnostics));
    }
    match (loaded.pipelines.pop(), loaded.pipelines.len()) {
        (Some(spec), 0) => Ok(spec),
        (_, more) => Err(Refused::one(
            Code::TooMany,
            format!("there are {} pipelines in `{}`", more + 1, path.display()),
            "give the file of one of them",
        )),
    }
}

fn of_pipeline(spec: &PipelineSpec, queue: Option<&str>) -> Result<Place, Refused> {
    let none = |message: String| {
        let help = "name the queue itself: `--url` and `--queue`";
        Refused::one(Code::NotBrowsable, message, help)
    };
    let Some(target) = &spec.dead_letter else {
        return Err(none(format!("the pipeline `{}` has no `[dead_letter]`", spec.name)));
    };
    if target.kind != "amqp" {
        return Err(none(format!(
            "the dead letters of `{}` go to the transport `{}`, which keeps nothing beyond the \
             process: only a RabbitMQ can be looked at",
            spec.name, target.kind
        )));
    }
    let section = &target.settings;
    let settings: RouteSettings = section.parse().map_err(Refused)?;
    let origin = source_of(spec)?.map(|(endpoint, _)| endpoint);
    let own = settings.endpoint().map_err(|errors| explain(section, &errors))?;
    let Some(endpoint) = own.or_else(|| origin.clone()) else {
        return Err(none(format!("`[dead_letter]` of `{}` names no broker", spec.name)));
    };
    let queue = match queue {
        Some(queue) => queue.to_owned(),
        None => declared_queue(section, &settings)?,
    };
    Ok(Place { endpoint, queue, origin, max_body: Some(settings.max_body) })
}

/// The one queue that `[dead_letter]` declares.
fn declared_queue(section: &Section, settings: &RouteSettings) -> Result<String, Refused> {
    let queues = settings.declare.as_ref().map_or(&[][..], |declare| &declare.queues);
    let message = match queues {
        [queue] => return Ok(queue.name.clone()),
        [] => "which queue holds the dead letters is not said here".to_owned(),
        several => format!("{} queues hold these dead letters", several.len()),
    };
    let Refused(mut told) = unknown_queue("");
    if let Some(one) = told.first_mut() {
        let path = if queues.is_empty() { "exchange" } else { "declare.queues" };
        let place = section.diagnostic(Code::UnknownQueue, path, message);
        *one = Diagnostic { help: one.help.clone(), ..place };
    }
    Err(Refused(told))
}

fn unknown_queue(message: &str) -> Refused {
    let help = "name the queue: `--queue orders.dead`";
    Refused::one(Code::UnknownQueue, message, help)
}

/// Broker and queue of a pipeline's source; none where it is no AMQP broker.
fn source_of(spec: &PipelineSpec) -> Result<Option<(Endpoint, String)>, Refused> {
    let section = &spec.source.settings;
    if spec.source.kind != "amqp" {
        return Ok(None);
    }
    let settings: SourceSettings = section.parse().map_err(Refused)?;
    let endpoint = settings.endpoint().map_err(|errors| explain(section, &errors))?;
    Ok(Some((endpoint, settings.queue)))
}

/// Broker and queue of the source of the pipeline in `path`.
pub(super) fn source(path: &Path) -> Result<(Endpoint, String), Refused> {
    let spec = pipeline(path)?;
    source_of(&spec)?.ok_or_else(|| {
        Refused::one(
            Code::NoReplayTarget,
            format!("the source of `{}` is no RabbitMQ queue", spec.name),
            "name the target itself: `--to-queue` or `--to-exchange`",
        )
    })
}

fn explain(section: &Section, errors: &[SettingsError]) -> Refused {
    Refused(transports::explain(section, errors))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn find_in(name: &str, text: &str, queue: Option<&str>) -> Result<String, Vec<Code>> {
        let path = std::env::temp_dir().join(format!("{}-{name}.toml", std::process::id()));
        fs::write(&path, format!("version = 1\nname = \"p\"\n{text}")).unwrap();
        let arguments = PlaceArguments {
            pipeline: Some(path.clone()),
            url: None,
            queue: queue.map(str::to_owned),
            predicate: None,
        };
        let found = find(&arguments);
        fs::remove_file(path).unwrap();
        match found {
            Ok(place) => Ok(place.describe()),
            Err(refused) => Err(refused.0.iter().map(|one| one.code).collect()),
        }
    }

    const SOURCE: &str = "[source.amqp]\nurl = \"amqp://guest:secret@one/\"\nqueue = \"in\"\n\
                          [route.default]\namqp = { exchange = \"out\" }\n";

    #[test]
    fn the_queue_is_the_declared_one_or_the_named_one() {
        let declares = |queues: &str| {
            format!(
                "{SOURCE}[dead_letter]\namqp = {{ exchange = \"dead\", declare = {{ type = \
                 \"fanout\", queues = [{queues}] }} }}\n"
            )
        };
        let one = declares("{ name = \"q1\" }");
        assert_eq!(find_in("one", &one, None).unwrap(), "q1 at amqp://one:5672");
        assert_eq!(find_in("named", &one, Some("q9")).unwrap(), "q9 at amqp://one:5672");
        let two = declares("{ name = \"q1\" }, { name = \"q2\" }");
        assert_eq!(find_in("two", &two, None), Err(vec![Code::UnknownQueue]));
        let none = format!("{SOURCE}[dead_letter]\namqp = {{ exchange = \"dead\" }}\n");
        assert_eq!(find_in("none", &none, None), Err(vec![Code::UnknownQueue]));
    }

    #[test]
    fn dead_letters_have_a_broker_of_their_own_or_the_sources() {
        let own = format!(
            "{SOURCE}[dead_letter]\namqp = {{ exchange = \"dead\", url = \"amqp://two/v\" }}\n"
        );
        assert_eq!(find_in("own", &own, Some("q")).unwrap(), "q at amqp://two:5672/v");
        assert_eq!(find_in("without", SOURCE, Some("q")), Err(vec![Code::NotBrowsable]));
        let memory = format!("{SOURCE}[dead_letter]\nmemory = {{ exchange = \"dead\" }}\n");
        assert_eq!(find_in("memory", &memory, Some("q")), Err(vec![Code::NotBrowsable]));
    }
}
