//! Host settings: `lockgate.toml`, all of it optional.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::diagnostic::{Code, Diagnostic, has_errors};
use crate::load::{finish, read_file};
use crate::pipeline::version;
use crate::secret::{Secret, is_unescaped_url};
use crate::section::Section;
use crate::units::ByteSize;

/// What is not of one pipeline.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct HostSpec {
    pub admin: AdminSpec,
    /// Where compiled plugins are kept. A relative path starts from the file's folder; the daemon
    /// chooses where none is given.
    pub cache_dir: Option<PathBuf>,
    pub engine: EngineSpec,
    pub log: LogSpec,
    pub state: StateSpec,
}

/// `[engine]`: how plugins are run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EngineSpec {
    /// Bytes of address space that are reserved for each memory of a plugin, 64 KiB to 4 GiB, which
    /// is the default. With less, plugins are slower.
    pub memory_reservation: u64,
}

/// `[state]`: where plugins that were granted `kv` remember.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StateSpec {
    /// The folder of the embedded store. A relative path starts from the file's folder; the
    /// daemon chooses where none is given.
    pub dir: Option<PathBuf>,
    /// A Redis server that several hosts share, instead: `redis://` or `rediss://`.
    pub redis: Option<Secret>,
    /// Bytes of keys and values that one stage may keep: 64 MiB. Redis has limits of its own.
    pub quota: u64,
    /// Keys that one stage may keep: a million.
    pub keys: u64,
}

/// `[admin]`
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdminSpec {
    /// Where health, metrics and the API are served: 127.0.0.1:8642 by default. `"off"` is none.
    pub listen: Option<SocketAddr>,
    /// What requests must bear; always there if `listen` is not loopback. At least 16 bytes.
    pub token: Option<Secret>,
}

/// `[log]`
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogSpec {
    /// `error`, `warn`, `info` (default), `debug` or `trace`.
    pub level: &'static str,
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    #[default]
    Auto,
    Pretty,
    Json,
}

/// The name of the file that is read where no other is given.
const DEFAULT_FILE: &str = "lockgate.toml";
/// What a 32-bit memory can have, and one page of it.
const RESERVATION: std::ops::RangeInclusive<u64> = (64 << 10)..=(4 << 30);
/// The port that no well-known service uses.
const DEFAULT_PORT: u16 = 8642;
const TOKEN_MIN: usize = 16;

impl Default for AdminSpec {
    fn default() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT));
        Self { listen: Some(listen), token: None }
    }
}

impl Default for EngineSpec {
    fn default() -> Self {
        Self { memory_reservation: *RESERVATION.end() }
    }
}

impl Default for LogSpec {
    fn default() -> Self {
        Self { level: "info", format: LogFormat::Auto }
    }
}

