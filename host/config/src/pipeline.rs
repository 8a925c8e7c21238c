//! Pipeline: one file's sections into a [`PipelineSpec`], reporting everything that is wrong.

mod delivery;
mod endpoint;
mod stage;

use std::collections::HashMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;

use self::endpoint::Direction;
use crate::diagnostic::{Code, Diagnostic, has_errors};
use crate::document::Value;
use crate::file::SourceFile;
use crate::load::Context;
use crate::section::Section;
use crate::spec::{BatchSpec, Endpoint, PipelineSpec, RetryPolicy, RouteSpec, StageSpec};

/// The version of the file format that this crate reads.
const VERSION: i64 = 1;
const NAME_MAX: usize = 64;
const STAGES_MAX: usize = 64;
const ROUTES_MAX: usize = 256;
const DESCRIPTION_MAX: usize = 4096;

/// The top of a file. Tables with a reader of their own are left for it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPipeline {
    version: IgnoredAny,
    name: Option<String>,
    description: Option<String>,
    source: IgnoredAny,
    delivery: IgnoredAny,
    batch: RawBatch,
    lanes: Option<usize>,
    stage: IgnoredAny,
    route: IgnoredAny,
    dead_letter: IgnoredAny,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawBatch {
    max: Option<usize>,
}

