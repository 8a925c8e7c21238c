//! Reads one `[[stage]]`.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use super::delivery::{RawPolicy, policy};
use super::{endpoint, missing, required_name, within};
use crate::diagnostic::{Code, Diagnostic};
use crate::load::Context;
use crate::section::{Section, to_json};
use crate::spec::{
    Capability, Isolation, LimitsSpec, OnError, PluginRef, RetryPolicy, Settings, StageSpec,
};
use crate::suggest::way_out;
use crate::units::{ByteSize, Time};

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawStage {
    name: Option<String>,
    plugin: Option<String>,
    sha256: Option<String>,
    config: IgnoredAny,
    grant: Vec<Capability>,
    limits: RawLimits,
    isolation: Isolation,
    on_error: OnError,
    retry: RawPolicy,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLimits {
    time: Option<Time>,
    memory: Option<ByteSize>,
    output: Option<ByteSize>,
    emitted: Option<u32>,
    log_lines: Option<u32>,
    module: Option<ByteSize>,
}

/// Reads a stage; `None` where not even its name and plugin are known. `retry` is the pipeline's.
pub(super) fn parse(
    section: Section,
    context: &Context<'_>,
    retry: RetryPolicy,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<StageSpec> {
    if !endpoint::is_table(&section, "a stage, a table", diagnostics) {
        return None;
    }
    let raw: RawStage = section.read(diagnostics).unwrap_or_default();
    let name = required_name(&section, raw.name, diagnostics);
    let plugin = match raw.plugin {
        Some(text) => plugin(&section, &text, context, diagnostics),
        None => {
            if section.node().child("plugin").is_none() {
                diagnostics.push(missing(&section, "plugin"));
            }
            None
        }
    };
    let sha256 = raw.sha256.and_then(|text| digest(&section, &text, &plugin, diagnostics));
    let config = config(&section, diagnostics);
    let limits = limits(&section, &raw.limits, diagnostics);
    let mut grant: Vec<Capability> = Vec::new();
    for one in raw.grant {
        if !grant.contains(&one) {
            grant.push(one);
        }
    }
    Some(StageSpec {
        name: name?,
        plugin: plugin?,
        sha256,
        config,
        grant,
        limits,
        isolation: raw.isolation,
        on_error: raw.on_error,
        retry: policy(&section, &raw.retry, retry, diagnostics),
        section,
    })
}

/// A path has a `/` in it or ends in `.wasm`; all else is the name of a shipped plugin.
fn plugin(
    section: &Section,
    text: &str,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<PluginRef> {
    if text.contains('/') || text.ends_with(".wasm") {
        let path = section.file().folder().join(Path::new(text));
        let problem = match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => return Some(PluginRef::File(path)),
            Ok(_) => "it is not a regular file".to_owned(),
            Err(error) => error.to_string(),
        };
        let message = format!("the plugin file `{}` cannot be read: {problem}", path.display());
        diagnostics.push(
            section
                .diagnostic(Code::MissingPlugin, "plugin", message)
                .help("the path starts from the folder of the pipeline file"),
        );
        return None;
    }
    if context.plugins.contains(&text) {
        return Some(PluginRef::Shipped(text.to_owned()));
    }
    let message = format!("there is no shipped plugin `{text}`");
    let way_out = way_out(text, context.plugins.iter().copied());
    diagnostics.push(
        section.diagnostic(Code::UnknownPlugin, "plugin", message).help(format!(
            "{way_out} (a plugin of your own is given by its path: `./{text}.wasm`)"
        )),
    );
    None
}

fn digest(
    section: &Section,
    text: &str,
    plugin: &Option<PluginRef>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<[u8; 32]> {
    let (problem, help) = match (hex(text), plugin) {
        (Some(_), Some(PluginRef::Shipped(_))) => (
            "a shipped plugin cannot be pinned: it is part of the daemon",
            "leave `sha256` out, or name a file",
        ),
        (Some(digest), _) => return Some(digest),
        (None, _) => (
            "a SHA-256 digest is 64 hexadecimal digits",
            "`sha256sum FILE` prints the digest of a plugin's file",
        ),
    };
    diagnostics.push(section.diagnostic(Code::BadDigest, "sha256", problem).help(help));
    None
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(digest)
}

fn config(section: &Section, diagnostics: &mut Vec<Diagnostic>) -> Settings {
    let empty = Settings(Json::Object(serde_json::Map::new()));
    let Some(config) = section.child("config") else { return empty };
    if !endpoint::is_table(&config, "the plugin's settings, a table", diagnostics) {
        return empty;
    }
    Settings(to_json(&config, diagnostics))
}

fn limits(section: &Section, raw: &RawLimits, diagnostics: &mut Vec<Diagnostic>) -> LimitsSpec {
    let mut spec = LimitsSpec::default();
    let mut time = Time(spec.time);
    let times = Time(Duration::from_millis(1))..=Time(Duration::from_secs(60));
    within(section, "limits.time", raw.time, times, &mut time, diagnostics);
    spec.time = time.0;
    let sizes = [
        ("limits.memory", raw.memory, 64 << 10, 4 << 30, &mut spec.memory),
        ("limits.output", raw.output, 1 << 10, 64 << 20, &mut spec.output),
        ("limits.module", raw.module, 1, 256 << 20, &mut spec.module),
    ];
    for (path, given, min, max, target) in sizes {
        let mut size = ByteSize(*target);
        within(section, path, given, ByteSize(min)..=ByteSize(max), &mut size, diagnostics);
        *target = size.0;
    }
    within(section, "limits.emitted", raw.emitted, 1..=1_000, &mut spec.emitted, diagnostics);
    within(
        section,
        "limits.log_lines",
        raw.log_lines,
        0..=10_000,
        &mut spec.log_lines,
        diagnostics,
    );
    spec
}
