//! The throttle plugin: lets so many messages through in a time, together or by key.
//!
//! Time is cut into windows of fixed places, and each window has a counter: one addition says both
//! that a message is over the limit and how far, which is when it is its turn. A sliding window
//! would take two counters and give back what it refused.

mod settings;

use std::time::Duration;

use keyed::{Action, Key};
use lockgate_plugin::host::kv::{self, Error};
use lockgate_plugin::{
    Description, Failure, Init, Message, Needs, Plugin, Reason, SettingError, Verdict,
};

pub use settings::Settings;

/// The position of the reason in the description.
const OVER_LIMIT: Reason = Reason(1);
/// The bucket of all messages, and of those that have no key.
const NO_KEY: &[u8] = b"-";
/// Longest time that a message is told to stay away, for the limit may be for others than it.
const LONGEST_MS: u64 = 60 * 60 * 1000;

/// The plugin with its settings read.
pub struct Throttle {
    limit: u64,
    /// Length of a window.
    per: Duration,
    key: Option<Key>,
    on_excess: Action,
}

impl Plugin for Throttle {
    type Settings = Settings;

    const DESCRIPTION: Description = Description::new("throttle", env!("CARGO_PKG_VERSION"))
        .capabilities(&["kv"])
        .reasons(&["over_limit"])
        .schema(include_str!("settings.schema.json"))
        .samples(r#"[{"body":{"id":1}},{"body":"no JSON","headers":{"id":"7"}}]"#);

    fn init(settings: Settings) -> Result<(Self, Init), Vec<SettingError>> {
        let plugin = settings.check()?;
        let needs = plugin.key.as_ref().map_or_else(Needs::default, Key::needs);
        let routes = plugin.on_excess.route().cloned().into_iter().collect();
        Ok((plugin, Init { needs, routes, unrouted: true }))
    }

    fn handle(&mut self, message: &Message<'_>) -> Verdict {
        let key = self.key.as_ref().and_then(|key| key.of(message));
        let now = Duration::from_micros(message.received_micros());
        let window = now.as_micros() / self.per.as_micros().max(1);
        let window = u64::try_from(window).unwrap_or(u64::MAX);
        let key = [key.as_deref().unwrap_or(NO_KEY), &window.to_be_bytes()].concat();
        // Twice its length, for the clocks of hosts that share the state differ.
        match kv::add(message, &key, 1, self.per * 2) {
            Ok(count) => match u64::try_from(count).unwrap_or(0).checked_sub(self.limit) {
                None | Some(0) => Verdict::Pass,
                Some(excess) => {
                    let after = self.turn(now, excess);
                    let (limit, per) = (self.limit, keyed::Span::from(self.per));
                    let text = || format!("over the limit of {limit} in {per}");
                    self.on_excess.verdict(OVER_LIMIT, after, text)
                }
            },
            Err(error @ (Error::Unavailable | Error::Quota)) => {
                Verdict::Fail { failure: Failure::Dependency, text: error.to_string() }
            }
            Err(error @ Error::Invalid) => {
                Verdict::Fail { failure: Failure::Internal, text: error.to_string() }
            }
        }
    }
}

impl Throttle {
    /// In how many milliseconds it is the turn of the message that is the `excess`th over the
    /// limit: so many windows ahead as its number takes, and within that window at its place, so
    /// that not all come back at once.
    fn turn(&self, now: Duration, excess: u64) -> u32 {
        let per = self.per.as_micros().max(1);
        let rest = per - now.as_micros() % per;
        let (before, limit) = (u128::from(excess - 1), u128::from(self.limit));
        let after = rest + before / limit * per + before % limit * per / limit;
        let ms = u64::try_from(after.div_ceil(1000)).unwrap_or(u64::MAX).clamp(1, LONGEST_MS);
        u32::try_from(ms).unwrap_or(u32::MAX)
    }
}

lockgate_plugin::export!(Throttle);

#[cfg(test)]
mod tests;
