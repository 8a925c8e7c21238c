//! The dedupe plugin: lets each message through once.
//!
//! A message claims its key. The claim is kept when the message's outcome is confirmed, and
//! released when it fails: what is tried again, or delivered again after a crash, is no copy.

mod settings;

use std::time::Duration;

use keyed::{Action, Key};
use lockgate_plugin::host::kv::{self, Claimed, Error};
use lockgate_plugin::{Description, Failure, Init, Message, Plugin, Reason, SettingError, Verdict};

pub use settings::Settings;

/// The positions of the reasons in the description.
const DUPLICATE: Reason = Reason(1);
const NO_KEY: Reason = Reason(2);

/// The plugin with its settings read.
pub struct Dedupe {
    key: Key,
    window: Duration,
    in_flight_ms: u32,
    on_duplicate: Action,
    on_missing: Action,
}

impl Plugin for Dedupe {
    type Settings = Settings;

    const DESCRIPTION: Description = Description::new("dedupe", env!("CARGO_PKG_VERSION"))
        .capabilities(&["kv"])
        .reasons(&["duplicate", "no_key"])
        .schema(include_str!("settings.schema.json"))
        .samples(r#"[{"body":{"id":1}},{"body":"no JSON","headers":{"id":"7"}}]"#);

    fn init(settings: Settings) -> Result<(Self, Init), Vec<SettingError>> {
        let plugin = settings.check()?;
        let routes = [&plugin.on_duplicate, &plugin.on_missing].into_iter();
        let mut routes: Vec<_> = routes.filter_map(Action::route).cloned().collect();
        routes.dedup();
        let init = Init { needs: plugin.key.needs(), routes, unrouted: true };
        Ok((plugin, init))
    }

    fn handle(&mut self, message: &Message<'_>) -> Verdict {
        let Some(key) = self.key.of(message) else {
            return self.on_missing.verdict(NO_KEY, 0, || "the message has no key".to_owned());
        };
        match kv::claim(message, &key, self.window) {
            Ok(Claimed::Ours) => Verdict::Pass,
            Ok(Claimed::Kept) => {
                let text = || "a copy of the message went through before".to_owned();
                self.on_duplicate.verdict(DUPLICATE, 0, text)
            }
            Ok(Claimed::InFlight) => {
                let text = "a copy of the message is in flight".to_owned();
                Verdict::Retry { after_ms: self.in_flight_ms, text }
            }
            Err(error @ (Error::Unavailable | Error::Quota)) => {
                Verdict::Fail { failure: Failure::Dependency, text: error.to_string() }
            }
            Err(error @ Error::Invalid) => {
                Verdict::Fail { failure: Failure::Internal, text: error.to_string() }
            }
        }
    }
}

lockgate_plugin::export!(Dedupe);

#[cfg(test)]
mod tests;
