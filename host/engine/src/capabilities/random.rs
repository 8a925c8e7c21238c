//! Capability `random`. Without it a guest gets a generator seeded per instance: enough for the
//! hash tables of language runtimes, and nothing that a secret should be made of.

use rustix::rand::{GetRandomFlags, getrandom};

/// A guest's source of random bytes.
#[derive(Debug)]
pub(crate) enum Random {
    System,
    Seeded(u64),
}

impl Random {
    pub(crate) fn new(granted: bool, seed: u64) -> Self {
        if granted { Self::System } else { Self::Seeded(seed) }
    }

    /// Fills `out`; false when the system has no random bytes to give.
    pub(crate) fn fill(&mut self, out: &mut [u8]) -> bool {
        match self {
            Self::System => fill_from_system(out),
            Self::Seeded(state) => {
                for chunk in out.chunks_mut(8) {
                    chunk.iter_mut().zip(split_mix(state).to_le_bytes()).for_each(|(o, b)| *o = b);
                }
                true
            }
        }
    }
}

/// Fills `out` from the operating system; false when it cannot.
pub(crate) fn fill_from_system(out: &mut [u8]) -> bool {
    let mut filled = 0;
    while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match getrandom(rest, GetRandomFlags::empty()) {
            Ok(more) if more > 0 => filled += more,
            Err(rustix::io::Errno::INTR) => {}
            _ => return false,
        }
    }
    true
}

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_the_system_does_not() {
        let bytes = |random: &mut Random| {
            let mut out = [0; 19];
            assert!(random.fill(&mut out));
            out
        };
        let seeded = || Random::new(false, 1);
        assert_eq!(bytes(&mut seeded()), bytes(&mut seeded()));
        assert_ne!(bytes(&mut Random::new(true, 1)), bytes(&mut Random::new(true, 1)));
    }
}
