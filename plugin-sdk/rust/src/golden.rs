//! Tests against the golden vectors in `plugin-sdk/frame/`, and against damaged ones.

mod json;

use serde_json::Value as Json;

use crate::output::Output;
use crate::testing::{build, output};
use crate::{Batch, host};

fn load(name: &str) -> Vec<Json> {
    let path = format!("{}/../frame/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let file: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(file["format"], 1);
    file["vectors"].as_array().unwrap().clone()
}

fn decode(bytes: &[u8]) -> Json {
    let Ok(batch) = Batch::read(bytes) else { return json::refused() };
    json::batch(&batch)
}

#[test]
fn batches_are_read_as_expected() {
    for vector in load("batches") {
        let found = decode(&json::bytes(&vector["bytes"]));
        assert_eq!(found, json::comparable(&vector["expect"]), "{}", vector["name"]);
    }
}

#[test]
fn the_test_builder_writes_what_the_host_writes() {
    let vectors = load("batches");
    let mut checked = 0;
    for vector in vectors.iter().filter(|vector| vector["encode"].is_object()) {
        let encode = &vector["encode"];
        let messages: Vec<_> = json::items(&encode["messages"])
            .map(|message| json::builder(message, &encode["received_micros"]))
            .collect();
        let messages: Vec<_> = messages.iter().collect();
        if messages.is_empty() {
            continue;
        }
        let written = build::batch(&messages, &json::needs(&encode["needs"]));
        assert_eq!(written, json::bytes(&vector["bytes"]), "{}", vector["name"]);
        checked += 1;
    }
    assert!(checked > 20);
}

#[test]
fn verdicts_are_written_as_expected() {
    for vector in load("outputs").iter().filter(|vector| vector["canonical"] == true) {
        let reasons: Vec<_> = json::items(&vector["reasons"]).collect();
        let mut written = Vec::new();
        let mut output = Output::new(&mut written, reasons.len());
        for (verdict, index) in json::items(&vector["expect"]).zip(0..) {
            output.push(index, &json::verdict(verdict, &reasons));
        }
        output.finish().unwrap();
        assert_eq!(written, json::bytes(&vector["bytes"]), "{}", vector["name"]);
    }
}

#[test]
fn outputs_are_read_back_as_the_host_does() {
    for vector in load("outputs") {
        let reasons: Vec<_> = json::items(&vector["reasons"]).collect();
        let expected: Option<Vec<_>> = json::items(&vector["expect"])
            .map(|verdict| {
                (verdict["verdict"] != "fault").then(|| json::verdict(verdict, &reasons))
            })
            .collect();
        let count = usize::try_from(vector["count"].as_u64().unwrap()).unwrap();
        let found = output::read(&json::bytes(&vector["bytes"]), count, reasons.len());
        assert_eq!(found, expected, "{}", vector["name"]);
    }
}

#[test]
fn a_batch_that_is_cut_loses_only_what_is_cut() {
    for vector in load("batches").iter().filter(|vector| vector["encode"].is_object()) {
        let whole = json::bytes(&vector["bytes"]);
        if whole.len() > 5000 {
            continue;
        }
        let count = Batch::read(&whole).unwrap().count();
        for cut in 0..whole.len() {
            let mut bytes = whole[..cut].to_vec();
            assert_eq!(decode(&bytes), json::refused());
            patch_length(&mut bytes);
            let Ok(batch) = Batch::read(&bytes) else {
                assert!(cut < 24 + 4 * count as usize, "{} cut at {cut}", vector["name"]);
                continue;
            };
            let readable = batch.messages().filter(Result::is_ok).count();
            assert!(readable < count as usize, "{} cut at {cut}", vector["name"]);
        }
    }
}

#[test]
fn damage_never_panics() {
    let batches: Vec<_> = load("batches").iter().map(|v| json::bytes(&v["bytes"])).collect();
    let outputs: Vec<_> = load("outputs").iter().map(|v| json::bytes(&v["bytes"])).collect();
    for round in 0..20_000 {
        let mut bytes = damaged(&batches[round % batches.len()]);
        decode(&bytes);
        patch_length(&mut bytes);
        decode(&bytes);
        let mut bytes = damaged(&outputs[round % outputs.len()]);
        patch_length(&mut bytes);
        output::read(&bytes, 3, 2);
    }
}

/// The first 4,000 bytes with up to eight of them changed, the same in every run.
fn damaged(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes[..bytes.len().min(4000)].to_vec();
    let mut random = [0; 33];
    host::random(&mut random);
    let (changes, kind) = random.split_at(32);
    for change in changes.chunks(4).take(1 + usize::from(kind[0] % 8)) {
        let length = bytes.len().max(1);
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % length;
        if let Some(byte) = bytes.get_mut(at) {
            *byte = [0, 1, 0x7F, 0x80, 0xFF, change[3]][usize::from(change[2]) % 6];
        }
    }
    bytes
}

fn patch_length(bytes: &mut [u8]) {
    let length = u32::try_from(bytes.len()).unwrap();
    if let Some(slot) = bytes.get_mut(12..16) {
        slot.copy_from_slice(&length.to_le_bytes());
    }
}
