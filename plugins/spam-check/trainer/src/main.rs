//! Trains the model of the `spam-check` plugin from labelled texts, and says how good it is. The
//! same file gives the same model every time.
//!
//! In reading order: a corpus of texts; how to learn from it (a support vector machine over
//! rarities of n-grams); how a margin becomes a score; the commands.

mod corpus;
mod shuffle;

mod learn;
mod svm;

mod calibrate;

mod commands;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Trains and evaluates the model of the spam-check plugin.
///
/// FILE has one text a line: `spam` or `ham`, a tab, the text.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Learn from all texts of FILE and write the model.
    Train {
        file: PathBuf,
        /// Where to write the model.
        #[arg(long)]
        out: PathBuf,
        /// Part of the ham that a score of 0.9 may block, by cross-validation.
        #[arg(long, default_value_t = HAM_BLOCKED)]
        ham_blocked: f64,
    },
    /// Cross-validate: what training does to texts that it has not seen.
    Evaluate {
        file: PathBuf,
        /// As in `train`.
        #[arg(long, default_value_t = HAM_BLOCKED)]
        ham_blocked: f64,
    },
    /// Judge a model by texts that it was not trained on.
    Test {
        file: PathBuf,
        #[arg(long)]
        model: PathBuf,
        #[arg(long, default_value_t = 0.9)]
        threshold: f64,
    },
}

/// Two in a thousand: what goes through the threshold on new texts is often a little more.
const HAM_BLOCKED: f64 = 0.002;

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Train { file, out, ham_blocked } => commands::train(&file, &out, ham_blocked),
        Command::Evaluate { file, ham_blocked } => commands::evaluate(&file, ham_blocked),
        Command::Test { file, model, threshold } => commands::test(&file, &model, threshold),
    }
}
