//! Native tests of plugins: build a message, run it through the plugin as the host would, look
//! at the verdict.
//!
//! Everything goes through the bytes of the frame format, and a message holds only the parts
//! that the plugin asked for, so a forgotten need shows here and not in production.

pub(crate) mod build;
pub(crate) mod output;

use crate::guest::Guest;
use crate::host::recorded::state;
use crate::host::{Level, recorded};
use crate::{Init, Plugin, SettingError, Verdict};

pub use build::MessageBuilder;

/// A plugin opened with settings, for several messages.
pub struct Session<P> {
    guest: Guest<P>,
    init: Init,
}

impl<P: Plugin> Session<P> {
    /// Opens the plugin.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn open(settings_json: &str) -> Result<Self, Vec<SettingError>> {
        let (guest, init) = Guest::open(settings_json.as_bytes())?;
        Ok(Self { guest, init })
    }

    /// What these settings need.
    pub fn init(&self) -> &Init {
        &self.init
    }

    /// Runs one message through the plugin, as a batch of one.
    ///
    /// # Panics
    /// When the plugin panics, or the verdict comes back from its bytes damaged (a bug of this
    /// crate).
    pub fn handle(&mut self, message: &MessageBuilder) -> Verdict {
        let mut verdicts = self.handle_all(&[message]);
        match verdicts.pop() {
            Some(verdict) if verdicts.is_empty() => verdict,
            _ => damaged("one message, and not one verdict"),
        }
    }

    /// Runs several messages through the plugin, as one batch; the verdicts in order.
    ///
    /// # Panics
    /// As [`Session::handle`].
    pub fn handle_all(&mut self, messages: &[&MessageBuilder]) -> Vec<Verdict> {
        let batch = build::batch(messages, &self.init.needs);
        state::begin(messages.len());
        let verdicts = match self.guest.batch(&batch) {
            Ok(bytes) => output::read(bytes, messages.len(), P::DESCRIPTION.reasons.len())
                .unwrap_or_else(|| damaged("the output cannot be read back")),
            Err(error) => damaged(error.0),
        };
        state::end(&verdicts);
        verdicts
    }
}

/// Opens a plugin with settings and runs one message through it.
///
/// # Errors
/// What is wrong with the settings.
///
/// # Panics
/// As [`Session::handle`].
pub fn run<P: Plugin>(
    settings_json: &str,
    message: &MessageBuilder,
) -> Result<Verdict, Vec<SettingError>> {
    Ok(Session::<P>::open(settings_json)?.handle(message))
}

/// The log lines of this thread since the last call.
pub fn take_logs() -> Vec<(Level, String)> {
    recorded::take_logs()
}

/// The sum of what this thread added to, or observed of, a metric.
pub fn metric(name: &str) -> f64 {
    recorded::metric(name)
}

/// Confirms the messages in flight on this thread: what they staged with [`crate::host::kv`] is
/// committed, their claims are kept.
pub fn confirm() {
    state::confirm();
}

/// Lets the messages in flight on this thread fail: what they staged is dropped, their claims are
/// released.
pub fn fail() {
    state::fail();
}

/// Forgets all state of this thread.
pub fn forget_state() {
    state::forget();
}

/// Makes every call of [`crate::host::kv`] on this thread that asks the store answer with an error,
/// until it is taken away.
pub fn set_state_error(error: Option<crate::host::kv::Error>) {
    state::set_error(error);
}

/// Sets what [`crate::host::now_micros`] tells on this thread, by which state also expires; 0 before.
pub fn set_clock(now_micros: u64) {
    recorded::set_clock(now_micros);
}

#[expect(clippy::panic, reason = "a test fails by panicking, and this module is for tests alone")]
#[track_caller]
fn damaged(what: &str) -> ! {
    panic!("lockgate-plugin: {what}")
}
