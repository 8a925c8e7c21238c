//! Routing by cases, and random topologies against a naive model.

use std::collections::BTreeSet;

use lockgate_message::Value;
use proptest::prelude::*;

use super::*;

fn headers(entries: &[(&str, i32)]) -> Table {
    entries.iter().map(|(name, n)| ((*name).to_owned(), Value::I32(*n))).collect()
}

fn routed(topology: &Topology, exchange: &str, key: &str, headers: &Table) -> Vec<usize> {
    let mut queues = Vec::new();
    topology.route(&topology.any_door(exchange).unwrap(), key, headers, &mut queues);
    queues
}

fn topology(queues: usize) -> Topology {
    let mut topology = Topology::new();
    for at in 0..queues {
        topology.name_queue(&format!("q{at}"), at).unwrap();
    }
    topology
}

#[test]
fn the_default_exchange_knows_queues_by_name() {
    let topology = topology(2);
    for (key, expected) in [("q1", vec![1]), ("q2", vec![]), ("", vec![])] {
        assert_eq!(routed(&topology, "", key, &Table::new()), expected);
    }
}

#[test]
fn a_queue_bound_twice_gets_one_copy() {
    let mut topology = topology(1);
    let none = Table::new();
    for key in ["a.*", "*.b", "a.b", "#"] {
        topology.bind_queue("amq.topic", "q0", key, &none).unwrap();
        topology.bind_queue("amq.topic", "q0", key, &none).unwrap();
    }
    assert_eq!(topology.counts().2, 4);
    assert_eq!(routed(&topology, "amq.topic", "a.b", &none), [0]);
}

#[test]
fn the_alternate_exchange_gets_what_nobody_takes() {
    let mut topology = topology(2);
    let none = Table::new();
    let mut options = ExchangeOptions::new(ExchangeKind::Direct);
    options.arguments.set("alternate-exchange", Value::text("amq.fanout"));
    topology.declare_exchange("x", options).unwrap();
    topology.bind_queue("x", "q0", "known", &none).unwrap();
    topology.bind_queue("amq.fanout", "q1", "", &none).unwrap();
    assert_eq!(routed(&topology, "x", "known", &none), [0]);
    assert_eq!(routed(&topology, "x", "unknown", &none), [1]);

    let mut options = ExchangeOptions::new(ExchangeKind::Direct);
    options.arguments.set("alternate-exchange", Value::I32(1));
    assert!(topology.declare_exchange("y", options).is_err());
}

const KEYS: [&str; 6] = ["", "a", "b", "a.b", "b.a", "a.b.a"];
const PATTERNS: [&str; 8] = ["", "a", "a.b", "*", "a.*", "#", "#.a", "a.#.a"];
const ARGUMENTS: [(&str, &[(&str, i32)]); 5] = [
    ("all", &[]),
    ("all", &[("h", 1)]),
    ("any", &[("h", 1), ("i", 2)]),
    ("any", &[]),
    ("all", &[("h", 1), ("i", 2)]),
];
const HEADERS: [&[(&str, i32)]; 4] = [&[], &[("h", 1)], &[("i", 2)], &[("h", 1), ("i", 2)]];
const KINDS: [ExchangeKind; 4] =
    [ExchangeKind::Direct, ExchangeKind::Topic, ExchangeKind::Fanout, ExchangeKind::Headers];

#[derive(Clone, Debug)]
struct Drawn {
    /// Kind and alternate exchange.
    exchanges: Vec<(usize, Option<usize>)>,
    queues: usize,
    /// Source, destination (queues first, then exchanges), pattern, arguments.
    bindings: Vec<(usize, usize, usize, usize)>,
    /// Exchange, key, headers.
    publishes: Vec<(usize, usize, usize)>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    (1..6usize, 1..6usize).prop_flat_map(|(exchanges, queues)| {
        let vec = proptest::collection::vec::<_>;
        (
            vec((0..KINDS.len(), proptest::option::of(0..exchanges)), exchanges),
            proptest::collection::vec(
                (0..exchanges, 0..queues + exchanges, 0..PATTERNS.len(), 0..ARGUMENTS.len()),
                0..20,
            ),
            proptest::collection::vec((0..exchanges, 0..KEYS.len(), 0..HEADERS.len()), 1..20),
        )
            .prop_map(move |(exchanges, bindings, publishes)| Drawn {
                exchanges,
                queues,
                bindings,
                publishes,
            })
    })
}

