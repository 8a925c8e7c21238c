//! The model: a weight and a rarity for each bucket of n-grams, its file, and how a text is
//! scored.
//!
//! A text is the vector of the rarities of its n-grams, scaled to length 1 or a little less. Its
//! margin is the product with the weights that a linear support vector machine learnt; its score
//! is a logistic curve over the margin.
//!
//! The file, little-endian: magic `LGSM`, format version, bits of a bucket's number, shortest and
//! longest n-gram (a `u8` each), the weights' unit, slope and offset (`f32` each); then for each
//! bucket its weight (`i16`), and for each bucket its rarity (`u8`).

use thiserror::Error;

use super::grams::{LONGEST, SHORTEST, each_gram};
use super::text::normalise;

const MAGIC: [u8; 4] = *b"LGSM";
const VERSION: u8 = 1;
/// Bytes before the weights.
const HEAD: usize = 20;
/// Bits of a bucket's number that a file may have: 2^24 buckets take 64 MiB.
const BITS: std::ops::RangeInclusive<u8> = 8..=22;

/// Rarities are multiples of this, up to 255 of them.
pub const RARITY_UNIT: f32 = 0.125;

/// Added to the square of a text's length before it is scaled, in squares of rarities: the few
/// n-grams of a very short text are little evidence, and scaled up to length 1 they would be a
/// lot.
pub const DAMPING: f32 = 5000.0;

/// A model ready to score. It marks n-grams within its own table, hence `&mut self`.
pub struct Model {
    bits: u32,
    cells: Vec<Cell>,
    weight_unit: f32,
    calibration: Calibration,
    characters: Vec<u32>,
    found: Vec<u32>,
}

/// What is known of one bucket, together so that a look-up touches one cache line.
#[derive(Clone, Copy, Default)]
struct Cell {
    /// In units of the model.
    weight: i16,
    /// In units of [`RARITY_UNIT`]; 0 for an n-gram that training never saw.
    rarity: u8,
    /// Whether the text at hand has it; unset between texts.
    found: bool,
}

/// How a margin becomes a score: `1 / (1 + exp(-(slope * margin + offset)))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Steepness.
    pub slope: f32,
    /// Shifts the margin at which the score is one half.
    pub offset: f32,
}

impl Calibration {
    /// The score of a margin, 0 to 1.
    pub fn score(self, margin: f32) -> f32 {
        1.0 / (1.0 + (-(self.slope * margin + self.offset)).exp())
    }
}

/// Why bytes are not a model.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadModel {
    /// The magic number is missing.
    #[error("not a model file")]
    Magic,
    /// Made by another version of the trainer.
    #[error("the model is of another format or of other n-grams: train it again")]
    Version,
    /// The length does not match the head.
    #[error("the model file is damaged: its length does not match its head")]
    Length,
    /// A number in the head is not finite.
    #[error("the model file is damaged: a number in its head is not finite")]
    Number,
}

impl Model {
    /// Reads a model file.
    ///
    /// # Errors
    /// The bytes are not one, or one of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadModel> {
        let (head, table) = bytes.split_at_checked(HEAD).ok_or(BadModel::Length)?;
        let &[a, b, c, d, version, bits, shortest, longest, ref numbers @ ..] = head else {
            return Err(BadModel::Length);
        };
        if [a, b, c, d] != MAGIC {
            return Err(BadModel::Magic);
        }
        let grams = [shortest, longest].map(usize::from);
        if version != VERSION || grams != [SHORTEST, LONGEST] || !BITS.contains(&bits) {
            return Err(BadModel::Version);
        }
        let numbers: Vec<f32> =
            numbers.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        let &[weight_unit, slope, offset] = numbers.as_slice() else {
            return Err(BadModel::Length);
        };
        if !numbers.iter().all(|number| number.is_finite()) {
            return Err(BadModel::Number);
        }
        let buckets = 1_usize << bits;
        let (weights, rarities) = table.split_at_checked(2 * buckets).ok_or(BadModel::Length)?;
        if rarities.len() != buckets {
            return Err(BadModel::Length);
        }
        let weights = weights.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes));
        let cell = |(weight, &rarity)| Cell { weight, rarity, found: false };
        Ok(Self {
            bits: u32::from(bits),
            cells: weights.zip(rarities).map(cell).collect(),
            weight_unit,
            calibration: Calibration { slope, offset },
            characters: Vec::new(),
            found: Vec::new(),
        })
    }

    /// A model that knows nothing: training takes the n-grams of texts from it.
    pub fn blank(bits: u32) -> Self {
        Self {
            bits,
            cells: vec![Cell::default(); 1 << bits],
            weight_unit: 1.0,
            calibration: Calibration { slope: 1.0, offset: 0.0 },
            characters: Vec::new(),
            found: Vec::new(),
        }
    }

    /// The buckets of a text's n-grams, each once, in no order.
    pub fn grams(&mut self, text: &str) -> &[u32] {
        self.find(text);
        for &bucket in &self.found {
            if let Some(cell) = self.cells.get_mut(bucket as usize) {
                cell.found = false;
            }
        }
        &self.found
    }

    /// The score of a text, from 0 (certainly no spam) to 1. The trainer puts its working point
    /// at 0.9.
    pub fn score(&mut self, text: &str) -> f32 {
        let margin = self.margin(text);
        self.calibration.score(margin)
    }

    /// The product of the weights with the text. Sums of integers: the same on every machine.
    pub fn margin(&mut self, text: &str) -> f32 {
        self.find(text);
        let (mut product, mut square) = (0_i64, 0_u32);
        for &bucket in &self.found {
            if let Some(cell) = self.cells.get_mut(bucket as usize) {
                product += i64::from(i32::from(cell.weight) * i32::from(cell.rarity));
                square += u32::from(cell.rarity) * u32::from(cell.rarity);
                cell.found = false;
            }
        }
        let damping = DAMPING / (RARITY_UNIT * RARITY_UNIT);
        product as f32 * self.weight_unit / (square as f32 + damping).sqrt()
    }

    /// Marks the text's n-grams in the table, and lists them.
    fn find(&mut self, text: &str) {
        normalise(text, &mut self.characters);
        self.found.clear();
        let (cells, list) = (&mut self.cells, &mut self.found);
        each_gram(&self.characters, self.bits, |bucket| {
            if let Some(cell) = cells.get_mut(bucket as usize)
                && !cell.found
            {
                cell.found = true;
                list.push(bucket);
            }
        });
    }
}

/// A model as a file. `weights` and `rarities` have one entry for each bucket; there are a power
/// of two of them.
pub fn to_bytes(weights: &[f32], rarities: &[f32], calibration: Calibration) -> Vec<u8> {
    let heaviest = weights.iter().fold(f32::MIN_POSITIVE, |most, weight| most.max(weight.abs()));
    let unit = heaviest / f32::from(i16::MAX);
    let mut out = Vec::with_capacity(HEAD + 3 * weights.len());
    out.extend(MAGIC);
    out.extend([VERSION, weights.len().trailing_zeros() as u8, SHORTEST as u8, LONGEST as u8]);
    for number in [unit, calibration.slope, calibration.offset] {
        out.extend(number.to_le_bytes());
    }
    for weight in weights {
        out.extend(((weight / unit).round() as i16).to_le_bytes());
    }
    out.extend(rarities.iter().map(|rarity| (rarity / RARITY_UNIT).round() as u8));
    out
}
