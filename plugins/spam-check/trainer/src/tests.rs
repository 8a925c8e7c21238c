//! Tests: the way of training, on texts made here.

use std::io::Write as _;

use crate::calibrate::{Outcome, curve, threshold};
use crate::corpus::{Corpus, deal};
use crate::learn::{Learnt, unseen_margins};

/// Texts of which two words tell the label, and each stands there twice.
fn corpus() -> Corpus {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for number in 0..60 {
        for _ in 0..2 {
            writeln!(file, "ham\tmeet me at {number} tomorrow, home {}", number * 7).unwrap();
            writeln!(file, "spam\twin a prize of {number} now, claim {}", number * 7).unwrap();
        }
    }
    Corpus::read(file.path()).unwrap()
}

#[test]
fn unseen_texts_are_told_apart() {
    let corpus = corpus();
    let all: Vec<usize> = (0..corpus.len()).collect();
    let margins = unseen_margins(&corpus, &all, &corpus.duplicates(), 5, 1);
    let threshold = threshold(&margins, &corpus.spam, 0.0);
    let outcome = Outcome::of(&margins, &corpus.spam, threshold);
    assert_eq!((outcome.spam_blocked, outcome.ham_blocked), (120, 0));
    let curve = curve(&margins, &corpus.spam, threshold);
    assert!(curve.slope > 0.0);
    assert!((curve.score(threshold as f32) - 0.9).abs() < 1e-3);
}

#[test]
fn the_same_texts_give_the_same_plane() {
    let corpus = corpus();
    let all: Vec<usize> = (0..corpus.len()).collect();
    let learn = || Learnt::from(&corpus, &all).plane.weights;
    assert_eq!(learn(), learn());
}

#[test]
fn duplicates_stay_together() {
    let corpus = corpus();
    for groups in [corpus.duplicates(), corpus.near_duplicates()] {
        let folds = deal(&groups, 10, 1);
        for (text, (group, fold)) in corpus.texts.iter().zip(groups.iter().zip(&folds)) {
            let first = corpus.texts.iter().position(|other| other == text).unwrap();
            assert_eq!((groups[first], folds[first]), (*group, *fold), "{text}");
        }
    }
}

#[test]
fn a_file_of_another_shape_is_refused() {
    for (content, expected) in [
        ("ham\ta\nspam b\n", "no tab"),
        ("eggs\ta\n", "the label is `eggs`"),
        ("ham\ta\n", "at least 20 texts"),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        let error = Corpus::read(file.path()).map(drop).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