/// The definition of topics, word by word.
fn topic(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern, key) {
        ([], []) => true,
        (["#", after @ ..], _) => (0..=key.len()).any(|taken| topic(after, &key[taken..])),
        (["*", after @ ..], [_, rest @ ..]) => topic(after, rest),
        ([word, after @ ..], [first, rest @ ..]) => word == first && topic(after, rest),
        _ => false,
    }
}

fn words(key: &str) -> Vec<&str> {
    if key.is_empty() { Vec::new() } else { key.split('.').collect() }
}

impl Drawn {
    fn build(&self) -> Topology {
        let mut topology = topology(self.queues);
        for (at, (kind, alternate)) in self.exchanges.iter().enumerate() {
            let mut options = ExchangeOptions::new(KINDS[*kind]);
            if let Some(alternate) = alternate {
                options.arguments.set("alternate-exchange", Value::text(format!("x{alternate}")));
            }
            topology.declare_exchange(&format!("x{at}"), options).unwrap();
        }
        for (source, destination, pattern, arguments) in &self.bindings {
            let (mode, entries) = ARGUMENTS[*arguments];
            let mut arguments = headers(entries);
            arguments.set("x-match", Value::text(mode));
            let (source, key) = (format!("x{source}"), PATTERNS[*pattern]);
            match destination.checked_sub(self.queues) {
                None => topology.bind_queue(&source, &format!("q{destination}"), key, &arguments),
                Some(at) => topology.bind_exchange(&source, &format!("x{at}"), key, &arguments),
            }
            .unwrap();
        }
        topology
    }

    fn takes(
        &self,
        binding: &(usize, usize, usize, usize),
        key: &str,
        entries: &[(&str, i32)],
    ) -> bool {
        let (source, _, pattern, arguments) = *binding;
        let (mode, wanted) = ARGUMENTS[arguments];
        match KINDS[self.exchanges[source].0] {
            ExchangeKind::Fanout => true,
            ExchangeKind::Direct => PATTERNS[pattern] == key,
            ExchangeKind::Topic => topic(&words(PATTERNS[pattern]), &words(key)),
            ExchangeKind::Headers if mode == "any" => {
                wanted.iter().any(|one| entries.contains(one))
            }
            ExchangeKind::Headers => wanted.iter().all(|one| entries.contains(one)),
        }
    }

    /// Adds exchanges and queues until nothing new is reached.
    fn model(&self, exchange: usize, key: &str, entries: &[(&str, i32)]) -> Vec<usize> {
        let (mut reached, mut queues) = (BTreeSet::from([exchange]), BTreeSet::new());
        loop {
            let before = (reached.len(), queues.len());
            for at in reached.clone() {
                let taken: Vec<_> = self
                    .bindings
                    .iter()
                    .filter(|binding| binding.0 == at && self.takes(binding, key, entries))
                    .collect();
                if taken.is_empty() {
                    reached.extend(self.exchanges[at].1);
                }
                for (_, destination, ..) in taken {
                    match destination.checked_sub(self.queues) {
                        None => drop(queues.insert(*destination)),
                        Some(exchange) => drop(reached.insert(exchange)),
                    }
                }
            }
            if before == (reached.len(), queues.len()) {
                return queues.into_iter().collect();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn agrees_with_a_naive_model(drawn in drawn()) {
        let topology = drawn.build();
        for (exchange, key, entries) in &drawn.publishes {
            let (key, entries) = (KEYS[*key], HEADERS[*entries]);
            prop_assert_eq!(
                routed(&topology, &format!("x{exchange}"), key, &headers(entries)),
                drawn.model(*exchange, key, entries)
            );
        }
    }
}
