//! The door, called as the host calls it, with its buffer written from outside.

use super::*;
use crate::testing::MessageBuilder;
use crate::{Body, Description, Init, Message, Needs, NoSettings, Verdict};

struct Passes;

impl Plugin for Passes {
    type Settings = NoSettings;
    const DESCRIPTION: Description = Description::new("passes", "0.1.0");

    fn init(_: NoSettings) -> Result<(Self, Init), Vec<SettingError>> {
        let needs = Needs { body: Body::Prefix(7), ..Needs::default() };
        Ok((Self, Init { needs, routes: vec!["eu".to_owned()], unrouted: false }))
    }

    fn handle(&mut self, _: &Message<'_>) -> Verdict {
        Verdict::Pass
    }
}

/// Writes `input` where the host would; returns what the host passes.
fn put(door: &Door<Passes>, input: &[u8]) -> (i32, i32) {
    let pointer = door.buffer(i32::try_from(input.len()).unwrap());
    door.0.borrow_mut().buffer[..input.len()].copy_from_slice(input);
    (pointer, i32::try_from(input.len()).unwrap())
}

fn init(door: &Door<Passes>, settings: &str) -> String {
    let (pointer, length) = put(door, settings.as_bytes());
    let packed = door.init(pointer, length);
    let result = String::from_utf8(door.0.borrow().result.clone()).unwrap();
    assert_eq!(packed & 0xFFFF_FFFF, i64::try_from(result.len()).unwrap());
    result
}

fn batch(door: &Door<Passes>, bytes: &[u8]) -> i64 {
    let (pointer, length) = put(door, bytes);
    door.batch(pointer, length) & 0xFFFF_FFFF
}

#[test]
fn init_tells_needs_or_errors_as_json() {
    let door = Door::new();
    assert_eq!(
        init(&door, "{}"),
        r#"{"ok":{"needs":{"origin":false,"properties":false,"headers":false,"body":7},"routes":["eu"],"unrouted":false}}"#
    );
    assert_eq!(
        init(&door, r#"{"a/b~":1}"#),
        r#"{"err":[{"pointer":"/a~1b~0","message":"unknown field `a/b~`, there are no fields"}]}"#
    );
    assert!(init(&door, "{").starts_with(r#"{"err":[{"pointer":"","message":"EOF"#));
    assert!(init(&door, "{} x").starts_with(r#"{"err":[{"pointer":"","message":"trailing"#));
}

#[test]
fn a_batch_is_answered_only_after_init() {
    let door = Door::new();
    let bytes = MessageBuilder::new().build();
    assert_eq!(batch(&door, &bytes), 0);
    init(&door, "{}");
    assert_eq!(batch(&door, &bytes), 16 + 8);
    assert_eq!(batch(&door, &bytes[1..]), 0);
    // Settings that are refused leave the plugin as it was.
    init(&door, "[]");
    assert_eq!(batch(&door, &bytes), 16 + 8);
}

#[test]
fn input_must_be_in_the_buffer() {
    let door = Door::new();
    init(&door, "{}");
    let bytes = MessageBuilder::new().build();
    let (pointer, length) = put(&door, &bytes);
    for (pointer, length) in [(pointer + 1, length - 1), (0, length), (pointer, -1)] {
        assert_eq!(door.batch(pointer, length), 0);
    }
    assert_ne!(door.batch(pointer, length), 0);
}

#[test]
fn the_buffer_grows_and_stays() {
    let door = Door::<Passes>::new();
    let large = door.buffer(1000);
    assert_eq!(door.buffer(10), large);
    door.buffer(2000);
    assert_eq!(door.0.borrow().buffer.len(), 2000);
}
