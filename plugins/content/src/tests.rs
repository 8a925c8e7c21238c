//! Tests: what is encoded here and elsewhere is decoded, what is damaged or too long is refused.

use lockgate_plugin::Property;
use lockgate_plugin::testing::MessageBuilder;

use super::{Encoding, Undecodable, json, read, read_prefix};

/// `printf '{"a":1}' | gzip -n`
const GZIP: &[u8] = &[
    0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0x56, 0x4a, 0x54, 0xb2, 0x32, 0xac, 5, 0, 0xaf, 0xac,
    0x1b, 0x56, 7, 0, 0, 0,
];

#[test]
fn names_of_encodings() {
    for (property, expected) in [
        (None, Encoding::Plain),
        (Some("gzip"), Encoding::Gzip),
        (Some("X-GZIP"), Encoding::Gzip),
        (Some("Deflate"), Encoding::Deflate),
        (Some("utf-8"), Encoding::Plain),
        (Some("identity"), Encoding::Plain),
    ] {
        assert_eq!(Encoding::named(property), expected);
    }
}

#[test]
fn what_is_encoded_is_decoded() {
    let long: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    for content in [&b""[..], b"{}", &long] {
        for encoding in [Encoding::Gzip, Encoding::Deflate] {
            let body = encoding.encode(content.to_vec());
            assert_eq!(encoding.decode(&body, 1 << 20).as_deref(), Ok(content), "{encoding:?}");
            assert!(encoding.decode(&body[..body.len() - 1], 1 << 20).is_err());
        }
        let twice =
            [Encoding::Gzip.encode(content.to_vec()), Encoding::Gzip.encode(content.to_vec())];
        let decoded = Encoding::Gzip.decode(&twice.concat(), 1 << 20).unwrap().into_owned();
        assert_eq!(decoded, [content, content].concat());
    }
}

#[test]
fn deflate_without_its_frame_is_read() {
    let framed = Encoding::Deflate.encode(b"abcabcabc".to_vec());
    let bare = &framed[2..framed.len() - 4];
    assert_eq!(Encoding::Deflate.decode(bare, 100).as_deref(), Ok(&b"abcabcabc"[..]));
}

#[test]
fn a_bomb_ends_at_the_bound() {
    let bomb = Encoding::Gzip.encode(vec![b' '; 50_000_000]);
    assert!(bomb.len() < 60_000);
    assert_eq!(Encoding::Gzip.decode(&bomb, 1 << 20), Err(Undecodable::Long(1 << 20)));
    let exact = Encoding::Gzip.encode(vec![b' '; 1000]);
    assert_eq!(Encoding::Gzip.decode(&exact, 1000).unwrap().len(), 1000);
    assert_eq!(Encoding::Gzip.decode(&exact, 999), Err(Undecodable::Long(999)));
}

#[test]
fn what_is_damaged_is_refused() {
    assert_eq!(Encoding::Gzip.decode(GZIP, 100).as_deref(), Ok(&br#"{"a":1}"#[..]));
    for body in [&b"{}"[..], &GZIP[..12], &[GZIP, b"x"].concat()] {
        assert_eq!(Encoding::Gzip.decode(body, 100), Err(Undecodable::Damaged("gzip")));
    }
    let mut wrong = Encoding::Gzip.encode(b"abc".to_vec());
    let sum = wrong.len() - 8;
    wrong[sum] ^= 1;
    assert_eq!(Encoding::Gzip.decode(&wrong, 100), Err(Undecodable::Damaged("gzip")));
}

#[test]
fn a_message_is_read_by_its_content_encoding() {
    let message = |encoding: &str, body: Vec<u8>| {
        MessageBuilder::new().property(Property::ContentEncoding, encoding).body(body)
    };
    let packed = Encoding::Gzip.encode("päck".repeat(1000).into_bytes());
    let gzip = message("gzip", packed.clone());
    assert_eq!(read(&gzip.view(), 5000).unwrap(), "päck".repeat(1000).as_bytes());
    assert_eq!(read(&gzip.view(), 4999), Err(Undecodable::Long(4999)));
    // The second byte would be half a character.
    assert_eq!(&*read_prefix(&gzip.view(), 2), b"p");
    let cut = message("gzip", packed[..packed.len() - 10].to_vec());
    assert!(read_prefix(&cut.view(), 100).starts_with("päck".as_bytes()));
    assert_eq!(&*read(&message("utf-8", b"{}".to_vec()).view(), 1).unwrap(), b"{}");
    assert_eq!(&*read(&message("deflate", Vec::new()).view(), 1).unwrap(), b"");
}

#[test]
fn json_is_mended() {
    for (text, expected) in [
        ("{}", "{}"),
        ("\u{feff}{}", "{}"),
        (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
        (r#""\uD83D""#, r#""\ufffd""#),
        (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
        (r#""\ude00\n""#, r#""\ufffd\n""#),
        (r#""\\ud83d""#, r#""\\ud83d""#),
    ] {
        assert_eq!(json(text.as_bytes()), expected.as_bytes(), "{text}");
    }
}
