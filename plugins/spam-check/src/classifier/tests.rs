//! Tests: what a text becomes, what a model file must be, what the shipped model thinks.

use super::grams::each_gram;
use super::text::normalise;
use super::{BadModel, Calibration, Model, TEXT_LIMIT, to_bytes};

const MODEL: &[u8] = include_bytes!("../../model.bin");

#[test]
fn texts_are_normalised() {
    for (text, expected) in [
        ("Hello  WORLD\r\n\tx", " hello world x "),
        ("", " "),
        (" a ", " a "),
        ("ÄÖ£ \u{a0}İ", " äö£ i\u{307} "),
        ("a\u{0}b", " a b "),
    ] {
        let mut out = Vec::new();
        normalise(text, &mut out);
        let shown: String = out.iter().copied().filter_map(char::from_u32).collect();
        assert_eq!(shown, expected, "{text:?}");
    }
}

#[test]
fn a_long_text_counts_up_to_the_limit() {
    let mut out = Vec::new();
    for text in ["x".repeat(TEXT_LIMIT + 5), "ä".repeat(TEXT_LIMIT), "💣".repeat(TEXT_LIMIT)] {
        normalise(&text, &mut out);
        let width = text.chars().next().map_or(1, char::len_utf8);
        assert_eq!(out.len(), TEXT_LIMIT / width + 2);
    }
}

#[test]
fn n_grams_have_two_to_five_characters() {
    let mut buckets = Vec::new();
    let characters: Vec<u32> = "abcdef".chars().map(u32::from).collect();
    each_gram(&characters, 17, |bucket| buckets.push(bucket));
    assert_eq!(buckets.len(), 5 + 4 + 3 + 2);
    assert!(buckets.iter().all(|bucket| *bucket < 1 << 17));
    let mut other = Vec::new();
    each_gram(&characters[1..5], 17, |bucket| other.push(bucket));
    assert!(other.iter().all(|bucket| buckets.contains(bucket)), "the place is of no account");
}

#[test]
fn a_model_file_is_checked() {
    let changed = |at: usize, byte: u8| {
        let mut bytes = MODEL.to_vec();
        bytes[at] = byte;
        bytes
    };
    for (bytes, expected) in [
        (Vec::new(), BadModel::Length),
        (MODEL[..19].to_vec(), BadModel::Length),
        (MODEL[..MODEL.len() - 1].to_vec(), BadModel::Length),
        ([MODEL, b"x"].concat(), BadModel::Length),
        (changed(0, b'X'), BadModel::Magic),
        (changed(4, 2), BadModel::Version),
        (changed(5, 16), BadModel::Length),
        (changed(5, 200), BadModel::Version),
        (changed(7, 6), BadModel::Version),
        ([&MODEL[..8], &f32::NAN.to_le_bytes(), &MODEL[12..]].concat(), BadModel::Number),
    ] {
        assert_eq!(Model::from_bytes(&bytes).err(), Some(expected));
    }
}

#[test]
fn a_written_model_scores_as_it_was_learnt() {
    let buckets = 1 << 8;
    let grams = Model::blank(8).grams("free money").to_vec();
    let (mut weights, rarities) = (vec![-0.5; buckets], vec![2.0; buckets]);
    grams.iter().for_each(|bucket| weights[*bucket as usize] = 1.0);
    let bytes = to_bytes(&weights, &rarities, Calibration { slope: 2.0, offset: 0.0 });
    let mut model = Model::from_bytes(&bytes).unwrap();
    assert!(model.score("free money") > 0.5);
    assert!(model.score("zzz yyy") < 0.5);
    let first = model.margin("free money");
    model.margin("something else");
    assert_eq!(model.margin("free money"), first, "nothing of one text is left for the next");
}

#[test]
fn the_shipped_model_knows_spam() {
    let mut model = Model::from_bytes(MODEL).unwrap();
    for (text, spam) in [
        ("Congratulations! You have been selected to receive a £500 prize. Call 09061234567", true),
        ("FREE MSG: claim your ringtone now, txt TONE to 87121. £1.50/msg, STOP to end", true),
        ("Hey, are we still on for dinner at eight? I can pick you up", false),
        ("The invoice for order 4711 is attached, thanks", false),
        ("645", false),
        ("", false),
    ] {
        let score = model.score(text);
        assert_eq!(score >= 0.9, spam, "{score} {text}");
    }
}
