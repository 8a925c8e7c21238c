//! Doors: the three ways into a plugin. All carry the same verdicts.

pub(crate) mod component;
pub(crate) mod core;
pub(crate) mod packed;
pub(crate) mod typed;
pub(crate) mod wasi;

use lockgate_message::{Input, Reason, Verdict};

use crate::fault::Crash;
use crate::frame::{decode, encode};
use crate::limits::Limits;
use crate::needs::Needs;

/// What a WASI reactor exports to be initialised.
pub(crate) const INITIALIZE: &str = "_initialize";

/// Which way into a plugin its exports offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// A core module: `lockgate_abi` and its kin.
    Core,
    /// A component that exports `handle-batch`.
    Packed,
    /// A component that exports `handle`.
    Typed,
}

impl Door {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "core module",
            Self::Packed => "packed component",
            Self::Typed => "typed component",
        }
    }
}

/// One call: some messages that fit together, and where their verdicts go.
pub(crate) struct Call<'a> {
    pub(crate) inputs: &'a [Input<'a>],
    /// Bytes of each one's frame.
    pub(crate) sizes: &'a [u32],
    pub(crate) needs: &'a Needs,
    pub(crate) received_us: u64,
    pub(crate) reasons: &'a [Reason],
    pub(crate) limits: &'a Limits,
    /// One per input, all `None` before.
    pub(crate) slots: &'a mut [Option<Verdict>],
}

impl Call<'_> {
    /// Bytes of the packed batch.
    pub(crate) fn size(&self) -> usize {
        encode::batch_size(self.sizes)
    }

    /// Bytes that the output may have.
    pub(crate) fn max_output(&self) -> usize {
        self.sizes.iter().map(|&size| self.limits.output_bytes(size as usize)).sum()
    }

    pub(crate) fn encode(&self, out: &mut [u8]) -> Option<()> {
        encode::write(self.inputs, self.sizes, self.needs, self.received_us, out)
    }

    pub(crate) fn decode(&mut self, output: &[u8]) -> Result<(), Crash> {
        let bounds = decode::Bounds { reasons: self.reasons, emitted: self.limits.emitted };
        decode::read(output, &bounds, self.slots).map_err(|unreadable| Crash::bad(unreadable.0))
    }
}
