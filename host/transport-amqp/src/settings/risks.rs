//! Risks: settings with which a broker may lose messages whatever we do.

use lockgate_transport::declare::{Argument, Arguments, SettingsError};

use super::{RouteSettings, SourceSettings};
use crate::topology::Nature;

impl SourceSettings {
    /// What may lose messages at the source; each with the way out.
    pub fn risks(&self) -> Vec<SettingsError> {
        let mut risks = Vec::new();
        if let Some(queue) = self.declare.as_ref().and_then(|declare| declare.queue.as_ref()) {
            let (path, arguments) = ("declare.queue", &queue.arguments);
            judge_queue(&mut risks, path, queue.durable, arguments);
        }
        risks
    }
}

impl SourceSettings {
    /// What a host that dies again and again may lose at a quorum queue that the file declares; with
    /// the way out.
    pub fn crash_risk(&self) -> Option<SettingsError> {
        let risk = Nature::declared(&self.declared()?.arguments)?.risk()?;
        Some(SettingsError::new("declare.queue.arguments", risk))
    }

    /// Whether the broker keeps a second consumer away.
    pub fn is_alone(&self) -> bool {
        let queue = self.declare.as_ref().and_then(|declare| declare.queue.as_ref());
        let single = queue.and_then(|queue| queue.arguments.0.get("x-single-active-consumer"));
        self.exclusive || single == Some(&Argument::Bool(true))
    }
}

impl RouteSettings {
    /// What may lose messages at the target; each with the way out.
    pub fn risks(&self) -> Vec<SettingsError> {
        let mut risks = Vec::new();
        let mut risk = |path: &str, text: &str| risks.push(SettingsError::new(path, text));
        if !self.mandatory && !self.hands_on_later() {
            let text = "the broker drops what no queue takes; leave `mandatory` true, which is not \
                        asked for at exchanges that hand on later, as `x-delayed-message` does";
            risk("mandatory", text);
        }
        if !self.persistent {
            risk(
                "persistent",
                "messages that are not persistent are gone after a restart of the broker; leave \
                 `persistent` true",
            );
        }
        if let Some(declare) = &self.declare {
            if !declare.durable {
                let text = "the exchange and its bindings are gone after a restart of the broker; \
                            leave `durable` true";
                risk("declare.durable", text);
            }
            if declare.auto_delete {
                let text = "the broker deletes the exchange when its last queue is unbound; leave \
                            `auto_delete` false";
                risk("declare.auto_delete", text);
            }
            for (n, queue) in declare.queues.iter().enumerate() {
                let path = format!("declare.queues[{n}]");
                judge_queue(&mut risks, &path, queue.durable, &queue.arguments);
            }
        }
        risks
    }
}

fn judge_queue(risks: &mut Vec<SettingsError>, path: &str, durable: bool, arguments: &Arguments) {
    let mut risk = |key: &str, text: &str| {
        risks.push(SettingsError::new(format!("{path}.{key}"), text));
    };
    if !durable {
        risk("durable", "the queue is gone after a restart of the broker; leave `durable` true");
    }
    let text = |key: &str| match arguments.0.get(key) {
        Some(Argument::Text(text)) => text.as_str(),
        _ => "",
    };
    let limited = ["x-max-length", "x-max-length-bytes"];
    let limit = limited.into_iter().find(|key| arguments.0.contains_key(*key));
    let refuses = text("x-overflow").starts_with("reject-publish");
    if let Some(key) = limit.filter(|_| !refuses && text("x-dead-letter-exchange").is_empty()) {
        let way_out = "when it is full the broker drops its oldest message; set x-overflow to \
                       \"reject-publish\", or x-dead-letter-exchange";
        risk(&format!("arguments.{key}"), way_out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(risks: &[SettingsError], expected: &[&str]) {
        let paths: Vec<_> = risks.iter().map(|risk| &*risk.path).collect();
        assert_eq!(paths, expected, "{risks:?}");
    }

    #[test]
    fn queues_that_lose_are_named() {
        for (queue, expected) in [
            ("", &[][..]),
            ("durable = false", &["declare.queue.durable"]),
            ("arguments = { x-max-length = 5 }", &["declare.queue.arguments.x-max-length"]),
            ("arguments = { x-max-length = 5, x-overflow = 'reject-publish' }", &[]),
            ("arguments = { x-max-length-bytes = 5, x-dead-letter-exchange = 'd' }", &[]),
        ] {
            let text = format!("url = 'amqp://h'\nqueue = 'q'\n[declare.queue]\n{queue}");
            check(&toml::from_str::<SourceSettings>(&text).unwrap().risks(), expected);
        }
    }

    #[test]
    fn quorum_queues_that_drop_after_crashes_are_named() {
        for (arguments, expected) in [
            ("", None),
            ("x-queue-type = 'classic', x-delivery-limit = 5", None),
            ("x-queue-type = 'quorum'", Some("from RabbitMQ 4 on")),
            ("x-queue-type = 'quorum', x-delivery-limit = 5", Some("5 failed deliveries")),
            ("x-queue-type = 'quorum', x-delivery-limit = -1", None),
            ("x-queue-type = 'quorum', x-dead-letter-exchange = 'd'", None),
        ] {
            let text = format!(
                "url = 'amqp://h'\nqueue = 'q'\n[declare.queue]\narguments = {{ {arguments} }}"
            );
            let risk = toml::from_str::<SourceSettings>(&text).unwrap().crash_risk();
            let said = risk.as_ref().map(|risk| (&*risk.path, &*risk.message));
            let fits = match (expected, said) {
                (None, None) => true,
                (Some(part), Some((path, text))) => {
                    path == "declare.queue.arguments" && text.contains(part)
                }
                _ => false,
            };
            assert!(fits, "{arguments}: {said:?}");
        }
    }

    #[test]
    fn routes_that_lose_are_named() {
        for (route, expected) in [
            ("", &[][..]),
            ("mandatory = false\npersistent = false", &["mandatory", "persistent"]),
            ("declare = { durable = false }", &["declare.durable"]),
            ("declare = { auto_delete = true }", &["declare.auto_delete"]),
            ("mandatory = false\ndeclare = { type = 'topic' }", &["mandatory"]),
            ("mandatory = false\ndeclare = { type = 'x-delayed-message' }", &[]),
            ("mandatory = false\ndeclare = { type = 'x-recent-history' }", &[]),
            (
                "declare = { queues = [{ name = 'a' }, { name = 'b', durable = false }] }",
                &["declare.queues[1].durable"],
            ),
        ] {
            let text = format!("exchange = 'e'\n{route}");
            check(&toml::from_str::<RouteSettings>(&text).unwrap().risks(), expected);
        }
    }
}
