//! Topology: what the pipelines of a run say of exchanges and queues, looked at as a whole. Finds what
//! comes back to where it was taken from, and what each file alone does not show.
//!
//! Nothing is known but what the files declare, so that a loop over a binding that somebody else made
//! is not found.

use std::collections::{HashMap, HashSet};

use lockgate_config::{Code, Diagnostic, Endpoint, PipelineSpec, Section, nearest};
use lockgate_transport::declare::{DeclareSource, DeclareTarget};
use lockgate_transport_amqp as amqp;
use lockgate_transport_memory as memory;

/// Placeholders of a route's `routing_key`.
const PLACEHOLDERS: [&str; 2] = ["routing_key", "exchange"];
/// Exchange types that every broker has. Those of plugins begin with `x-`.
const KINDS: [&str; 4] = ["direct", "topic", "fanout", "headers"];

/// Everything that is wrong or worth a warning, over all pipelines.
pub(crate) fn judge(specs: &[PipelineSpec]) -> Vec<Diagnostic> {
    let pipelines: Vec<Pipeline<'_>> = specs.iter().filter_map(Pipeline::read).collect();
    let brokers = Declared::of(&pipelines);
    let mut found = Vec::new();
    for pipeline in &pipelines {
        for target in &pipeline.targets {
            found.extend(placeholders(target));
        }
        found.extend(kinds(pipeline));
    }
    shared(&pipelines, &mut found);
    loops(&pipelines, &brokers, &mut found);
    found
}

/// A pipeline's ends.
struct Pipeline<'a> {
    name: &'a str,
    section: &'a Section,
    broker: String,
    queue: String,
    declare: DeclareSource,
    targets: Vec<Target<'a>>,
}

/// A route, or where dead letters go.
struct Target<'a> {
    /// None for dead letters.
    route: Option<&'a str>,
    section: &'a Section,
    broker: String,
    exchange: String,
    routing_key: Option<String>,
    declare: Option<DeclareTarget>,
}

impl<'a> Pipeline<'a> {
    /// `None` where something is wrong with the settings of a transport, which is told elsewhere.
    fn read(spec: &'a PipelineSpec) -> Option<Self> {
        let section = &spec.source.settings;
        let (broker, queue, declare) = match spec.source.kind.as_str() {
            "amqp" => {
                let settings: amqp::SourceSettings = section.parse().ok()?;
                (settings.endpoint().ok()?.to_string(), settings.queue, settings.declare)
            }
            _ => {
                let settings: memory::SourceSettings = section.parse().ok()?;
                (MEMORY.to_owned(), settings.queue, settings.declare)
            }
        };
        let routes = spec.routes.iter().map(|route| (Some(&*route.name), &route.target));
        let ends = routes.chain(spec.dead_letter.iter().map(|target| (None, target)));
        let targets = ends.map(|(route, end)| Target::read(route, end, &broker));
        let targets = targets.collect::<Option<Vec<_>>>()?;
        let declare = declare.unwrap_or_default();
        Some(Self { name: &spec.name, section, broker, queue, declare, targets })
    }

    /// Exchange, routing key and whether there are arguments, of each binding of the source's queue.
    fn bindings(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        let own = self.declare.exchange.as_ref().map(|exchange| &*exchange.name);
        self.declare.bindings.iter().map(move |binding| {
            let exchange = binding.exchange.as_deref().or(own).unwrap_or_default();
            (exchange, &*binding.routing_key, !binding.arguments.0.is_empty())
        })
    }
}

/// The broker of this process, which is one for all.
const MEMORY: &str = "memory";

impl<'a> Target<'a> {
    fn read(route: Option<&'a str>, end: &'a Endpoint, source: &str) -> Option<Self> {
        let section = &end.settings;
        let (broker, exchange, routing_key, declare) = if end.kind == "amqp" {
            let settings: amqp::RouteSettings = section.parse().ok()?;
            let broker = settings.endpoint().ok()?.map(|endpoint| endpoint.to_string());
            let broker = broker.unwrap_or_else(|| source.to_owned());
            (broker, settings.exchange, settings.routing_key, settings.declare)
        } else {
            let settings: memory::RouteSettings = section.parse().ok()?;
            (MEMORY.to_owned(), settings.exchange, settings.routing_key, settings.declare)
        };
        Some(Self { route, section, broker, exchange, routing_key, declare })
    }

