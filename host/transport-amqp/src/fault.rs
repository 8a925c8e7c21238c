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
        // The name of the user may be one that was meant for a password.
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
            let file = endpoint
                .secret_file()
                .map(|file| format!("; `{}` is read again before each attempt", file.display()));
            ConnectError::Fatal(format!(
                "{endpoint}: login refused: {}{}",
                amqp.get_message(),
                file.unwrap_or_default()
            ))
        }
        // As many as the user or the virtual host may have; some may be those of a host that died.
        AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
            if amqp.get_message().as_str().ends_with("is reached") =>
        {
            ConnectError::Retry(text)
        }
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
    /// The user may publish to the exchange, but not with this routing key (topic permissions).
    Key,
    /// The queue is a stream, which knows no such consumer.
    Stream,
    /// The broker knows no such thing, or does not allow it.
    Unsupported,
    /// Somebody else holds it, its node is away, the connection died: can heal.
    Passing,
}

/// What only streams say (RabbitMQ 3.10 to 4.3).
const NO_PREFETCH: &str = "PRECONDITION_FAILED - consumer prefetch count is not set for ";

pub(crate) fn refusal(error: &Error) -> Refusal {
    let ErrorKind::ProtocolError(amqp) = error.kind() else { return Refusal::Passing };
    let text = amqp.get_message().as_str();
    match amqp.kind() {
        // A queue whose node is down is reported as not found.
        _ if text.ends_with("is down or inaccessible") => Refusal::Passing,
        // So is a queue that another consumer has for itself as forbidden: our own last one,
        // perhaps, that the broker has not missed yet. (Names stand before these words.)
        _ if text.ends_with("in exclusive use") => Refusal::Passing,
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Refusal::NotFound,
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)
            if text.ends_with("of queue type rabbit_stream_queue")
                || text.starts_with(NO_PREFETCH) =>
        {
            Refusal::Stream
        }
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => Refusal::Different,
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) if text.contains("access to topic '") => {
            Refusal::Key
        }
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

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;

    use super::*;
    use crate::settings::{Login, Secret};

    fn soft(kind: AMQPSoftError, text: &str) -> Error {
        ErrorKind::ProtocolError(AMQPError::new(kind.into(), text.into())).into()
    }

    fn hard(kind: AMQPHardError, text: &str) -> Error {
        ErrorKind::ProtocolError(AMQPError::new(kind.into(), text.into())).into()
    }

    /// The words are those of RabbitMQ 3.10 to 4.3; names in them say nothing.
    #[test]
    fn a_refusal_is_told_by_code_and_words() {
        use AMQPSoftError::{ACCESSREFUSED, NOTFOUND, PRECONDITIONFAILED, RESOURCELOCKED};
        for (kind, text, expected) in [
            (NOTFOUND, "NOT_FOUND - no queue 'in exclusive use' in vhost '/'", Refusal::NotFound),
            (
                NOTFOUND,
                "NOT_FOUND - queue 'q' in vhost '/' process is stopped by supervisor",
                Refusal::NotFound,
            ),
            (
                NOTFOUND,
                "NOT_FOUND - home node 'rabbit@b' of durable queue 'q' in vhost '/' is down or \
                 inaccessible",
                Refusal::Passing,
            ),
            (
                ACCESSREFUSED,
                "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use",
                Refusal::Passing,
            ),
            (
                RESOURCELOCKED,
                "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'",
                Refusal::Passing,
            ),
            (
                ACCESSREFUSED,
                "ACCESS_REFUSED - access to queue 'exclusive' in vhost '/' refused for user 'u'",
                Refusal::Forbidden,
            ),
            (
                ACCESSREFUSED,
                "ACCESS_REFUSED - access to topic 'k' in exchange 'x' in vhost '/' refused for \
                 user 'u'",
                Refusal::Key,
            ),
            (
                ACCESSREFUSED,
                "ACCESS_REFUSED - write access to topic 'k' in exchange 'x' in vhost '/' refused \
                 for user 'u'",
                Refusal::Key,
            ),
            (
                PRECONDITIONFAILED,
                "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/'",
                Refusal::Different,
            ),
            (
                PRECONDITIONFAILED,
                "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 's' in vhost '/' of \
                 queue type rabbit_stream_queue",
                Refusal::Stream,
            ),
            (
                PRECONDITIONFAILED,
                "PRECONDITION_FAILED - consumer prefetch count is not set for 'queue 's' in vhost \
                 '/''",
                Refusal::Stream,
            ),
            (
                PRECONDITIONFAILED,
                "PRECONDITION_FAILED - consumer prefetch count is not set for stream queue 's' in \
                 vhost '/'",
                Refusal::Stream,
            ),
            (
                PRECONDITIONFAILED,
                "PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue 'q' in vhost '/' \
                 of queue type rabbit_quorum_queue",
                Refusal::Different,
            ),
        ] {
            assert_eq!(refusal(&soft(kind, text)), expected, "{text}");
        }
    }

    #[test]
    fn a_limit_of_connections_heals_and_a_missing_virtual_host_does_not() {
        let url = Secret::new("amqp://u:secret@localhost/v");
        let login = Login {
            url: &url,
            username: None,
            password: None,
            auth_mechanism: None,
            tls: None,
            heartbeat: 10,
            connection_name: None,
        };
        let endpoint = Endpoint::new(login).unwrap();
        let connect = |text| {
            let error = hard(AMQPHardError::NOTALLOWED, text);
            connect(&endpoint, &error, &Fate::default())
        };
        for text in [
            "NOT_ALLOWED - access to vhost 'v' refused for user 'u': connection limit (5) is reached",
            "NOT_ALLOWED - connection refused for user 'u': user connection limit (5) is reached",
        ] {
            assert!(matches!(connect(text), ConnectError::Retry(_)), "{text}");
        }
        let missing = connect("NOT_ALLOWED - vhost v not found");
        assert!(matches!(&missing, ConnectError::Fatal(text) if !text.contains("secret")));
    }
}