impl Default for StateSpec {
    fn default() -> Self {
        Self { dir: None, redis: None, quota: 64 << 20, keys: 1_000_000 }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawHost {
    version: IgnoredAny,
    admin: RawAdmin,
    cache_dir: Option<PathBuf>,
    engine: RawEngine,
    log: RawLog,
    state: RawState,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawEngine {
    memory_reservation: Option<ByteSize>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawState {
    dir: Option<PathBuf>,
    redis: Option<Secret>,
    quota: Option<ByteSize>,
    keys: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawAdmin {
    listen: Option<String>,
    token: Option<Secret>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLog {
    level: RawLevel,
    format: LogFormat,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// Loads the host settings from `path`, which must then exist, or from `lockgate.toml` in the
/// working folder if it does. `None` if there is any error.
pub fn load_host(
    path: Option<&Path>,
    environment: &dyn Fn(&str) -> Option<String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<HostSpec> {
    let path = match path {
        Some(path) => path,
        None if Path::new(DEFAULT_FILE).exists() => Path::new(DEFAULT_FILE),
        None => return Some(HostSpec::default()),
    };
    let file = read_file(path, diagnostics)?;
    let mut found = Vec::new();
    let spec = Section::root(&file, environment, &mut found)
        .and_then(|section| parse(&section, &mut found))
        .filter(|_| !has_errors(&found));
    finish(&file, found, diagnostics);
    spec
}

fn parse(section: &Section, diagnostics: &mut Vec<Diagnostic>) -> Option<HostSpec> {
    if !version(section, diagnostics) {
        return None;
    }
    let raw: RawHost = section.read(diagnostics)?;
    let cache_dir = raw.cache_dir.map(|folder| section.file().folder().join(folder));
    let level = match raw.log.level {
        RawLevel::Error => "error",
        RawLevel::Warn => "warn",
        RawLevel::Info => "info",
        RawLevel::Debug => "debug",
        RawLevel::Trace => "trace",
    };
    let log = LogSpec { level, format: raw.log.format };
    let admin = admin(section, raw.admin, diagnostics);
    let state = state(section, raw.state, diagnostics);
    let engine = engine(section, &raw.engine, diagnostics);
    Some(HostSpec { admin, cache_dir, engine, log, state })
}

fn engine(section: &Section, raw: &RawEngine, diagnostics: &mut Vec<Diagnostic>) -> EngineSpec {
    let mut spec = EngineSpec::default();
    if let Some(ByteSize(given)) = raw.memory_reservation {
        spec.memory_reservation = given;
        if !RESERVATION.contains(&given) {
            let message = "a memory of a plugin has 64 KiB to 4 GiB";
            let found = section.diagnostic(Code::BadValue, "engine.memory_reservation", message);
            diagnostics.push(found.help("\"64MiB\" is what a plugin may use by default"));
        }
    }
    spec
}

fn state(section: &Section, raw: RawState, diagnostics: &mut Vec<Diagnostic>) -> StateSpec {
    let mut told = |code: Code, path: &str, message: &str, help: &str| {
        diagnostics.push(section.diagnostic(code, path, message).help(help));
    };
    if let Some(url) = &raw.redis {
        if is_unescaped_url(url.expose()) {
            let text = "a character of the user name or password ends it there";
            let help = "write `%40` for `@`, `%2F` for `/`, `%3F` for `?`, `%23` for `#`";
            told(Code::UnescapedUrl, "state.redis", text, help);
        } else if !["redis://", "rediss://"].iter().any(|scheme| url.expose().starts_with(scheme)) {
            let help = "write \"redis://host:6379/0\", or \"rediss://…\" for TLS";
            told(Code::BadValue, "state.redis", "this is not a URL of a Redis server", help);
        }
        let embedded = [
            ("state.dir", raw.dir.is_some()),
            ("state.quota", raw.quota.is_some()),
            ("state.keys", raw.keys.is_some()),
        ];
        for (path, _) in embedded.iter().filter(|(_, given)| *given) {
            let help = "take it out; the server's limit is its `maxmemory`";
            told(
                Code::BadValue,
                path,
                "this is of the embedded store, and `redis` takes its place",
                help,
            );
        }
    }
    if raw.quota == Some(ByteSize(0)) {
        told(
            Code::BadValue,
            "state.quota",
            "nothing could be kept",
            "write a size such as \"64MiB\"",
        );
    }
    if raw.keys == Some(0) {
        told(
            Code::BadValue,
            "state.keys",
            "nothing could be kept",
            "write a number such as 1000000",
        );
    }
    let defaults = StateSpec::default();
    StateSpec {
        dir: raw.dir.map(|folder| section.file().folder().join(folder)),
        redis: raw.redis,
        quota: raw.quota.map_or(defaults.quota, |quota| quota.0),
        keys: raw.keys.unwrap_or(defaults.keys),
    }
}

fn admin(section: &Section, raw: RawAdmin, diagnostics: &mut Vec<Diagnostic>) -> AdminSpec {
    let mut spec = AdminSpec { token: raw.token, ..AdminSpec::default() };
    match raw.listen.as_deref() {
        None => {}
        Some("off") => spec.listen = None,
        Some(text) => match text.parse::<SocketAddr>() {
            Ok(address) => spec.listen = Some(address),
            Err(_) => diagnostics.push(
                section
                    .diagnostic(
                        Code::BadValue,
                        "admin.listen",
                        "this is not an address with a port",
                    )
                    .help(format!(
                        "write \"127.0.0.1:{DEFAULT_PORT}\", \"[::1]:{DEFAULT_PORT}\" or \"off\""
                    )),
            ),
        },
    }
    if let Some(address) = spec.listen
        && !address.ip().is_loopback()
        && spec.token.is_none()
        && section.node().child("admin").is_none_or(|admin| admin.child("token").is_none())
    {
        let message = format!("{address} is not loopback, so the API needs a token");
        diagnostics.push(
            section
                .diagnostic(Code::TokenRequired, "admin.listen", message)
                .help("add `token = { secret_file = \"…\" }` to `[admin]`"),
        );
    }
    if spec.token.as_ref().is_some_and(|token| token.expose().len() < TOKEN_MIN) {
        let message = format!("the token is shorter than {TOKEN_MIN} bytes");
        diagnostics.push(
            section
                .diagnostic(Code::BadValue, "admin.token", message)
                .help("`openssl rand -hex 32` makes a good one"),
        );
    }
    spec
}
