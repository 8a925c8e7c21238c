//! Fault: what an error of the client means for the caller.

use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::{Error, ErrorKind};
use lockgate_transport::ConnectError;

use crate::guard::{Fate, GuardError};
use crate::settings::Endpoint;

/// Login failed. Refused credentials and a virtual host that is not there do not heal.
pub(crate) fn connect(endpoint: &Endpoint, error: &Error, fate: &Fate) -> ConnectError {
    if let Some(error) = fate.error() {
        let text = format!("{endpoint}: {error}");
        return match error {
            GuardError::NotAmqp(_) | GuardError::Tls(_) => ConnectError::Fatal(text),
            _ => ConnectError::Retry(text),
        };
    }
    let text = format!("{endpoint}: {error}");
    let ErrorKind::ProtocolError(amqp) = error.kind() else {
        return match error.kind() {
            ErrorKind::InvalidProtocolVersion(_) | ErrorKind::AuthProviderError(_) => {
                ConnectError::Fatal(text)
            }
            ErrorKind::ParsingError(_) => ConnectError::Fatal(format!(
                "{endpoint}: the peer does not speak AMQP; is it a TLS port (`amqps://`)?"
            )),
            _ => ConnectError::Retry(text),
        };
    };
    match amqp.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => ConnectError::Fatal(format!(
            "{endpoint}: the broker refuses user `{}`: {}",
            endpoint.uri.authority.userinfo.username,
            amqp.get_message()
        )),
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => ConnectError::Fatal(format!(
            "{endpoint}: virtual host `{}`: {}",
            endpoint.uri.vhost,
            amqp.get_message()
        )),
        _ => ConnectError::Retry(text),
    }
}

/// What became of a request on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not there.
    NotFound,
    /// It is there with other arguments.
    Different,
    /// The user may not.
    Forbidden,
    /// The broker knows no such thing, or does not allow it.
    Unsupported,
    /// Somebody else holds it, its node is away, the connection died: can heal.
    Passing,
}

pub(crate) fn refusal(error: &Error) -> Refusal {
    let ErrorKind::ProtocolError(amqp) = error.kind() else { return Refusal::Passing };
    let text = amqp.get_message().as_str();
    match amqp.kind() {
        // A queue whose node is down is reported as not found.
        _ if text.contains("is down or inaccessible") => Refusal::Passing,
        // So is a queue or consumer that another connection holds exclusively as forbidden:
        // our own last connection, perhaps, that the broker has not missed yet.
        _ if text.contains("exclusive") => Refusal::Passing,
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Refusal::NotFound,
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => Refusal::Different,
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Refusal::Forbidden,
        AMQPErrorKind::Hard(
            AMQPHardError::COMMANDINVALID
            | AMQPHardError::NOTIMPLEMENTED
            | AMQPHardError::NOTALLOWED,
        ) => Refusal::Unsupported,
        _ => Refusal::Passing,
    }
}

/// What the broker said, without the client's framing.
pub(crate) fn said(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(amqp) => amqp.get_message().to_string(),
        _ => error.to_string(),
    }
}
