//! Faults: switches that make the broker fail as real ones do, for tests of what stands on it.

use std::collections::VecDeque;

use lockgate_transport::{ConnectError, PutError};

use crate::consumer::Standing;
use crate::{Broker, BrokerError};

/// What is to fail next.
#[derive(Default)]
pub(crate) struct Switches {
    pub(crate) puts: VecDeque<PutFault>,
    pub(crate) connects: VecDeque<ConnectError>,
    /// Puts wait until they are let on.
    pub(crate) blocked: bool,
}

/// What becomes of one whole put.
pub(crate) enum PutFault {
    /// Nothing is stored.
    Refuse(PutError),
    /// All is stored and nobody is told.
    LoseConfirm,
}

impl Broker {
    /// Makes the next put of any sink fail as a whole, storing nothing. Several calls line up.
    pub fn fail_next_put(&self, error: PutError) {
        self.with(|state| state.switches.puts.push_back(PutFault::Refuse(error)));
    }

    /// Makes the next put store what it can and answer [`PutError::Unknown`] for all of it.
    pub fn lose_next_confirm(&self) {
        self.with(|state| state.switches.puts.push_back(PutFault::LoseConfirm));
    }

    /// Makes the next connection of a source or sink fail. Several calls line up.
    pub fn fail_next_connect(&self, error: ConnectError) {
        self.with(|state| state.switches.connects.push_back(error));
    }

    /// Holds every put back, as a broker does that has blocked its connections, until
    /// [`Self::release_puts`]. One that waits longer than its deadline is [`PutError::Unknown`].
    pub fn block_puts(&self) {
        self.with(|state| state.switches.blocked = true);
    }

    /// Ends [`Self::block_puts`].
    pub fn release_puts(&self) {
        self.with(|state| {
            state.switches.blocked = false;
            state.let_on = true;
        });
    }

    /// Cuts every source there is: each is lost, and all that is unsettled goes back to its
    /// queue.
    pub fn cut_sources(&self) {
        self.with(|state| {
            for id in state.consumer_ids(None) {
                state.unsubscribe(id);
            }
        });
    }

    /// Cuts every source and every sink there is; new ones can be made at once.
    pub fn cut(&self) {
        self.cut_sources();
        self.with(|state| {
            state.generation += 1;
            state.let_on = true;
        });
    }

    /// Cancels every consumer of a queue from the broker's side, as when a queue moves. What was
    /// sent still comes out and can be settled; then the source is lost.
    ///
    /// # Errors
    /// [`BrokerError::NotFound`].
    pub fn cancel_consumers(&self, queue: &str) -> Result<(), BrokerError> {
        self.with(|state| {
            let at = state.topology.queue(queue)?;
            for id in state.consumer_ids(Some(at)) {
                state.stand_down(id, Standing::Evicted);
            }
            Ok(())
        })
    }
}
