//! From margins of unseen texts to the curve that makes scores of them, and what a margin as
//! threshold would have done.

use spam_check::classifier::Calibration;

/// The score at the working point.
pub const WORKING_SCORE: f64 = 0.9;

/// What a threshold did to texts that were not learnt from.
pub struct Outcome {
    /// Texts of each label.
    pub spam: usize,
    pub ham: usize,
    /// Of those, the ones above the threshold.
    pub spam_blocked: usize,
    pub ham_blocked: usize,
}

impl Outcome {
    /// Counts margins above a threshold.
    pub fn of(margins: &[f64], spam: &[bool], threshold: f64) -> Self {
        let count = |label: bool, blocked: bool| {
            let texts = margins.iter().zip(spam).filter(|(_, spam)| **spam == label);
            texts.filter(|(margin, _)| !blocked || **margin > threshold).count()
        };
        Self {
            spam: count(true, false),
            ham: count(false, false),
            spam_blocked: count(true, true),
            ham_blocked: count(false, true),
        }
    }

    /// Part of the spam that is blocked.
    pub fn recall(&self) -> f64 {
        self.spam_blocked as f64 / self.spam as f64
    }

    /// Percentage of the ham that is blocked.
    pub fn ham_percent(&self) -> f64 {
        100.0 * self.ham_blocked as f64 / self.ham as f64
    }
}

/// The threshold above which a given part of the ham lies: midway to the next text of ham below.
pub fn threshold(margins: &[f64], spam: &[bool], ham_blocked: f64) -> f64 {
    let texts = margins.iter().zip(spam);
    let mut ham: Vec<f64> = texts.filter(|(_, spam)| !**spam).map(|(margin, _)| *margin).collect();
    ham.sort_by(|a, b| b.total_cmp(a));
    let blocked = (ham.len() as f64 * ham_blocked) as usize;
    let at = |rank: usize| ham.get(rank).or(ham.last()).copied().unwrap_or(0.0);
    match blocked {
        0 => at(0) + 1e-6,
        blocked => (at(blocked - 1) + at(blocked)) / 2.0,
    }
}

/// The curve: its slope is that of a logistic regression of the labels on the margins (Platt:
/// "Probabilistic Outputs for Support Vector Machines", 1999, with his targets), its offset puts
/// `threshold` at [`WORKING_SCORE`].
pub fn curve(margins: &[f64], spam: &[bool], threshold: f64) -> Calibration {
    let positives = spam.iter().filter(|spam| **spam).count() as f64;
    let negatives = spam.len() as f64 - positives;
    let target = |spam: bool| {
        if spam { (positives + 1.0) / (positives + 2.0) } else { 1.0 / (negatives + 2.0) }
    };
    let (mut slope, mut offset) = (1.0_f64, 0.0_f64);
    // Newton's method; a handful of steps is enough, for the function is convex.
    for _ in 0..50 {
        let (mut g_slope, mut g_offset) = (0.0, 0.0);
        let (mut h_slope, mut h_both, mut h_offset) = (1e-9, 0.0, 1e-9);
        for (margin, spam) in margins.iter().zip(spam) {
            let score = 1.0 / (1.0 + (-(slope * margin + offset)).exp());
            let (error, spread) = (score - target(*spam), score * (1.0 - score));
            g_slope += error * margin;
            g_offset += error;
            h_slope += spread * margin * margin;
            h_both += spread * margin;
            h_offset += spread;
        }
        let determinant = h_slope * h_offset - h_both * h_both;
        slope -= (h_offset * g_slope - h_both * g_offset) / determinant;
        offset -= (h_slope * g_offset - h_both * g_slope) / determinant;
    }
    let working = (WORKING_SCORE / (1.0 - WORKING_SCORE)).ln();
    Calibration { slope: slope as f32, offset: (working - slope * threshold) as f32 }
}
