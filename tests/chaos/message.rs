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
    /// Through the pipeline that keeps each key in order.
    Keyed,
}

/// Every queue that messages come out of.
pub(crate) const OUTLETS: [&str; 4] = ["a", "b", "dead", "keys"];

impl Kind {
    /// One in four is keyed; of the rest one in a hundred is dropped, one goes nowhere.
    pub(crate) fn of(seq: u64) -> Self {
        match (seq % 4, seq % 100) {
            (3, _) => Self::Keyed,
            (_, 10) => Self::Drop,
            (_, 20) => Self::Nowhere,
            (1, _) => Self::B,
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
            Self::Keyed => "keyed",
        }
    }

    /// Which of [`OUTLETS`] it must come to.
    pub(crate) fn outlet(self) -> Option<&'static str> {
        match self {
            Self::A => Some("a"),
            Self::B => Some("b"),
            Self::Nowhere => Some("dead"),
            Self::Drop => None,
            Self::Keyed => Some("keys"),
        }
    }
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
fn checksum(bytes: &[u8]) -> u64 {
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