    /// The keys that messages of `pipeline` may be published with, as patterns of a topic.
    fn keys(&self, pipeline: &Pipeline<'_>) -> Vec<String> {
        let template = self.routing_key.as_deref().unwrap_or("{{routing_key}}");
        if !template.contains("{{routing_key}}") {
            return vec![template.replace("{{exchange}}", "#")];
        }
        // Messages that were put into the queue itself have its name for a key.
        let own = [pipeline.queue.as_str()];
        let origins = pipeline.bindings().map(|(_, key, _)| key).chain(own);
        let key = |own| template.replace("{{routing_key}}", own).replace("{{exchange}}", "#");
        origins.map(key).collect()
    }
}

/// What the files declare together.
struct Declared<'a> {
    /// By broker and exchange.
    kinds: HashMap<(&'a str, &'a str), &'a str>,
    /// By broker and queue: exchange, routing key, whether there are arguments.
    bindings: HashMap<(&'a str, &'a str), Vec<(&'a str, &'a str, bool)>>,
}

impl<'a> Declared<'a> {
    fn of(pipelines: &'a [Pipeline<'a>]) -> Self {
        let (mut kinds, mut bindings) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for pipeline in pipelines {
            let broker = pipeline.broker.as_str();
            if let Some(exchange) = &pipeline.declare.exchange {
                kinds.insert((broker, &*exchange.name), &*exchange.kind);
            }
            bindings.entry((broker, &*pipeline.queue)).or_default().extend(pipeline.bindings());
            for target in &pipeline.targets {
                let Some(declare) = &target.declare else { continue };
                kinds.insert((&*target.broker, &*target.exchange), &*declare.kind);
                for queue in &declare.queues {
                    let binding = (
                        &*target.exchange,
                        &*queue.routing_key,
                        !queue.binding_arguments.0.is_empty(),
                    );
                    bindings.entry((&*target.broker, &*queue.name)).or_default().push(binding);
                }
            }
        }
        Self { kinds, bindings }
    }

    /// Whether what `from` publishes to `target` may arrive in the source's queue of `to`.
    fn arrives(&self, from: &Pipeline<'_>, target: &Target<'_>, to: &Pipeline<'_>) -> bool {
        if target.broker != to.broker {
            return false;
        }
        let keys = target.keys(from);
        if target.exchange.is_empty() {
            return keys.iter().any(|key| *key == to.queue);
        }
        let key = (target.broker.as_str(), target.exchange.as_str());
        let builtin = target.exchange.strip_prefix("amq.").unwrap_or_default();
        let kind = self.kinds.get(&key).copied().unwrap_or(builtin);
        let bound = self.bindings.get(&(&*to.broker, &*to.queue)).map_or(&[][..], Vec::as_slice);
        let mut bound = bound.iter().filter(|(exchange, ..)| *exchange == target.exchange);
        bound.any(|(_, pattern, arguments)| match kind {
            "fanout" => true,
            // Which headers a message has is not known.
            "headers" => !arguments,
            "direct" => keys.iter().any(|key| key == pattern || key.contains('#')),
            _ => keys.iter().any(|key| meet(key, pattern)),
        })
    }
}

/// Whether some routing key matches both patterns of a topic.
fn meet(a: &str, b: &str) -> bool {
    // Every pair of rests once: patterns are as long as a key may be.
    fn rest(a: &[&str], b: &[&str], known: &mut HashSet<(usize, usize)>) -> bool {
        if !known.insert((a.len(), b.len())) {
            return false;
        }
        match (a, b) {
            ([], []) => true,
            // It stands for no word, or for one more.
            (["#", after @ ..], _) => {
                rest(after, b, known)
                    || b.split_first().is_some_and(|(_, less)| rest(a, less, known))
            }
            (_, ["#", after @ ..]) => {
                rest(a, after, known)
                    || a.split_first().is_some_and(|(_, less)| rest(less, b, known))
            }
            ([x, a @ ..], [y, b @ ..]) => (x == y || *x == "*" || *y == "*") && rest(a, b, known),
            _ => false,
        }
    }
    let (a, b): (Vec<_>, Vec<_>) = (a.split('.').collect(), b.split('.').collect());
    rest(&a, &b, &mut HashSet::new())
}

