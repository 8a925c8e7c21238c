//! Conditions: what keeps a pipeline from its work now, for health checks and metrics, with one
//! log line when a component stops working and one when it works again.

use std::collections::BTreeMap;
use std::sync::Mutex;

use lockgate_transport::ConnectError;

use crate::stats::lock;

/// What can be in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The queue that messages are taken from.
    Source,
    /// The exchanges that they are published to.
    Target,
    /// What is given up cannot be stored.
    DeadLetter,
    /// What plugins remember cannot be stored.
    State,
    /// A stage is paused: its plugin keeps failing, or the machine has no room for it.
    Plugin,
}

impl Component {
    pub const ALL: [Self; 5] =
        [Self::Source, Self::Target, Self::DeadLetter, Self::State, Self::Plugin];

    /// A stable snake_case word for labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
            Self::DeadLetter => "dead_letter",
            Self::State => "state",
            Self::Plugin => "plugin",
        }
    }
}

/// What is wrong with one pipeline.
#[derive(Debug, Default)]
pub struct Conditions {
    pipeline: String,
    bad: Mutex<BTreeMap<Component, Bad>>,
}

#[derive(Debug, Default)]
struct Bad {
    /// Why, by whom it was noticed: a number of the component's own, as a lane's.
    why: BTreeMap<usize, String>,
    /// What was logged of it last.
    told: Option<String>,
}

impl Conditions {
    pub(crate) fn new(pipeline: &str) -> Self {
        Self { pipeline: pipeline.to_owned(), bad: Mutex::default() }
    }

    /// What is wrong, and why, in words.
    pub fn list(&self) -> Vec<(Component, String)> {
        let bad = lock(&self.bad);
        let first = |bad: &Bad| bad.why.values().next().cloned().unwrap_or_default();
        bad.iter().map(|(component, bad)| (*component, first(bad))).collect()
    }

    /// Nothing is wrong.
    pub fn is_good(&self) -> bool {
        lock(&self.bad).is_empty()
    }

    /// It does not work yet, which is no news.
    pub(crate) fn not_yet(&self, component: Component, by: usize) {
        let why = "not connected yet".to_owned();
        lock(&self.bad).entry(component).or_default().why.insert(by, why);
    }

    /// It does not work. Logged once until it works for everybody again.
    pub(crate) fn bad(&self, component: Component, by: usize, why: impl ToString) {
        self.tell(component, by, why.to_string(), false);
    }

    /// It cannot be connected. Logged again where that waits for somebody to mend something, as a
    /// login that is refused: the line before says only how the connection was lost.
    pub(crate) fn not_connected(&self, component: Component, by: usize, error: &ConnectError) {
        let refused = !matches!(error, ConnectError::Retry(_));
        self.tell(component, by, error.to_string(), refused);
    }

    fn tell(&self, component: Component, by: usize, why: String, again: bool) {
        let mut all = lock(&self.bad);
        let bad = all.entry(component).or_default();
        if bad.told.is_none() || (again && bad.told.as_ref() != Some(&why)) {
            let (pipeline, component) = (&self.pipeline, component.name());
            tracing::warn!(pipeline, component, error = why, "not working, trying again");
            bad.told = Some(why.clone());
        }
        bad.why.insert(by, why);
    }

    /// It works, as far as this one sees.
    pub(crate) fn good(&self, component: Component, by: usize) {
        let mut all = lock(&self.bad);
        let Some(bad) = all.get_mut(&component) else { return };
        bad.why.remove(&by);
        if !bad.why.is_empty() {
            return;
        }
        if bad.told.is_some() {
            tracing::info!(pipeline = self.pipeline, component = component.name(), "works again");
        }
        all.remove(&component);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_works_when_everybody_says_so() {
        let conditions = Conditions::new("p");
        conditions.not_yet(Component::Source, 0);
        conditions.bad(Component::Target, 1, "away");
        conditions.bad(Component::Target, 2, "refused");
        let list = |conditions: &Conditions| {
            let list = conditions.list().into_iter();
            list.map(|(component, why)| format!("{}: {why}", component.name())).collect::<Vec<_>>()
        };
        assert_eq!(list(&conditions), ["source: not connected yet", "target: away"]);
        conditions.good(Component::Target, 1);
        conditions.good(Component::Source, 0);
        assert_eq!(list(&conditions), ["target: refused"]);
        conditions.good(Component::Target, 2);
        assert!(conditions.is_good());
    }
}
