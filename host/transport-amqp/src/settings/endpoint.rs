//! Endpoint: where to connect and as whom, from a URL and the keys beside it.

use std::fmt;
use std::path::PathBuf;

use lapin::uri::{AMQPScheme, AMQPUri, SASLMechanism};
use serde::Deserialize;

use super::{HEARTBEAT_MAX, SHORT_STRING_MAX, Secret, SettingsError};
use crate::guard::FRAME_MAX;

/// Smallest frame size every peer must take (AMQP 0-9-1, 1.2, `frame-min-size`).
const FRAME_MIN: u32 = 4096;

/// Files for TLS, PEM. Read at every connect, so that renewed ones are found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate chain and key, both or neither.
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

/// The keys that make an [`Endpoint`].
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    pub url: &'a Secret,
    pub username: Option<&'a str>,
    pub password: Option<&'a Secret>,
    pub auth_mechanism: Option<&'a str>,
    pub tls: Option<&'a TlsSettings>,
    pub heartbeat: u16,
    pub connection_name: Option<&'a str>,
}

/// A broker and a virtual host of it, and how to log in. Prints without credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub(crate) uri: AMQPUri,
    /// Set for `amqps`.
    pub(crate) tls: Option<TlsSettings>,
    pub(crate) name: String,
    /// Other hosts of the same broker, in the order in which they are tried after this one.
    others: Vec<Endpoint>,
}

impl Endpoint {
    /// Checks and joins.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn new(login: Login<'_>) -> Result<Self, Vec<SettingsError>> {
        let (mut hosts, mut errors) = (Vec::new(), Vec::new());
        for url in hosts_of(login.url.expose()) {
            match Self::one(login, url) {
                Ok(host) => hosts.push(host),
                Err(wrong) => errors.extend(wrong),
            }
        }
        errors.dedup_by(|a, b| a.path == b.path && a.message == b.message);
        let mut hosts = hosts.into_iter();
        match hosts.next() {
            Some(first) if errors.is_empty() => Ok(Self { others: hosts.collect(), ..first }),
            _ => Err(errors),
        }
    }

    /// Each host of it, as an endpoint of its own.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = Self> {
        let first = Self { others: Vec::new(), ..self.clone() };
        std::iter::once(first).chain(self.others.iter().cloned())
    }

    fn one(login: Login<'_>, url: &str) -> Result<Self, Vec<SettingsError>> {
        let mut errors = Vec::new();
        let mut uri = parse(url).unwrap_or_else(|message| {
            errors.push(SettingsError::new("url", message));
            AMQPUri::default()
        });
        if let Some(username) = login.username {
            username.clone_into(&mut uri.authority.userinfo.username);
        }
        if let Some(password) = login.password {
            password.expose().clone_into(&mut uri.authority.userinfo.password);
        }
        let (path, heartbeat) = match uri.query.heartbeat {
            Some(heartbeat) => ("url", heartbeat),
            None => ("heartbeat", login.heartbeat),
        };
        if heartbeat == 0 || heartbeat > HEARTBEAT_MAX {
            errors.push(SettingsError::new(
                path,
                format!(
                    "heartbeat: give 1 to {HEARTBEAT_MAX} seconds; without it a dead broker is \
                     not seen"
                ),
            ));
        }
        uri.query.heartbeat = Some(heartbeat);
        let frame_max = uri.query.frame_max.unwrap_or(FRAME_MAX).clamp(FRAME_MIN, FRAME_MAX);
        uri.query.frame_max = Some(frame_max);
        match login.auth_mechanism.map(str::parse::<SASLMechanism>) {
            None => {}
            Some(Ok(mechanism)) => uri.query.auth_mechanism = Some(mechanism),
            Some(Err(_)) => {
                errors.push(SettingsError::new("auth_mechanism", "give `plain` or `external`"));
            }
        }
        let tls = tls(&uri, login.tls, &mut errors);
        let name = login.connection_name.unwrap_or("lockgate").to_owned();
        if name.len() > SHORT_STRING_MAX {
            errors.push(SettingsError::new(
                "connection_name",
                format!("is longer than {SHORT_STRING_MAX} bytes"),
            ));
        }
        if errors.is_empty() {
            Ok(Self { uri, tls, name, others: Vec::new() })
        } else {
            Err(errors)
        }
    }
}

