//! Topology: exchanges and queue names, and the queues that a message reaches.

use std::collections::HashMap;
use std::sync::Arc;

use lockgate_message::Table;

use crate::arguments::{same_table, same_value};
use crate::exchange::{Destination, Exchange};
use crate::{BrokerError, ExchangeKind, ExchangeOptions, QueueOptions};

/// Most queues and most exchanges.
const NAMES_MAX: usize = 10_000;
/// Most bindings in all.
const BINDINGS_MAX: usize = 100_000;
/// Longest short string of AMQP 0-9-1, bytes: names and routing keys.
pub(crate) const SHORT_STRING_MAX: usize = 255;

/// The exchanges that every AMQP broker has.
const PREDECLARED: [(&str, ExchangeKind); 5] = [
    ("amq.direct", ExchangeKind::Direct),
    ("amq.topic", ExchangeKind::Topic),
    ("amq.fanout", ExchangeKind::Fanout),
    ("amq.headers", ExchangeKind::Headers),
    ("amq.match", ExchangeKind::Headers),
];

/// The names and the paths between them; what queues hold is elsewhere.
#[derive(Default)]
pub(crate) struct Topology {
    exchanges: Vec<Exchange>,
    exchange_names: HashMap<Arc<str>, usize>,
    queue_names: HashMap<Arc<str>, usize>,
    bindings: usize,
}

/// What a publish to an exchange meets.
pub(crate) enum Door {
    /// The exchange without a name: the routing key is the queue's name.
    Default,
    Exchange(usize),
}

impl Topology {
    pub(crate) fn new() -> Self {
        let mut topology = Self::default();
        for (name, kind) in PREDECLARED {
            if let Ok(exchange) = Exchange::new(ExchangeOptions::new(kind)) {
                topology.exchange_names.insert(name.into(), topology.exchanges.len());
                topology.exchanges.push(exchange);
            }
        }
        topology
    }

    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (self.queue_names.len(), self.exchanges.len(), self.bindings)
    }

    pub(crate) fn queue(&self, name: &str) -> Result<usize, BrokerError> {
        self.queue_names.get(name).copied().ok_or_else(|| BrokerError::no_queue(name))
    }

    /// Where a publish to `name` goes in.
    ///
    /// # Errors
    /// No such exchange, or an internal one.
    pub(crate) fn door(&self, name: &str) -> Result<Door, BrokerError> {
        let door = self.any_door(name)?;
        if let Door::Exchange(at) = door
            && self.exchanges.get(at).is_some_and(|exchange| exchange.options.internal)
        {
            return Err(BrokerError::Refused(format!("exchange `{name}` is internal")));
        }
        Ok(door)
    }

    /// Where the broker itself goes in; it may enter internal exchanges.
    pub(crate) fn any_door(&self, name: &str) -> Result<Door, BrokerError> {
        match name {
            "" => Ok(Door::Default),
            name => self.exchange(name).map(Door::Exchange),
        }
    }

    fn exchange(&self, name: &str) -> Result<usize, BrokerError> {
        self.exchange_names.get(name).copied().ok_or_else(|| BrokerError::no_exchange(name))
    }

    /// Adds the name of a new queue, which is to be number `at`.
    pub(crate) fn name_queue(&mut self, name: &str, at: usize) -> Result<Arc<str>, BrokerError> {
        check_name("queue", name)?;
        if self.queue_names.len() >= NAMES_MAX {
            return Err(BrokerError::Limit(format!("{NAMES_MAX} queues")));
        }
        let name: Arc<str> = name.into();
        self.queue_names.insert(name.clone(), at);
        Ok(name)
    }

    pub(crate) fn declare_exchange(
        &mut self,
        name: &str,
        options: ExchangeOptions,
    ) -> Result<(), BrokerError> {
        if let Ok(at) = self.exchange(name)
            && let Some(there) = self.exchanges.get(at)
        {
            return same_exchange(name, &there.options, &options);
        }
        check_name("exchange", name)?;
        if self.exchanges.len() >= NAMES_MAX {
            return Err(BrokerError::Limit(format!("{NAMES_MAX} exchanges")));
        }
        let exchange = Exchange::new(options)?;
        self.exchange_names.insert(name.into(), self.exchanges.len());
        self.exchanges.push(exchange);
        Ok(())
    }

    pub(crate) fn bind_queue(
        &mut self,
        exchange: &str,
        queue: &str,
        key: &str,
        arguments: &Table,
    ) -> Result<(), BrokerError> {
        let to = Destination::Queue(self.queue(queue)?);
        self.bind(exchange, to, key, arguments)
    }

    pub(crate) fn bind_exchange(
        &mut self,
        source: &str,
        destination: &str,
        key: &str,
        arguments: &Table,
    ) -> Result<(), BrokerError> {
        refuse_default(destination)?;
        let to = Destination::Exchange(self.exchange(destination)?);
        self.bind(source, to, key, arguments)
    }

    fn bind(
        &mut self,
        source: &str,
        to: Destination,
        key: &str,
        arguments: &Table,
    ) -> Result<(), BrokerError> {
        refuse_default(source)?;
        if key.len() > SHORT_STRING_MAX {
            return Err(BrokerError::Precondition("a binding key is over 255 bytes".into()));
        }
        if self.bindings >= BINDINGS_MAX {
            return Err(BrokerError::Limit(format!("{BINDINGS_MAX} bindings")));
        }
        let at = self.exchange(source)?;
        if let Some(exchange) = self.exchanges.get_mut(at)
            && exchange.bind(to, key, arguments)?
        {
            self.bindings += 1;
        }
        Ok(())
    }

    /// Writes the queues that a message reaches to `queues`, each once, ascending.
    ///
    /// Returns whether the exchange and the key alone decided, so that the answer holds for the
    /// next message with the same.
    pub(crate) fn route(
        &self,
        door: &Door,
        key: &str,
        headers: &Table,
        queues: &mut Vec<usize>,
    ) -> bool {
        queues.clear();
        let Door::Exchange(first) = *door else {
            queues.extend(self.queue_names.get(key));
            return true;
        };
        let mut by_key = true;
        // Each exchange once, so that bindings in a circle end.
        let mut visited = Visited { first, others: Vec::new() };
        let mut next = 0;
        while let Some(exchange) = visited.get(next).and_then(|at| self.exchanges.get(at)) {
            next += 1;
            by_key &= exchange.options.kind != ExchangeKind::Headers;
            let mut found = false;
            exchange.each(key, headers, |to| {
                found = true;
                match to {
                    Destination::Queue(queue) => queues.push(queue),
                    Destination::Exchange(at) => visited.add(at),
                }
            });
            if !found && let Some(alternate) = &exchange.alternate {
                match alternate.is_empty() {
                    true => queues.extend(self.queue_names.get(key)),
                    false => self.exchange_names.get(alternate).into_iter().for_each(|at| {
                        visited.add(*at);
                    }),
                }
            }
        }
        if queues.len() > 1 {
            queues.sort_unstable();
            queues.dedup();
        }
        by_key
    }
}