/// Judges one file; a spec comes back only if there is no error.
pub(crate) fn parse(
    file: &Arc<SourceFile>,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<PipelineSpec> {
    let section = Section::root(file, context.environment, diagnostics)?;
    if !version(&section, diagnostics) {
        return None;
    }
    let raw: RawPipeline = section.read(diagnostics).unwrap_or_default();
    let name = required_name(&section, raw.name, diagnostics);
    if let Some(text) = &raw.description
        && text.len() > DESCRIPTION_MAX
    {
        let message = format!("the description is longer than {DESCRIPTION_MAX} bytes");
        diagnostics.push(section.diagnostic(Code::BadValue, "description", message));
    }
    let mut batch = BatchSpec::default();
    within(&section, "batch.max", raw.batch.max, 1..=1024, &mut batch.max, diagnostics);
    let mut lanes = 0;
    within(&section, "lanes", raw.lanes, 1..=256, &mut lanes, diagnostics);

    let source = source(&section, context, diagnostics);
    let delivery = delivery::parse(&section, diagnostics);
    let stages = stages(&section, context, delivery.retry.policy, diagnostics);
    let routes = routes(&section, context, diagnostics);
    let dead_letter = dead_letter(&section, context, diagnostics);
    if has_errors(diagnostics) {
        return None;
    }
    Some(PipelineSpec {
        name: name?,
        description: raw.description,
        file: file.path().to_owned(),
        source: source?,
        delivery,
        batch,
        lanes: raw.lanes,
        stages,
        routes,
        dead_letter,
        section,
    })
}

/// Reads the version before all else: of another version nothing else can be judged.
pub(crate) fn version(section: &Section, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let given = section.node().child("version").map(|node| &node.value);
    let message = match given {
        Some(Value::Integer(VERSION)) => return true,
        Some(Value::Integer(other)) => format!("version {other} is not one that is read here"),
        Some(_) => "the version is not a number".to_owned(),
        None => "the file does not say its version".to_owned(),
    };
    // At the version, or at the top of the file.
    let diagnostic = match given {
        Some(_) => section.diagnostic(Code::BadVersion, "version", message),
        None => Diagnostic::new(Code::BadVersion, message).at(section.place_of(0..0)),
    };
    diagnostics.push(diagnostic.help(format!("write `version = {VERSION}` at the top")));
    false
}

fn source(
    root: &Section,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Endpoint> {
    match root.child("source") {
        Some(section) => endpoint::parse(&section, Direction::Source, context, diagnostics),
        None => {
            let kinds = context.transports.iter().filter(|one| one.source.is_some());
            let example = kinds.map(|one| one.kind).next().unwrap_or("amqp");
            diagnostics.push(
                Diagnostic::new(Code::NoSource, "the pipeline has no source")
                    .at(root.place_of(0..0))
                    .help(format!("say where messages come from: `[source.{example}]`")),
            );
            None
        }
    }
}

fn dead_letter(
    root: &Section,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Endpoint> {
    match root.child("dead_letter") {
        Some(section) => endpoint::parse(&section, Direction::Target, context, diagnostics),
        None => {
            diagnostics.push(
                root.diagnostic(Code::NoDeadLetter, "name", "there is no dead-letter target")
                    .help("say where messages go that are given up: `[dead_letter]`"),
            );
            None
        }
    }
}

fn stages(
    root: &Section,
    context: &Context<'_>,
    retry: RetryPolicy,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<StageSpec> {
    let Some(list) = root.child("stage") else { return Vec::new() };
    let count = match &list.node().value {
        Value::Array(elements) => elements.len(),
        Value::Broken => return Vec::new(),
        _ => {
            diagnostics.push(
                list.diagnostic(Code::WrongType, "", "expected a list of stages")
                    .help("write `[[stage]]` with two brackets, once for each stage"),
            );
            return Vec::new();
        }
    };
    if count > STAGES_MAX {
        let message = format!("there are {count} stages; {STAGES_MAX} is the limit");
        diagnostics.push(list.diagnostic(Code::TooMany, &STAGES_MAX.to_string(), message));
        return Vec::new();
    }
    let mut stages = Vec::with_capacity(count);
    let mut names: HashMap<String, usize> = HashMap::new();
    for index in 0..count {
        let Some(section) = list.child(&index.to_string()) else { continue };
        let Some(stage) = stage::parse(section, context, retry, diagnostics) else { continue };
        if let Some(first) = names.insert(stage.name.clone(), index) {
            let message = format!("there are two stages named `{}`", stage.name);
            let first = list.place(&format!("{first}.name"));
            diagnostics.push(
                stage
                    .section
                    .diagnostic(Code::DuplicateName, "name", message)
                    .help(format!("the other one is at {first}")),
            );
        }
        stages.push(stage);
    }
    stages
}

fn routes(
    root: &Section,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<RouteSpec> {
    let Some(table) = root.child("route") else { return Vec::new() };
    if !endpoint::is_table(&table, "a table of routes, as in `[route.default]`", diagnostics) {
        return Vec::new();
    }
    let count = table.keys().count();
    if count > ROUTES_MAX {
        let message = format!("there are {count} routes; {ROUTES_MAX} is the limit");
        diagnostics.push(table.diagnostic(Code::TooMany, "", message));
        return Vec::new();
    }
    let mut routes = Vec::with_capacity(count);
    for entry in table.node().entries() {
        let place = table.place_of(entry.key_span.clone());
        if let Some(problem) = name_problem(&entry.key) {
            diagnostics.push(bad_name(&entry.key, problem).at(place.clone()));
        }
        let Some(section) = table.child(&entry.key) else { continue };
        let target = endpoint::parse(&section, Direction::Target, context, diagnostics);
        routes.extend(target.map(|target| RouteSpec { name: entry.key.clone(), target, place }));
    }
    routes
}

/// Takes the `name` of a table, which must be there and be a good one.
fn required_name(
    section: &Section,
    name: Option<String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<String> {
    let Some(name) = name else {
        // What is there and is no string has been reported as that.
        if section.node().child("name").is_none() {
            diagnostics.push(missing(section, "name"));
        }
        return None;
    };
    if let Some(problem) = name_problem(&name) {
        diagnostics.push(bad_name(&name, problem).at(section.place("name")));
    }
    Some(name)
}

fn missing(section: &Section, key: &str) -> Diagnostic {
    let message = format!("the key `{key}` is missing in {}", section.title());
    let diagnostic = Diagnostic::new(Code::MissingKey, message).help(format!("add `{key} = …`"));
    diagnostic.at(section.place(""))
}

fn name_problem(name: &str) -> Option<&'static str> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > NAME_MAX {
        Some("it is longer than 64 bytes")
    } else if !name.chars().all(valid) {
        Some("it has other characters than a-z, 0-9, `-` and `_`")
    } else {
        None
    }
}

fn bad_name(name: &str, problem: &str) -> Diagnostic {
    let shown: String = name.chars().take(NAME_MAX).collect();
    let slug: String = shown
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
        .take(NAME_MAX)
        .collect();
    let slug = if slug.is_empty() { "orders" } else { slug.as_str() };
    Diagnostic::new(Code::BadName, format!("`{shown}` cannot be a name: {problem}"))
        .help(format!("write for example `{slug}`"))
}

/// Puts `given` into `target` if it is within `range`, else reports it; leaves the default where
/// nothing is given.
fn within<T: PartialOrd + Display + Copy>(
    section: &Section,
    path: &str,
    given: Option<T>,
    range: RangeInclusive<T>,
    target: &mut T,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match given {
        Some(value) if range.contains(&value) => *target = value,
        Some(value) => {
            let (min, max) = (range.start(), range.end());
            let message = format!("{value} is not between {min} and {max}");
            diagnostics.push(section.diagnostic(Code::BadValue, path, message));
        }
        None => {}
    }
}
