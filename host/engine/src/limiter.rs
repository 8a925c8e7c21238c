//! Limiter: memory and tables of one sandbox, counted and capped.

use wasmtime::ResourceLimiter;

use crate::limits::Limits;
use crate::machine;

/// Core instances, memories and tables of one plugin. A componentised Python has about twenty.
const MAX_PARTS: usize = 100;

/// Counts what a store's guests hold, over all their memories and tables.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: usize,
    max_memory: usize,
    tables: usize,
    max_tables: usize,
    /// What the last permitted growth added, in case the machine then refuses it.
    pending: usize,
    /// A growth was refused; a trap that follows is most likely its consequence.
    refused: bool,
    /// The machine, not a limit of the plugin, refused a growth, and why.
    starved: Option<String>,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory: 0,
            max_memory: limits.memory,
            tables: 0,
            max_tables: limits.table_elements,
            pending: 0,
            refused: false,
            starved: None,
        }
    }

    /// Bytes of linear memory held.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    pub(crate) fn max_memory(&self) -> usize {
        self.max_memory
    }

    /// Forgets an earlier refusal; called before each guest call.
    pub(crate) fn start_call(&mut self) {
        self.refused = false;
        self.starved = None;
    }

    /// Why the machine gave no memory during this call, if that was so.
    pub(crate) fn starved(&self) -> Option<&str> {
        self.starved.as_deref()
    }

    pub(crate) fn refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        // What the memory's own type forbids is refused here as well, so that a growth which was
        // permitted can fail for the machine's sake alone.
        if total > self.max_memory || maximum.is_some_and(|maximum| desired > maximum) {
            self.pending = 0;
            self.refused = true;
            return Ok(false);
        }
        self.pending = total - self.memory;
        self.memory = total;
        Ok(true)
    }

    /// Also called for a growth beyond what any memory can have, of which nobody was asked before:
    /// nothing was counted for it.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.starved = machine::refusal(&error);
        if self.starved.is_some() {
            self.memory -= std::mem::take(&mut self.pending).min(self.memory);
        }
        self.refused = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.tables.saturating_add(desired.saturating_sub(current));
        if total > self.max_tables {
            self.refused = true;
            return Ok(false);
        }
        self.tables = total;
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.starved = machine::refusal(&error);
        self.refused = true;
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}