/// Exchanges to go through; the usual single one takes no allocation.
struct Visited {
    first: usize,
    others: Vec<usize>,
}

impl Visited {
    fn get(&self, n: usize) -> Option<usize> {
        match n.checked_sub(1) {
            None => Some(self.first),
            Some(n) => self.others.get(n).copied(),
        }
    }

    fn add(&mut self, at: usize) {
        if at != self.first && !self.others.contains(&at) {
            self.others.push(at);
        }
    }
}

fn refuse_default(name: &str) -> Result<(), BrokerError> {
    match name {
        "" => Err(BrokerError::Refused("the default exchange takes no bindings".into())),
        _ => Ok(()),
    }
}

fn check_name(what: &str, name: &str) -> Result<(), BrokerError> {
    if name.is_empty() || name.len() > SHORT_STRING_MAX {
        let text = format!("a {what} name has 1 to {SHORT_STRING_MAX} bytes, `{name}` has not");
        return Err(BrokerError::Precondition(text));
    }
    if name.starts_with("amq.") {
        return Err(BrokerError::Refused(format!("{what} `{name}`: `amq.` is reserved")));
    }
    Ok(())
}

/// What differs between a declaration and what is there, in RabbitMQ's words.
fn differs(
    what: &str,
    name: &str,
    argument: &str,
    asked: impl std::fmt::Debug,
    there: impl std::fmt::Debug,
) -> BrokerError {
    BrokerError::Precondition(format!(
        "inequivalent arg '{argument}' for {what} '{name}': received {asked:?} but current is \
         {there:?}"
    ))
}

fn same_exchange(
    name: &str,
    there: &ExchangeOptions,
    asked: &ExchangeOptions,
) -> Result<(), BrokerError> {
    if there.kind != asked.kind {
        return Err(differs("exchange", name, "type", asked.kind, there.kind));
    }
    for (argument, asked, there) in [
        ("durable", asked.durable, there.durable),
        ("auto_delete", asked.auto_delete, there.auto_delete),
        ("internal", asked.internal, there.internal),
    ] {
        if asked != there {
            return Err(differs("exchange", name, argument, asked, there));
        }
    }
    same_arguments("exchange", name, &there.arguments, &asked.arguments)
}

pub(crate) fn same_queue(
    name: &str,
    there: &QueueOptions,
    asked: &QueueOptions,
) -> Result<(), BrokerError> {
    for (argument, asked, there) in [
        ("durable", asked.durable, there.durable),
        ("exclusive", asked.exclusive, there.exclusive),
        ("auto_delete", asked.auto_delete, there.auto_delete),
    ] {
        if asked != there {
            return Err(differs("queue", name, argument, asked, there));
        }
    }
    same_arguments("queue", name, &there.arguments, &asked.arguments)
}

fn same_arguments(what: &str, name: &str, there: &Table, asked: &Table) -> Result<(), BrokerError> {
    if same_table(there, asked) {
        return Ok(());
    }
    let names = there.iter().chain(asked.iter()).map(|(argument, _)| argument.as_str());
    for argument in names {
        match (there.get(argument), asked.get(argument)) {
            (Some(there), Some(asked)) if same_value(there, asked) => {}
            (there, asked) => return Err(differs(what, name, argument, asked, there)),
        }
    }
    Err(differs(what, name, "arguments", asked, there))
}

#[cfg(test)]
mod tests;
