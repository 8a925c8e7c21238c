//! Limits: what one key, one value and one stage may take.

use lockgate_message::state::{KEY_MAX, Space, StateError};

/// What one stage may keep in the embedded store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Of keys and values, bytes.
    pub bytes: u64,
    /// Values, kept claims, claims in flight and counters.
    pub keys: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self { bytes: 64 << 20, keys: 1_000_000 }
    }
}

/// Longest name of a pipeline or a stage, bytes; the configuration takes 64.
const NAME_MAX: usize = 255;

/// Refuses a key that no store takes.
pub(crate) fn check(space: &Space, key: &[u8]) -> Result<(), StateError> {
    if key.len() > KEY_MAX {
        let length = key.len();
        return Err(StateError::Invalid(format!("a key of {length} bytes, at most {KEY_MAX}")));
    }
    if space.pipeline.len() > NAME_MAX || space.stage.len() > NAME_MAX {
        return Err(StateError::Invalid(format!("a name longer than {NAME_MAX} bytes")));
    }
    Ok(())
}
