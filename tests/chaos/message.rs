//! Numbered messages: what each carries, and where it must come out.

use anyhow::{Context, Result, ensure};

/// How many keys the ordered pipeline has.
const KEYS: u64 = 64;

/// What the pipelines under test must do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To the default route.
    A,
    /// To the other route.
    B,
    /// To a route that no queue is bound to: dead-lettered as unroutable.
    Nowhere,
    /// Nowhere at all: filtered.
    Drop,
    /// By one rule to two routes: a copy at each.
    Both,
    /// Made into two messages by a stage, of which each goes to a route of its own.
    Split,
    /// Through the pipeline that keeps each key in order.
    Keyed,
}

/// Every queue that messages come out of.
pub(crate) const OUTLETS: [&str; 6] = ["a", "b", "left", "right", "dead", "keys"];
/// Those that pika consumes: one of plain messages, and one of the two that a fan-out leads to.
pub(crate) const BY_PIKA: [&str; 2] = ["b", "right"];

impl Kind {
    /// One in four is keyed, and one in four becomes two; of the rest one in a hundred is dropped,
    /// one goes nowhere.
    pub(crate) fn of(seq: u64) -> Self {
        match (seq % 8, seq % 100) {
            (3 | 7, _) => Self::Keyed,
            (_, 10) => Self::Drop,
            (_, 20) => Self::Nowhere,
            (1 | 5, _) => Self::B,
            (2, _) => Self::Both,
            (6, _) => Self::Split,
            _ => Self::A,
        }
    }

    /// The word in the body that the pipeline decides by.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::Nowhere => "nowhere",
            Self::Drop => "drop",
            Self::Both => "both",
            Self::Split => "split",
            Self::Keyed => "keyed",
        }
    }

    /// Which of [`OUTLETS`] it must come to: all of these.
    pub(crate) fn outlets(self) -> &'static [&'static str] {
        match self {
            Self::A => &["a"],
            Self::B => &["b"],
            Self::Nowhere => &["dead"],
            Self::Drop => &[],
            Self::Both | Self::Split => &["left", "right"],
            Self::Keyed => &["keys"],
        }
    }
}

/// Whether a message is published by pika: all of two keys in sixteen, so that the messages of a key
/// come from one publisher.
pub(crate) fn by_pika(seq: u64) -> bool {
    matches!(key(seq) % 16, 5 | 12)
}

/// The key whose messages stay in order.
pub(crate) fn key(seq: u64) -> u64 {
    seq / 4 % KEYS
}

/// The body: all that identifies it, a filling of differing length, and a checksum over the rest.
pub(crate) fn body(run: &str, seq: u64) -> Vec<u8> {
    let fill = "x".repeat((seq.wrapping_mul(0x9E37_79B9) % 300) as usize);
    let (kind, key) = (Kind::of(seq).word(), key(seq));
    let start =
        format!(r#"{{"run":"{run}","seq":{seq},"key":"{key}","kind":"{kind}","fill":"{fill}""#);
    format!(r#"{start},"sum":"{:016x}"}}"#, checksum(start.as_bytes())).into_bytes()
}

/// The number of a message of `run`, if it is whole.
///
/// # Errors
/// When it is of another run, or not what was sent.
pub(crate) fn number(run: &str, bytes: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(bytes)?;
    let (start, sum) = text.rsplit_once(r#","sum":""#).context("no checksum")?;
    let sum = sum.strip_suffix("\"}").context("no end")?;
    ensure!(format!("{:016x}", checksum(start.as_bytes())) == sum, "another checksum");
    let rest = start.strip_prefix(&format!(r#"{{"run":"{run}","seq":"#)).context("another run")?;
    let (seq, _) = rest.split_once(',').context("no number")?;
    Ok(seq.parse()?)
}

/// FNV-1a, 64 bits.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

#[test]
fn a_body_gives_its_number_back_and_a_changed_one_none() {
    for seq in [0, 1, 299, 1_000_000] {
        let mut body = body("r1", seq);
        assert_eq!(number("r1", &body).unwrap(), seq);
        assert!(number("r2", &body).is_err());
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["kind"], Kind::of(seq).word());
        for at in 0..body.len() {
            body[at] ^= 1;
            assert!(number("r1", &body).is_err(), "byte {at}");
            body[at] ^= 1;
        }
    }
}
