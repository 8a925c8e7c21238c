//! Endpoint: where to connect and as whom, from a URL and the keys beside it.

use std::fmt;
use std::path::{Path, PathBuf};

use lapin::uri::{AMQPScheme, AMQPUri, SASLMechanism};
use lockgate_transport::declare::ErrorKind;
use rustls::pki_types::ServerName;
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
    /// The name that the broker's certificate must have, where it is not the URL's host.
    pub server_name: Option<String>,
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
    /// What it was made of, where some of that is in a secret file.
    renewal: Option<Box<Renewal>>,
}

/// The keys of a [`Login`] whose secrets may change.
#[derive(Clone, PartialEq, Eq)]
struct Renewal {
    url: Secret,
    username: Option<String>,
    password: Option<Secret>,
    auth_mechanism: Option<String>,
    tls: Option<TlsSettings>,
    heartbeat: u16,
    connection_name: Option<String>,
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
            Some(first) if errors.is_empty() => {
                Ok(Self { others: hosts.collect(), renewal: Renewal::of(login), ..first })
            }
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
        let mut uri = parse(url).unwrap_or_else(|(kind, message)| {
            errors.push(SettingsError::new("url", message).of_kind(kind));
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
            Ok(Self { uri, tls, name, others: Vec::new(), renewal: None })
        } else {
            Err(errors)
        }
    }

    /// The same with what its secret files hold now. What cannot be read, or is no URL any more, is
    /// as it was: the broker will say whether that is still good.
    pub(crate) fn renewed(&self) -> Self {
        let Some(was) = &self.renewal else { return self.clone() };
        let (url, password) = (was.url.renewed(), was.password.as_ref().map(Secret::renewed));
        let login = Login {
            url: &url,
            username: was.username.as_deref(),
            password: password.as_ref(),
            auth_mechanism: was.auth_mechanism.as_deref(),
            tls: was.tls.as_ref(),
            heartbeat: was.heartbeat,
            connection_name: was.connection_name.as_deref(),
        };
        Self::new(login).unwrap_or_else(|errors| {
            let error = errors.first().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(broker = %self, error, "the secret file holds nothing of use now");
            self.clone()
        })
    }

    /// The file that the login's secret comes from.
    pub(crate) fn secret_file(&self) -> Option<&Path> {
        let renewal = self.renewal.as_ref()?;
        renewal.password.as_ref().unwrap_or(&renewal.url).file()
    }
}

impl Renewal {
    fn of(login: Login<'_>) -> Option<Box<Self>> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let secrets = [Some(login.url), login.password];
        secrets.into_iter().flatten().any(|secret| secret.file().is_some()).then(|| {
            Box::new(Self {
                url: login.url.clone(),
                username: owned(login.username),
                password: login.password.cloned(),
                auth_mechanism: owned(login.auth_mechanism),
                tls: login.tls.cloned(),
                heartbeat: login.heartbeat,
                connection_name: owned(login.connection_name),
            })
        })
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
    if let Some(name) = &tls.server_name
        && ServerName::try_from(name.as_str()).is_err()
    {
        errors.push(SettingsError::new("tls.server_name", "is not a host name or an address"));
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

/// Whether something before the last `@` ends the authority of a URL, so that a part of the
/// password would be taken for the host, and shown; or there are two `@`, and nobody knows which.
fn is_unescaped(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let userinfo = rest.rsplit_once('@').map_or("", |(before, _)| before);
    userinfo.contains(['@', '/', '?', '#'])
}

/// Parses and normalises; the error never shows the URL, which may hold a password.
fn parse(url: &str) -> Result<AMQPUri, (ErrorKind, String)> {
    if is_unescaped(url) {
        let text = "a character of the user name or password ends it there; write `%40` for `@`, \
                    `%2F` for `/`, `%3F` for `?`, `%23` for `#`, or leave it out of the URL and set \
                    `password`";
        return Err((ErrorKind::Unescaped, text.to_owned()));
    }
    let wrong = |text: String| (ErrorKind::Setting, text);
    let mut uri: AMQPUri = url.parse().map_err(|error: String| {
        // Some of the parser's messages quote the URL, or what they take for its scheme.
        let known = url.starts_with("amqp://") || url.starts_with("amqps://");
        let detail = if !known || error.contains(url) { "not a URL of a broker" } else { &error };
        wrong(format!("{detail}; expected amqp://user:password@host:port/vhost"))
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
        let text = "several hosts are several whole URLs: [\"amqp://a/\", \"amqp://b/\"]";
        return Err(wrong(text.to_owned()));
    }
    let too_long = |text: &str| text.len() > SHORT_STRING_MAX;
    if too_long(&uri.vhost) || too_long(&uri.authority.host) {
        return Err(wrong(format!("host or virtual host is longer than {SHORT_STRING_MAX} bytes")));
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
