//! What plugins may set, at its worst: each value that makes a broker close a channel has a test,
//! and random mixtures of all of them go through one channel, which must outlive them.
//!
//! `LOCKGATE_LONG=1` takes the count of the acceptance. A failure prints its seed; `LOCKGATE_SEED`
//! repeats it.

use std::time::{SystemTime, UNIX_EPOCH};

use lapin::types::FieldTable;
use lockgate_message::{Head, Message, Property, PropertyValue, Table, Value};
use lockgate_transport::{ConnectError, Outgoing, PutError, RoutingKey, Sink, SinkConnector};
use lockgate_transport_amqp::AmqpSink;

use crate::support::{Bench, limited, route};

/// Good publishes on either side of a bad one.
const NEIGHBOURS: usize = 20;
const BLOCK: usize = 256;

fn copy(exchange: &str, key: &str, message: Message) -> Outgoing {
    Outgoing { exchange: exchange.into(), routing_key: RoutingKey::Fixed(key.into()), message }
}

fn with(change: impl FnOnce(&mut Head)) -> Message {
    let mut head = Head::default();
    change(&mut head);
    Message::new(head, "bad")
}

/// Puts `bad` between good ones, which must all be stored, and then the sink must still work.
/// Returns the result of `bad`.
async fn among_good(sink: &mut dyn Sink, exchange: &str, bad: Outgoing) -> Result<(), PutError> {
    let good = copy(exchange, "k", Message::new(Head::default(), "good"));
    let mut block = vec![good.clone(); NEIGHBOURS];
    block.push(bad);
    block.resize(2 * NEIGHBOURS + 1, good);
    let mut results = limited(sink.put(&block)).await;
    let result = results.remove(NEIGHBOURS);
    assert_eq!(results, vec![Ok(()); 2 * NEIGHBOURS]);
    assert_eq!(limited(sink.put(&block[..1])).await, [Ok(())], "the channel lives");
    result
}

/// A value that is left out, or that brokers take: stored, and so are its neighbours.
async fn stored(message: Message) {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, queue) = bench.pair("k").await;
    let mut sink = bench.sink(&exchange).await;
    let result = among_good(&mut *sink, &exchange, copy(&exchange, "k", message)).await;
    assert_eq!(result, Ok(()));
    assert_eq!(bench.depth(&queue).await as usize, 2 * NEIGHBOURS + 2);
}

