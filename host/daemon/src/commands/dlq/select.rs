//! Select: `--where`, a predicate that the shipped `filter` plugin judges in the sandbox.

use std::time::Duration;

use lockgate_config::{Code, Diagnostic, Place, SourceFile};
use lockgate_engine::{BreakerLimits, Instance, Limits};
use lockgate_message::{Input, Verdict};
use serde_json::json;

use super::Refused;
use super::letter::Letter;
use crate::assemble;
use crate::plugins::Plugins;

/// Time for one letter, whatever its size.
const TIME: Duration = Duration::from_secs(2);

/// Memory for one letter, bytes: its body twice, and some.
const MEMORY: usize = 512 << 20;

/// A compiled predicate.
pub(super) struct Predicate(Instance);

/// What it says of a letter.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Yes,
    No,
    /// Why it cannot say.
    None(String),
}

impl Predicate {
    /// Compiles `when`.
    ///
    /// # Errors
    /// [`Refused`], with the place in the expression; or that this binary has no plugins.
    pub(super) fn new(when: &str) -> anyhow::Result<Self> {
        let limits = Limits {
            time: TIME,
            memory: MEMORY,
            breaker: BreakerLimits { faults: usize::MAX, ..BreakerLimits::default() },
            ..Limits::default()
        };
        let settings = json!({ "when": when, "otherwise": "drop", "on_error": "reject" });
        let configured =
            Plugins::new(assemble::cache_dir())?.shipped("filter", &settings, &limits)?;
        let configured = configured.map_err(|errors| {
            let file = SourceFile::new("--where", when);
            let told = errors.iter().map(|error| {
                let at = error.offset.unwrap_or(0).min(when.len());
                let end = when.len().min(at + 1);
                let place = Place { file: file.clone(), range: Some(at..end) };
                Diagnostic::new(Code::PluginSetting, &error.message)
                    .at(place)
                    .help("a predicate is CEL, as `headers[\"lockgate-reason\"] == \"trap\"`")
            });
            Refused(told.collect())
        })?;
        let instance = configured.open().map_err(|fault| anyhow::anyhow!("--where: {fault}"))?;
        Ok(Self(instance))
    }

    /// One answer for each letter.
    pub(super) fn judge(&mut self, letters: &[Letter]) -> Vec<Answer> {
        let inputs: Vec<_> = letters
            .iter()
            .map(|Letter { delivery, .. }| Input {
                message: &delivery.message,
                redelivered: delivery.redelivered,
                attempt: delivery.attempt,
            })
            .collect();
        let mut verdicts = Vec::with_capacity(inputs.len());
        self.0.process(&inputs, &mut verdicts);
        let answer = |verdict| match verdict {
            Verdict::Pass => Answer::Yes,
            Verdict::Drop { .. } => Answer::No,
            Verdict::Reject { text, .. } => Answer::None(text),
            Verdict::Fault(fault) => Answer::None(fault.to_string()),
            other => Answer::None(other.name().to_owned()),
        };
        verdicts.into_iter().map(answer).collect()
    }
}
