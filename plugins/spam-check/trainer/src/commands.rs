//! The commands: train a model, evaluate the way of training by cross-validation, test a model.

use std::path::Path;

use anyhow::{Context, Result};
use spam_check::classifier::{Calibration, Model, to_bytes};

use crate::calibrate::{Outcome, WORKING_SCORE, curve, threshold};
use crate::corpus::{Corpus, deal};
use crate::learn::{Learnt, unseen_margins};

/// Folds of the cross-validation, and of the one within each of its folds.
const FOLDS: usize = 10;
const INNER_FOLDS: usize = 5;
/// Deals into folds over which margins are averaged.
const DEALS: u64 = 3;

/// Learns from all texts of a file, calibrates by cross-validation, writes the model.
///
/// # Errors
/// The file cannot be read or the model cannot be written.
pub fn train(file: &Path, out: &Path, ham_blocked: f64) -> Result<()> {
    let corpus = Corpus::read(file)?;
    let all: Vec<usize> = (0..corpus.len()).collect();
    let margins = unseen_margins(&corpus, &all, &corpus.duplicates(), FOLDS, DEALS);
    let working_point = threshold(&margins, &corpus.spam, ham_blocked);
    let curve = curve(&margins, &corpus.spam, working_point);
    let learnt = Learnt::from(&corpus, &all);
    let weights: Vec<f32> = learnt.plane.weights.iter().map(|weight| *weight as f32).collect();
    let offset = curve.offset + curve.slope * learnt.plane.bias as f32;
    let calibration = Calibration { slope: curve.slope, offset };
    let bytes = to_bytes(&weights, &learnt.rarities, calibration);
    std::fs::write(out, &bytes).with_context(|| format!("cannot write {}", out.display()))?;
    print_corpus(&corpus);
    let outcome = Outcome::of(&margins, &corpus.spam, working_point);
    print_outcome(&format!("{FOLDS} folds, score >= {WORKING_SCORE}"), &outcome);
    println!("{}: {} bytes", out.display(), bytes.len());
    Ok(())
}

/// Prints what the way of training does to texts that it has not seen.
///
/// # Errors
/// The file cannot be read.
pub fn evaluate(file: &Path, ham_blocked: f64) -> Result<()> {
    let corpus = Corpus::read(file)?;
    print_corpus(&corpus);
    let all: Vec<usize> = (0..corpus.len()).collect();
    for (name, groups) in
        [("duplicates", corpus.duplicates()), ("near-duplicates", corpus.near_duplicates())]
    {
        let mut names = groups.clone();
        names.sort_unstable();
        names.dedup();
        println!("\n{name} together: {} groups, {FOLDS} folds, {DEALS} deals", names.len());
        let margins = unseen_margins(&corpus, &all, &groups, FOLDS, DEALS);
        for part in [0.001, 0.002, 0.003, 0.005] {
            let threshold = threshold(&margins, &corpus.spam, part);
            let outcome = Outcome::of(&margins, &corpus.spam, threshold);
            print_outcome(&format!("threshold for {:.1} % of ham", 100.0 * part), &outcome);
        }
        let outcome = nested(&corpus, &groups, ham_blocked);
        print_outcome("threshold found without the fold", &outcome);
    }
    Ok(())
}

/// The whole procedure, threshold included, on nine tenths of the texts, judged by the last one;
/// for each tenth.
fn nested(corpus: &Corpus, groups: &[usize], ham_blocked: f64) -> Outcome {
    let dealt = deal(groups, FOLDS, 1);
    let mut sum = Outcome { spam: 0, ham: 0, spam_blocked: 0, ham_blocked: 0 };
    for fold in 0..FOLDS {
        let split = |inside: bool| -> Vec<usize> {
            let texts = dealt.iter().enumerate().filter(|(_, of)| (**of == fold) == inside);
            texts.map(|(index, _)| index).collect()
        };
        let labels = |members: &[usize]| -> Vec<bool> {
            members.iter().filter_map(|&index| corpus.spam.get(index)).copied().collect()
        };
        let (others, members) = (split(false), split(true));
        let margins = unseen_margins(corpus, &others, groups, INNER_FOLDS, DEALS);
        let threshold = threshold(&margins, &labels(&others), ham_blocked);
        let learnt = Learnt::from(corpus, &others);
        let grams = members.iter().filter_map(|&index| corpus.grams.get(index));
        let margins: Vec<f64> = grams.map(|grams| learnt.margin(grams)).collect();
        let outcome = Outcome::of(&margins, &labels(&members), threshold);
        sum.spam += outcome.spam;
        sum.ham += outcome.ham;
        sum.spam_blocked += outcome.spam_blocked;
        sum.ham_blocked += outcome.ham_blocked;
    }
    sum
}

/// Prints what a model does to labelled texts, through the code that the plugin runs.
///
/// # Errors
/// A file cannot be read or is no model.
pub fn test(file: &Path, model: &Path, threshold: f64) -> Result<()> {
    let corpus = Corpus::read(file)?;
    let bytes = std::fs::read(model).with_context(|| format!("cannot read {}", model.display()))?;
    let mut model = Model::from_bytes(&bytes)?;
    let scores: Vec<f64> = corpus.texts.iter().map(|text| f64::from(model.score(text))).collect();
    print_corpus(&corpus);
    // Blocked is at or above a threshold; the count is of what lies above.
    let outcome = Outcome::of(&scores, &corpus.spam, threshold.next_down());
    print_outcome(&format!("score >= {threshold}"), &outcome);
    Ok(())
}

fn print_corpus(corpus: &Corpus) {
    let spam = corpus.spam.iter().filter(|spam| **spam).count();
    println!("{} texts, {spam} of them spam", corpus.len());
}

fn print_outcome(name: &str, outcome: &Outcome) {
    println!(
        "{name:<34} recall {:.4} ({} of {})   ham blocked {:.2} % ({} of {})",
        outcome.recall(),
        outcome.spam_blocked,
        outcome.spam,
        outcome.ham_percent(),
        outcome.ham_blocked,
        outcome.ham,
    );
}
