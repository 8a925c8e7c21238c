//! A store that costs nothing: what is measured with it is the sandbox's side of state.

use std::time::Duration;

use lockgate_message::state::{Claimed, Space, StateError, Store, Write};

pub(crate) struct Free;

impl Store for Free {
    fn get(&self, _: &Space, _: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(None)
    }

    fn claim(&self, _: &Space, _: &[u8]) -> Result<Claimed, StateError> {
        Ok(Claimed::Ours(1))
    }

    fn release(&self, _: &Space, _: &[u8], _: u64) {}

    fn add(&self, _: &Space, _: &[u8], _: i64, _: Duration) -> Result<i64, StateError> {
        Ok(1)
    }

    fn commit(&self, _: &[Write]) -> Result<(), StateError> {
        Ok(())
    }
}
