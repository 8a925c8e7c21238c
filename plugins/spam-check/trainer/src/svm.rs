//! A linear support vector machine: L2-regularised squared hinge loss, solved by dual coordinate
//! descent (Hsieh, Chang, Lin, Keerthi, Sundararajan: "A Dual Coordinate Descent Method for
//! Large-scale Linear SVM", ICML 2008, algorithm 1), as in liblinear's solver 1. The same
//! examples in the same order give the same weights every time.

use crate::shuffle::Shuffle;

/// A row: buckets and values.
pub type Row = Vec<(u32, f32)>;

/// What separates the classes: positive on the spam side.
pub struct Plane {
    /// By bucket.
    pub weights: Vec<f64>,
    /// Added to every product.
    pub bias: f64,
}

/// Passes over the examples at most, and the spread of the projected gradient that ends sooner.
const PASSES: usize = 300;
const TOLERANCE: f64 = 1e-3;

impl Plane {
    /// Learns from rows of `buckets` columns and their labels. `cost` is the price of an error.
    pub fn learn(rows: &[(Row, bool)], buckets: usize, cost: f64) -> Self {
        let mut plane = Self { weights: vec![0.0; buckets], bias: 0.0 };
        let mut alphas = vec![0.0; rows.len()];
        let mut order: Vec<usize> = (0..rows.len()).collect();
        let mut shuffle = Shuffle::new(1);
        // The bias is one more column, of 1.
        let square = |row: &Row| 1.0 + row.iter().map(|(_, x)| f64::from(x * x)).sum::<f64>();
        let diagonal = 0.5 / cost;
        let steps: Vec<f64> = rows.iter().map(|(row, _)| 1.0 / (square(row) + diagonal)).collect();
        for _ in 0..PASSES {
            shuffle.shuffle(&mut order);
            let (mut highest, mut lowest) = (f64::NEG_INFINITY, f64::INFINITY);
            for &index in &order {
                let (Some((row, spam)), Some(step), Some(alpha)) =
                    (rows.get(index), steps.get(index), alphas.get_mut(index))
                else {
                    continue;
                };
                let sign = if *spam { 1.0 } else { -1.0 };
                let gradient = sign * plane.margin(row) - 1.0 + diagonal * *alpha;
                let projected = if *alpha == 0.0 { gradient.min(0.0) } else { gradient };
                highest = highest.max(projected);
                lowest = lowest.min(projected);
                if projected != 0.0 {
                    let next = (*alpha - gradient * step).max(0.0);
                    plane.add(row, (next - *alpha) * sign);
                    *alpha = next;
                }
            }
            if highest - lowest < TOLERANCE {
                break;
            }
        }
        plane
    }

    /// On which side a row lies, and how far out.
    pub fn margin(&self, row: &Row) -> f64 {
        let weight = |bucket: u32| self.weights.get(bucket as usize).copied().unwrap_or(0.0);
        let product: f64 =
            row.iter().map(|&(bucket, value)| weight(bucket) * f64::from(value)).sum();
        product + self.bias
    }

    fn add(&mut self, row: &Row, step: f64) {
        for &(bucket, value) in row {
            if let Some(weight) = self.weights.get_mut(bucket as usize) {
                *weight += step * f64::from(value);
            }
        }
        self.bias += step;
    }
}
