//! Pending: what is known so far of each publish of a block.

use lapin::Confirmation;
use lapin::message::BasicReturnMessage;
use lapin::types::AMQPValue;
use lockgate_transport::PutError;

use crate::convert::ID_HEADER;

/// Names the publishes of one sink: `<generation>-<lane>-<sequence>`.
#[derive(Debug)]
pub(super) struct Id {
    prefix: String,
    next: u64,
}

impl Id {
    pub(super) fn new(generation: u64, lane: usize) -> Self {
        Self { prefix: format!("{generation}-{lane}-"), next: 0 }
    }

    /// Takes `count` numbers in sequence; returns the first.
    pub(super) fn reserve(&mut self, count: usize) -> u64 {
        let first = self.next;
        self.next += count as u64;
        first
    }

    pub(super) fn text(&self, number: u64) -> String {
        format!("{}{number}", self.prefix)
    }

    /// The number in an id of this sink.
    fn number(&self, text: &str) -> Option<u64> {
        text.strip_prefix(&self.prefix)?.parse().ok()
    }
}

/// One publish.
#[derive(Debug)]
enum State {
    /// No word yet.
    Open,
    Acked,
    Nacked,
    Refused(PutError),
}

/// A block between its publishes and its results.
#[derive(Debug)]
pub(super) struct Pending {
    states: Vec<State>,
    /// Returned publishes, with the broker's words.
    returned: Vec<(usize, String)>,
    /// A return came that has no owner, or may have come unseen: any of those confirmed may be it.
    distrusted: bool,
}

impl Pending {
    pub(super) fn new(len: usize) -> Self {
        let states = std::iter::repeat_with(|| State::Open).take(len).collect();
        Self { states, returned: Vec::new(), distrusted: false }
    }

    /// It was not published.
    pub(super) fn refuse(&mut self, at: usize, error: PutError) {
        self.set(at, State::Refused(error));
    }

    /// Not every confirm that came was looked at.
    pub(super) fn distrust(&mut self) {
        self.distrusted = true;
    }

    /// What was published closed the channel.
    pub(super) fn fail(&mut self, why: &str) {
        for state in self.states.iter_mut().filter(|state| matches!(state, State::Open)) {
            *state = State::Refused(PutError::Invalid(why.to_owned()));
        }
    }

    /// The broker decided about `at`. A return that rides on it may be any one's of the block,
    /// and `first` is the number of the block's first.
    pub(super) fn confirmed(
        &mut self,
        at: usize,
        confirmation: Confirmation,
        id: &Id,
        first: u64,
    ) -> Result<(), String> {
        let (state, returned) = match confirmation {
            Confirmation::Ack(returned) => (State::Acked, returned),
            Confirmation::Nack(returned) => (State::Nacked, returned),
            Confirmation::NotRequested => return Err("confirms are off".to_owned()),
        };
        self.set(at, state);
        let Some(returned) = returned else { return Ok(()) };
        let number = number(&returned, id).and_then(|number| number.checked_sub(first));
        let place = number.and_then(|number| usize::try_from(number).ok());
        let Some(place) = place.filter(|place| *place < self.states.len()) else {
            self.distrusted = true;
            return Err("a return that belongs to no publish of the block".to_owned());
        };
        let text = format!("{} {}", returned.reply_code, returned.reply_text);
        self.returned.push((place, text));
        Ok(())
    }

    /// One result per publish, in order; those without a word end with `failure`.
    ///
    /// A confirm counts only if all before it came too: only then has every return that belongs
    /// to it surely been reported, on its own confirm or on another of these.
    pub(super) fn into_results(
        self,
        failure: Option<&str>,
    ) -> impl Iterator<Item = Result<(), PutError>> + use<> {
        let unknown = || PutError::Unknown(failure.unwrap_or("no confirm").to_owned());
        let mut trusted = !self.distrusted;
        let mut results: Vec<_> = self
            .states
            .into_iter()
            .map(|state| {
                trusted &= !matches!(state, State::Open);
                match state {
                    State::Acked if trusted => Ok(()),
                    State::Acked | State::Open => Err(unknown()),
                    State::Nacked => Err(PutError::Nacked("negative confirm".to_owned())),
                    State::Refused(error) => Err(error),
                }
            })
            .collect();
        for (place, text) in self.returned {
            if let Some(result) = results.get_mut(place) {
                *result = Err(PutError::Unroutable(text));
            }
        }
        results.into_iter()
    }

    fn set(&mut self, at: usize, state: State) {
        if let Some(slot) = self.states.get_mut(at) {
            *slot = state;
        }
    }
}

/// The number of the publish that came back.
fn number(returned: &BasicReturnMessage, id: &Id) -> Option<u64> {
    let headers = returned.delivery.properties.headers().as_ref()?;
    match headers.inner().get(ID_HEADER)? {
        AMQPValue::LongString(text) => id.number(std::str::from_utf8(text.as_bytes()).ok()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