fn placeholders(target: &Target<'_>) -> Option<Diagnostic> {
    let template = target.routing_key.as_deref()?;
    let mut plain = template.to_owned();
    for known in PLACEHOLDERS {
        plain = plain.replace(&format!("{{{{{known}}}}}"), "");
    }
    let (_, rest) = plain.split_once("{{")?;
    let given = rest.split_once("}}").map_or(rest, |(given, _)| given);
    let message = format!("a route knows no `{{{{{given}}}}}`");
    let help = match nearest(given.trim(), PLACEHOLDERS) {
        Some(known) => format!("write `{{{{{known}}}}}`"),
        None => {
            "it knows `{{routing_key}}` and `{{exchange}}`, the message's own; `transform` sets a \
                 routing key from anything in a message"
                .to_owned()
        }
    };
    let found = target.section.diagnostic(Code::UnknownPlaceholder, "routing_key", message);
    Some(found.help(help))
}

/// Types of exchanges that are a slip of a known one: brokers tell `Topic` from `topic`.
fn kinds(pipeline: &Pipeline<'_>) -> Vec<Diagnostic> {
    let source = pipeline.declare.exchange.as_ref();
    let source = source.map(|one| (pipeline.section, "declare.exchange.type", &*one.kind));
    let targets = pipeline.targets.iter().filter_map(|target| {
        Some((target.section, "declare.type", &*target.declare.as_ref()?.kind))
    });
    let all = source.into_iter().chain(targets);
    all.filter(|(_, _, kind)| !KINDS.contains(kind) && !kind.starts_with("x-"))
        .filter_map(|(section, path, kind)| {
            let known = nearest(kind, KINDS)?;
            let message = format!("no exchange is of the type `{kind}`");
            let help = format!("write `{known}`; types are told by upper and lower case, too");
            Some(section.diagnostic(Code::BadSetting, path, message).help(help))
        })
        .collect()
}

fn shared(pipelines: &[Pipeline<'_>], found: &mut Vec<Diagnostic>) {
    let mut first: HashMap<(&str, &str), &Pipeline<'_>> = HashMap::new();
    for pipeline in pipelines {
        let key = (pipeline.broker.as_str(), pipeline.queue.as_str());
        let Some(other) = first.get(&key) else {
            first.insert(key, pipeline);
            continue;
        };
        let message = format!(
            "the pipeline `{}` takes from the queue `{}` too, so that each gets some of its messages",
            other.name, pipeline.queue
        );
        let help = "give each a queue of its own, bound to the same exchange";
        found.push(pipeline.section.diagnostic(Code::SharedQueue, "queue", message).help(help));
    }
}

fn loops(pipelines: &[Pipeline<'_>], declared: &Declared<'_>, found: &mut Vec<Diagnostic>) {
    for pipeline in pipelines {
        for target in &pipeline.targets {
            let what = match target.route {
                Some(route) => format!("what goes to the route `{route}`"),
                None => "a dead letter".to_owned(),
            };
            let over = if declared.arrives(pipeline, target, pipeline) {
                String::new()
            } else if let Some(other) =
                target.route.and_then(|_| way_back(pipelines, declared, pipeline, target))
            {
                format!(" over the pipeline `{other}`")
            } else {
                continue;
            };
            let message = format!(
                "{what} comes back to the pipeline's own source, the queue `{}`{over}",
                pipeline.queue
            );
            let help = "publish to another exchange or with another routing key, or bind the queue \
                        more narrowly; a loop that a stage ends is taken as meant";
            found.push(target.section.diagnostic(Code::Loop, "exchange", message).help(help));
        }
    }
}

/// The last pipeline on a way from `target` back to the source of `home`. Dead letters are no part of
/// it: a pipeline that mends them and puts them back is no mistake.
fn way_back<'a>(
    pipelines: &'a [Pipeline<'a>],
    declared: &Declared<'_>,
    home: &Pipeline<'_>,
    target: &Target<'_>,
) -> Option<&'a str> {
    let reached = |from: &Pipeline<'_>, target: &Target<'_>| -> Vec<usize> {
        let others = pipelines.iter().enumerate();
        others.filter(|(_, to)| declared.arrives(from, target, to)).map(|(n, _)| n).collect()
    };
    let mut next = reached(home, target);
    let mut seen: HashSet<usize> = HashSet::new();
    while let Some(n) = next.pop() {
        let Some(pipeline) = pipelines.get(n).filter(|_| seen.insert(n)) else { continue };
        for target in pipeline.targets.iter().filter(|target| target.route.is_some()) {
            if declared.arrives(pipeline, target, home) {
                return Some(pipeline.name);
            }
            next.extend(reached(pipeline, target));
        }
    }
    None
}

#[cfg(test)]
mod tests;