/// The TLS files of an encrypted endpoint, and what is wrong with them.
fn tls(
    uri: &AMQPUri,
    settings: Option<&TlsSettings>,
    errors: &mut Vec<SettingsError>,
) -> Option<TlsSettings> {
    let encrypted = uri.scheme == AMQPScheme::AMQPS;
    let tls = settings.cloned().unwrap_or_default();
    if settings.is_some() && !encrypted && errors.is_empty() {
        errors.push(SettingsError::new("tls", "the URL is `amqp://`; TLS needs `amqps://`"));
    }
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        let missing = if tls.cert_file.is_some() { "tls.key_file" } else { "tls.cert_file" };
        errors.push(SettingsError::new(missing, "certificate and key come together"));
    }
    let external = uri.query.auth_mechanism == Some(SASLMechanism::External);
    if external && tls.cert_file.is_none() {
        errors.push(SettingsError::new(
            "auth_mechanism",
            "`external` needs a client certificate: `tls = { cert_file, key_file }`",
        ));
    }
    encrypted.then_some(tls)
}

/// The URLs in a text that has them with commas between. A password may have a comma too, so only one
/// before a scheme counts.
fn hosts_of(urls: &str) -> Vec<&str> {
    let mut hosts = Vec::new();
    let mut rest = urls;
    let next = |rest: &str| {
        let mut commas = rest.match_indices(',').map(|(at, _)| at);
        commas.find(|at| {
            let url = rest.get(at + 1..).unwrap_or_default().trim_start();
            let scheme = url.split_once("://").map(|(scheme, _)| scheme);
            scheme.is_some_and(|scheme| scheme.bytes().all(|byte| byte.is_ascii_alphabetic()))
        })
    };
    while let Some(at) = next(rest) {
        let (host, more) = rest.split_at(at);
        hosts.push(host.trim());
        rest = more.get(1..).unwrap_or_default();
    }
    // A lone one as it is, for its error to be about that.
    hosts.push(if hosts.is_empty() { rest } else { rest.trim() });
    hosts
}

/// Parses and normalises; the error never shows the URL, which may hold a password.
fn parse(url: &str) -> Result<AMQPUri, String> {
    let mut uri: AMQPUri = url.parse().map_err(|error: String| {
        // One of the parser's messages quotes the whole URL.
        let detail = if error.contains(url) || url.is_empty() { "not a URL" } else { &error };
        format!("{detail}; expected amqp://user:password@host:port/vhost")
    })?;
    // The parser takes a lone `/` for the virtual host with the empty name. pika, Go and Java
    // take it for the default one, and that is what people mean.
    if uri.vhost.is_empty() {
        uri.vhost = "/".to_owned();
    }
    // It also knows no IPv6 addresses and says localhost instead.
    if let Some(address) = ipv6(url) {
        uri.authority.host = address.to_owned();
    }
    if uri.authority.host.contains(',') {
        return Err(
            "several hosts are several whole URLs: [\"amqp://a/\", \"amqp://b/\"]".to_owned()
        );
    }
    let too_long = |text: &str| text.len() > SHORT_STRING_MAX;
    if too_long(&uri.vhost) || too_long(&uri.authority.host) {
        return Err(format!("host or virtual host is longer than {SHORT_STRING_MAX} bytes"));
    }
    Ok(uri)
}

/// The address between the brackets of the URL's authority.
fn ipv6(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.strip_prefix('[')?.split_once(']').map(|(address, _)| address)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { scheme, authority, vhost, .. } = &self.uri;
        let (host, port) = (&authority.host, authority.port);
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")?;
        } else {
            write!(f, "{scheme}://{host}:{port}")?;
        }
        if vhost != "/" {
            write!(f, "/{vhost}")?;
        }
        self.others.iter().try_for_each(|other| write!(f, ", {other}"))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}
