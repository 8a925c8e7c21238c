//! Routes: the named targets that a verdict may pick.

use std::collections::HashMap;
use std::sync::Arc;

use lockgate_message::Message;
use lockgate_transport::{Outgoing, RoutingKey};

/// Where one route, or the dead-letter target, publishes.
#[derive(Clone, Debug)]
pub struct Target {
    /// Which of the pipeline's sinks.
    pub sink: usize,
    pub exchange: Arc<str>,
    /// `{{routing_key}}` and `{{exchange}}` stand for the message's own; `None` keeps its key.
    pub routing_key: Option<Arc<str>>,
}

/// A pipeline's routes by name.
pub type Routes = HashMap<String, Target>;

/// The route for messages that leave the chain without one.
pub(crate) const DEFAULT_ROUTE: &str = "default";

impl Target {
    /// The copy of `message` for this target.
    pub(crate) fn outgoing(&self, message: Message) -> Outgoing {
        let routing_key = match &self.routing_key {
            None => RoutingKey::Same,
            Some(template) if !template.contains("{{") => RoutingKey::Fixed(template.clone()),
            Some(template) => {
                let head = message.head();
                RoutingKey::Fixed(
                    template
                        .replace("{{routing_key}}", &head.routing_key)
                        .replace("{{exchange}}", &head.exchange)
                        .into(),
                )
            }
        };
        Outgoing { exchange: self.exchange.clone(), routing_key, message }
    }
}

#[cfg(test)]
mod tests {
    use lockgate_message::Head;

    use super::*;

    #[test]
    fn keys_are_kept_fixed_or_rendered() {
        let message = Message::new(
            Head { exchange: "in".into(), routing_key: "order.eu".into(), ..Head::default() },
            "",
        );
        for (template, expected) in [
            (None, "order.eu"),
            (Some("fixed"), "fixed"),
            (Some("copy.{{routing_key}}.{{exchange}}"), "copy.order.eu.in"),
        ] {
            let target =
                Target { sink: 0, exchange: "out".into(), routing_key: template.map(Arc::from) };
            assert_eq!(target.outgoing(message.clone()).routing_key(), expected);
        }
    }
}