/// A value that cannot be published: its message is refused, and nobody else.
async fn refused(message: Message) {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, queue) = bench.pair("k").await;
    let mut sink = bench.sink(&exchange).await;
    let result = among_good(&mut *sink, &exchange, copy(&exchange, "k", message)).await;
    assert!(matches!(result, Err(PutError::Invalid(_))), "{result:?}");
    assert_eq!(bench.depth(&queue).await as usize, 2 * NEIGHBOURS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_exchange_is_refused_before_anything_is_published() {
    let Some(bench) = Bench::new().await else { return };
    let missing = bench.name("missing");
    let settings = route(&format!("url = '{}'\nexchange = '{missing}'", bench.url));
    let shared = AmqpSink::for_routes(None, [&settings]).unwrap();
    let error = limited(shared.sinks[0].connect(0)).await.err();
    let fatal = matches!(error, Some(ConnectError::Fatal(_) | ConnectError::FatalRoute(..)));
    assert!(fatal, "{error:?}");
}

/// The broker closes the channel, and nothing shows before a publish that it will: what is put there
/// is unknown, hence never acked at its source, and it is said why.
#[tokio::test(flavor = "multi_thread")]
async fn an_internal_exchange_is_never_taken_for_stored() {
    let Some(bench) = Bench::new().await else { return };
    let exchange = bench.name("internal");
    bench.declare_exchange(&exchange, "direct", true, FieldTable::default()).await;
    let mut sink = bench.sink(&exchange).await;
    let results = limited(sink.put(&[copy(&exchange, "k", Message::default())])).await;
    let told = matches!(&results[..], [Err(PutError::Unknown(why))] if why.contains("internal"));
    assert!(told, "{results:?}");
    bench.delete_exchange(&exchange).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_user_id_is_left_out() {
    stored(with(|head| head.properties.user_id = Some("somebody".into()))).await;
}

/// Where it is granted only the broker can say that it is another's; it closes the channel. Alone, the
/// message is known to be at fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_user_id_that_is_granted_is_refused_when_it_is_alone() {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, _) = bench.pair("k").await;
    let text = format!("url = '{}'\nexchange = '{exchange}'\ngrants = ['user-id']", bench.url);
    let shared = AmqpSink::for_routes(None, [&route(&text)]).unwrap();
    let bad = with(|head| head.properties.user_id = Some("somebody".into()));
    let bad = copy(&exchange, "k", bad);
    let good = copy(&exchange, "k", Message::new(Head::default(), "good"));
    let mut sink = limited(shared.sinks[0].connect(0)).await.unwrap();
    let results = limited(sink.put(&[bad.clone(), good])).await;
    assert!(matches!(&results[..], [Err(PutError::Unknown(_)), Err(_)]), "{results:?}");
    let mut sink = limited(shared.sinks[0].connect(0)).await.unwrap();
    let results = limited(sink.put(&[bad])).await;
    let told = matches!(&results[..], [Err(PutError::Invalid(why))] if why.contains("user_id"));
    assert!(told, "{results:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiration_that_is_no_number_is_refused() {
    refused(with(|head| head.properties.expiration = Some("soon".into()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_negative_expiration_is_refused() {
    refused(with(|head| head.properties.expiration = Some("-1".into()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cc_that_is_no_array_is_left_out() {
    stored(with(|head| head.headers.set("CC", Value::text("elsewhere")))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cc_that_is_no_array_is_refused_where_cc_is_granted() {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, _) = bench.pair("k").await;
    let url = &bench.url;
    let settings =
        route(&format!("url = '{url}'\nexchange = '{exchange}'\ngrants = ['CC', 'BCC']"));
    let shared = AmqpSink::for_routes(None, [&settings]).unwrap();
    let mut sink = limited(shared.sinks[0].connect(0)).await.unwrap();
    for value in [Value::text("k"), Value::Array(vec![Value::I32(1)]), Value::Table(Table::new())] {
        for name in ["CC", "BCC"] {
            let bad = with(|head| head.headers.set(name, value.clone()));
            let result = among_good(&mut *sink, &exchange, copy(&exchange, "k", bad)).await;
            assert!(matches!(result, Err(PutError::Invalid(_))), "{name} {value:?}: {result:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_above_the_brokers_limit_is_refused() {
    refused(Message::new(Head::default(), vec![0; (16 << 20) + 1])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_reply_to_is_left_out() {
    stored(with(|head| head.properties.reply_to = Some("amq.rabbitmq.reply-to".into()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_above_a_frame_are_refused() {
    refused(with(|head| head.headers.set("big", Value::Str(vec![b'x'; 131_072])))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cc_and_bcc_copy_nothing() {
    let Some(bench) = Bench::new().await else { return };
    let (exchange, _) = bench.pair("k").await;
    let (_, elsewhere) = bench.pair("elsewhere").await;
    let mut sink = bench.sink(&exchange).await;
    for name in ["CC", "BCC"] {
        let keys = Value::Array(vec![Value::text(elsewhere.clone()), Value::text("elsewhere")]);
        let bad = copy(&exchange, "k", with(|head| head.headers.set(name, keys)));
        assert_eq!(among_good(&mut *sink, &exchange, bad).await, Ok(()));
    }
    assert_eq!(bench.depth(&elsewhere).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_that_brokers_take_is_stored() {
    let death = Value::Array(vec![Value::I32(-1), Value::Table(Table::new())]);
    stored(with(|head| {
        head.headers.set("x-death", death);
        head.properties.priority = Some(255);
        head.properties.delivery_mode = Some(77);
    }))
    .await;
}

/// Random messages, hostile in every value that a plugin can set.
#[tokio::test(flavor = "multi_thread")]
async fn fuzzed_outputs_close_no_channel() {
    let Some(bench) = Bench::new().await else { return };
    let long = std::env::var("LOCKGATE_LONG").is_ok_and(|long| long == "1");
    let count = if long { 1_000_000 } else { 20_000 };
    let seed = std::env::var("LOCKGATE_SEED").ok().map_or_else(now, |seed| seed.parse().unwrap());
    eprintln!("seed: LOCKGATE_SEED={seed}");
    let (exchange, queue) = bench.pair("k").await;
    let mut sink = bench.sink(&exchange).await;
    let mut draw = Draw(seed);
    let (mut ok, mut unroutable, mut invalid) = (0, 0, 0);
    for first in (0..count).step_by(BLOCK) {
        let block: Vec<_> =
            (first..count.min(first + BLOCK)).map(|_| draw.outgoing(&exchange)).collect();
        let results = limited(sink.put(&block)).await;
        assert_eq!(results.len(), block.len());
        for (outgoing, result) in block.iter().zip(results) {
            match result {
                Ok(()) => ok += 1,
                Err(PutError::Unroutable(_)) => unroutable += 1,
                Err(PutError::Invalid(_)) => invalid += 1,
                Err(other) => panic!("{other}, seed {seed}, {:?}", outgoing.message.head()),
            }
        }
        // What is stored only takes room.
        if first / BLOCK % 64 == 63 {
            bench.purge(&queue).await;
        }
    }
    eprintln!("{ok} stored, {unroutable} unroutable, {invalid} refused, 0 channels closed");
    let good = copy(&exchange, "k", Message::default());
    assert_eq!(limited(sink.put(&[good])).await, [Ok(())], "the channel lives, seed {seed}");
    assert!(ok > 0 && unroutable > 0 && invalid > 0, "each of the three ends was met");
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos() % u128::from(u64::MAX)).unwrap()
}

/// Draws hostile messages from a seed (xorshift).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 20) % bound
    }

    fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }

    fn pick<'a>(&mut self, texts: &[&'a str]) -> &'a str {
        texts[self.below(texts.len() as u64) as usize]
    }

    fn outgoing(&mut self, exchange: &str) -> Outgoing {
        let mut head = Head::default();
        for property in Property::ALL {
            if self.one_in(5) {
                let value = self.property(property);
                head.properties.put(property, Some(value));
            }
        }
        for _ in 0..self.below(4) {
            let name = self.header_name();
            let value = self.value(0);
            head.headers.push(name, value);
        }
        if self.one_in(2_000) {
            // About the room of a header frame.
            let len = 130_000 + self.below(2_000) as usize;
            head.headers.push("big".to_owned(), Value::Str(vec![b'x'; len]));
        }
        let body = match self.below(50_000) {
            0 => (16 << 20) + 1,
            1 => 16 << 20,
            2..20 => 200_000 + self.below(100_000),
            _ => self.below(64),
        };
        let long = "k".repeat(250 + self.below(10) as usize);
        let key = match self.below(10) {
            0 => long.as_str(),
            1 => "",
            2 => "nowhere",
            3 => "k\0\u{1f}é#*",
            _ => "k",
        };
        copy(exchange, key, Message::new(head, vec![b'b'; body as usize]))
    }

    fn property(&mut self, property: Property) -> PropertyValue {
        match property {
            Property::DeliveryMode | Property::Priority => PropertyValue::Number(self.below(256)),
            Property::Timestamp => PropertyValue::Number(self.next()),
            Property::Expiration => PropertyValue::Text(
                self.pick(&[
                    "0",
                    "60000",
                    "-1",
                    "+5",
                    "",
                    " 7",
                    "7 ",
                    "1e3",
                    "0x10",
                    "soon",
                    "4294967295",
                    "4294967296",
                    "18446744073709551616",
                    "1.5",
                    "00000000000000000001",
                    "٣",
                    "\0",
                ])
                .to_owned(),
            ),
            Property::UserId => {
                PropertyValue::Text(self.pick(&["guest", "somebody", "", "\0"]).to_owned())
            }
            Property::ReplyTo => PropertyValue::Text(
                self.pick(&[
                    "amq.rabbitmq.reply-to",
                    "amq.rabbitmq.reply-to.g1h2AA",
                    "amq.rabbitmq.reply-to.",
                    "amq.rabbitmq.reply",
                    "answers",
                    "",
                ])
                .to_owned(),
            ),
            _ => PropertyValue::Text(self.text()),
        }
    }

    fn text(&mut self) -> String {
        match self.below(8) {
            0 => "x".repeat(254 + self.below(4) as usize),
            1 => "é".repeat(127 + self.below(3) as usize),
            2 => "\0\r\n\u{202e}".to_owned(),
            3 => String::new(),
            _ => format!("t{}", self.below(1_000)),
        }
    }

    fn header_name(&mut self) -> String {
        match self.below(4) {
            0 => self.text(),
            _ => self
                .pick(&[
                    "CC",
                    "BCC",
                    "cc",
                    "lockgate-id",
                    "x-death",
                    "x-delay",
                    "x-first-death-queue",
                    "x-delivery-count",
                    "x-stream-offset",
                    "x-match",
                    "",
                    "h",
                ])
                .to_owned(),
        }
    }

    fn value(&mut self, depth: u64) -> Value {
        match self.below(if depth < 40 { 22 } else { 18 }) {
            0 => Value::Void,
            1 => Value::Bool(self.one_in(2)),
            2 => Value::I8(self.next() as i8),
            3 => Value::U8(self.next() as u8),
            4 => Value::I16(self.next() as i16),
            5 => Value::U16(self.next() as u16),
            6 => Value::I32(self.next() as i32),
            7 => Value::U32(self.next() as u32),
            8 => Value::I64(self.next() as i64),
            9 => Value::F32(f32::from_bits(self.next() as u32)),
            10 => Value::F64(f64::from_bits(self.next())),
            11 => Value::F64([f64::NAN, f64::INFINITY, -0.0][self.below(3) as usize]),
            12 => Value::Decimal { scale: self.next() as u8, value: self.next() as u32 },
            13 => Value::Timestamp(self.next()),
            14 => Value::Bytes(self.next().to_le_bytes().to_vec()),
            15 | 16 => Value::text(self.text()),
            17 => Value::Str(self.next().to_le_bytes().to_vec()),
            18 => {
                let table = (0..self.below(3)).map(|_| (self.text(), self.value(depth + 1)));
                Value::Table(table.collect())
            }
            19 => Value::Array((0..self.below(3)).map(|_| self.value(depth + 1)).collect()),
            // What CC should be, and deep ones.
            20 => Value::Array((0..self.below(3)).map(|_| Value::text("k")).collect()),
            _ => {
                let levels = 28 + self.below(8);
                (0..levels).fold(Value::Void, |inner, _| Value::Array(vec![inner]))
            }
        }
    }
}
