//! App: what runs in this process, for health, metrics and the admin listener.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lockgate_engine::Configured;
use lockgate_message::Outcome;
use lockgate_pipeline::{Component, Prepared, Stats};
use lockgate_transport::SinkConnector;
use serde_json::{Value, json};

use crate::connections::Connections;
use crate::plugins::identity;
use crate::state::State;

/// Everything that was started.
pub(crate) struct App {
    /// Not set before all plugins are loaded.
    entries: OnceLock<Vec<Arc<Entry>>>,
    /// What is done until then.
    starting: Mutex<String>,
    pub(crate) state: Arc<State>,
    pub(crate) connections: Arc<Connections>,
}

/// One pipeline, from before it is connected until after it ended.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) source: String,
    /// Stage names with their plugins.
    pub(crate) stages: Vec<(String, Arc<Configured>)>,
    sinks: Vec<Arc<dyn SinkConnector>>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) generation: u64,
    ended: Mutex<Option<String>>,
}

/// Counters of one plugin over all pipelines.
pub(crate) struct PluginStats {
    pub(crate) name: String,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) memory_bytes: u64,
}

impl Entry {
    pub(crate) fn new(
        description: &str,
        stages: Vec<(String, Arc<Configured>)>,
        pipeline: &Prepared,
    ) -> Self {
        let parts = pipeline.parts();
        Self {
            name: parts.name.clone(),
            description: description.to_owned(),
            source: parts.source.describe(),
            stages,
            sinks: parts.sinks.clone(),
            stats: pipeline.stats(),
            generation: parts.chain.generation,
            ended: Mutex::default(),
        }
    }

    pub(crate) fn set_ended(&self, why: String) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Header values that its targets left out, for their names stood twice.
    pub(crate) fn duplicate_headers(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.duplicate_headers()).sum()
    }

    /// What keeps it from its work now, by component, and why; empty when nothing does.
    pub(crate) fn waiting(&self) -> Vec<(&'static str, String)> {
        if let Some(why) = &*self.ended.lock().unwrap_or_else(PoisonError::into_inner) {
            return vec![("pipeline", format!("ended: {why}"))];
        }
        let conditions = self.stats.conditions.list().into_iter();
        let mut waiting: Vec<_> = conditions.map(|(what, why)| (what.name(), why)).collect();
        let without = |(stage, plugin): &(String, Arc<Configured>)| {
            let why =
                || format!("stage `{stage}` gets no answer from the store, its messages wait");
            plugin.is_without_state().then(why)
        };
        let paused = |(stage, plugin): &(String, Arc<Configured>)| {
            let why = plugin.pause()?;
            Some(format!("stage `{stage}` is paused and its messages wait: {why}"))
        };
        let others = [
            (Component::Target, self.sinks.iter().find_map(|sink| sink.trouble())),
            (Component::State, self.stages.iter().find_map(without)),
            (Component::Plugin, self.stages.iter().find_map(paused)),
        ];
        for (component, trouble) in others {
            let what = component.name();
            if !waiting.iter().any(|(known, _)| *known == what) {
                waiting.extend(trouble.map(|why| (what, why)));
            }
        }
        waiting
    }

    /// For `/v1/pipelines`.
    pub(crate) fn describe(&self) -> Value {
        let waiting = self.waiting();
        let waiting_for: serde_json::Map<_, _> =
            waiting.iter().map(|(what, why)| ((*what).to_owned(), why.as_str().into())).collect();
        let mut counts = serde_json::Map::new();
        let snapshot = self.stats.snapshot();
        counts.insert("received".into(), snapshot.received.into());
        counts.insert("in_flight".into(), snapshot.in_flight.into());
        for outcome in Outcome::ALL {
            counts.insert(outcome.name().into(), snapshot.outcome(outcome).into());
        }
        let stages: Vec<_> = self
            .stages
            .iter()
            .map(|(stage, plugin)| json!({ "name": stage, "plugin": identity(plugin.plugin()) }))
            .collect();
        json!({
            "name": self.name,
            "description": self.description,
            "source": self.source,
            "ready": waiting.is_empty(),
            "waiting_for": waiting_for,
            "generation": self.generation,
            "messages": counts,
            "stages": stages,
        })
    }
}

impl App {
    /// Before anything has been loaded.
    pub(crate) fn new(state: Arc<State>) -> Self {
        let starting = Mutex::new("loading plugins".to_owned());
        let connections = Arc::new(Connections::new());
        Self { entries: OnceLock::new(), starting, state, connections }
    }

    /// Says what the pipelines wait for before they are there.
    pub(crate) fn set_starting(&self, what: String) {
        *self.starting.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// The pipelines are there. Of two calls the first counts.
    pub(crate) fn set_entries(&self, entries: Vec<Arc<Entry>>) {
        let _ = self.entries.set(entries);
    }

    /// The pipelines; none before their plugins are loaded.
    pub(crate) fn entries(&self) -> &[Arc<Entry>] {
        self.entries.get().map_or(&[], Vec::as_slice)
    }

    /// What `/readyz` waits for; empty when everything is ready.
    pub(crate) fn waiting(&self) -> Vec<String> {
        if self.entries.get().is_none() {
            return vec![self.starting.lock().unwrap_or_else(PoisonError::into_inner).clone()];
        }
        self.entries()
            .iter()
            .flat_map(|entry| {
                let waiting = entry.waiting().into_iter();
                waiting.map(|(what, why)| format!("{}: {what}: {why}", entry.name))
            })
            .collect()
    }

    /// Counters by plugin name, over all stages that use it.
    pub(crate) fn plugin_stats(&self) -> Vec<PluginStats> {
        let mut all: Vec<PluginStats> = Vec::new();
        for (_, stage) in self.entries().iter().flat_map(|entry| &entry.stages) {
            let name = &stage.plugin().description().name;
            let at = all.iter().position(|one| one.name == *name).unwrap_or_else(|| {
                let (faults, memory_bytes) = (BTreeMap::new(), 0);
                all.push(PluginStats { name: name.clone(), faults, memory_bytes });
                all.len() - 1
            });
            let Some(one) = all.get_mut(at) else { continue };
            let stats = stage.stats();
            one.memory_bytes += stats.memory as u64;
            for (kind, count) in stats.faults {
                *one.faults.entry(kind.name()).or_default() += count;
            }
        }
        all
    }

    /// For `/v1/plugins`: every plugin at every place where it is used.
    pub(crate) fn describe_plugins(&self) -> Vec<Value> {
        let stages = self.entries().iter().flat_map(|entry| {
            entry.stages.iter().map(move |(stage, configured)| (&entry.name, stage, configured))
        });
        stages
            .map(|(pipeline, stage, configured)| {
                let (plugin, stats) = (configured.plugin(), configured.stats());
                let faults: serde_json::Map<_, _> =
                    stats.faults.iter().map(|(k, n)| (k.name().to_owned(), (*n).into())).collect();
                json!({
                    "pipeline": pipeline,
                    "stage": stage,
                    "name": plugin.description().name,
                    "version": plugin.description().version,
                    "digest": plugin.digest().to_string(),
                    "door": plugin.door().name(),
                    "paused": configured.is_paused(),
                    "calls": stats.calls,
                    "messages": stats.messages,
                    "faults": faults,
                    "memory_bytes": stats.memory,
                    "log_lines_dropped": stats.log_lines_dropped,
                })
            })
            .collect()
    }
}
