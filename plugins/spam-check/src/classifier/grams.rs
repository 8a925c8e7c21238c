//! N-grams: each run of 2 to 5 characters, hashed to a bucket of the model's table.

/// Shortest and longest run.
pub const SHORTEST: usize = 2;
/// See [`SHORTEST`].
pub const LONGEST: usize = 5;

/// Calls `take` with the bucket of every n-gram, as often as it occurs. Buckets are below
/// `1 << bits`; `bits` is 1 to 31.
///
/// The hash of an n-gram extends that of its tail by one character to the left, so each costs
/// one multiplication (Knuth's multiplicative hashing, golden ratio of 2^32).
#[inline]
pub(crate) fn each_gram(characters: &[u32], bits: u32, mut take: impl FnMut(u32)) {
    let shift = 32 - bits;
    for end in 1..=characters.len() {
        let start = end.saturating_sub(LONGEST);
        let mut hash = SEED;
        for (length, character) in (1..).zip(characters.get(start..end).unwrap_or(&[]).iter().rev())
        {
            hash = (hash.rotate_left(15) ^ character).wrapping_mul(GOLDEN);
            if length >= SHORTEST {
                take((hash ^ (hash >> 15)).wrapping_mul(MIX) >> shift);
            }
        }
    }
}

const SEED: u32 = 0x9747_B28C;
const GOLDEN: u32 = 0x9E37_79B1;
/// The first multiplier of MurmurHash3's finaliser.
const MIX: u32 = 0x85EB_CA6B;
