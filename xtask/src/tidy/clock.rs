//! Who may ask for the time of day: it jumps, so that nothing may be timed or decided by it.

use super::Text;

/// Crates whose timers and limits must not notice a jump of the clock.
const STEADY: [&str; 4] =
    ["host/pipeline/src/", "host/transport/src/", "host/transport-amqp/src/", "host/message/src/"];

/// Files of theirs that write the time down for people, in headers, and do nothing else with it.
const TELLING: [&str; 2] = ["host/pipeline/src/dead_letter.rs", "host/pipeline/src/retry.rs"];

pub(super) fn check(text: &Text) -> Vec<String> {
    let path = text.path.to_string_lossy();
    let steady = STEADY.iter().any(|folder| path.starts_with(folder));
    if !steady || TELLING.contains(&&*path) || !text.content.contains("SystemTime") {
        return Vec::new();
    }
    vec!["the time of day jumps; use `Instant`".to_owned()]
}

#[cfg(test)]
mod tests {
    use super::{Text, check};

    #[test]
    fn only_who_tells_the_time_may_ask_for_it() {
        let asks = |path: &str| {
            let content = "use std::time::SystemTime;".to_owned();
            !check(&Text { path: path.into(), content }).is_empty()
        };
        assert!(asks("host/pipeline/src/lane.rs") && asks("host/transport-amqp/src/sink.rs"));
        assert!(!asks("host/pipeline/src/dead_letter.rs") && !asks("host/engine/src/cache.rs"));
    }
}
