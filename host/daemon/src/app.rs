//! App: what runs in this process, for health, metrics and the admin listener.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lockgate_engine::Configured;
use lockgate_message::Outcome;
use lockgate_pipeline::Stats;
use lockgate_transport::SinkConnector;
use serde_json::{Value, json};

use crate::plugins::identity;
use crate::state::State;

/// Everything that was started.
pub(crate) struct App {
    pub(crate) entries: Vec<Arc<Entry>>,
    pub(crate) state: State,
}

/// One pipeline, from before it is connected until after it ended.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) source: String,
    /// Stage names with their plugins.
    pub(crate) stages: Vec<(String, Arc<Configured>)>,
    sinks: Vec<Arc<dyn SinkConnector>>,
    live: OnceLock<Live>,
    ended: Mutex<Option<String>>,
}

/// A pipeline that has been connected.
pub(crate) struct Live {
    pub(crate) stats: Arc<Stats>,
    pub(crate) generation: u64,
}

/// Counters of one plugin over all pipelines.
pub(crate) struct PluginStats {
    pub(crate) name: String,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) memory_bytes: u64,
}

impl Entry {
    pub(crate) fn new(
        name: &str,
        description: &str,
        source: String,
        stages: Vec<(String, Arc<Configured>)>,
        sinks: Vec<Arc<dyn SinkConnector>>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            description: description.to_owned(),
            source,
            stages,
            sinks,
            live: OnceLock::new(),
            ended: Mutex::default(),
        }
    }

    pub(crate) fn live(&self) -> Option<&Live> {
        self.live.get()
    }

    pub(crate) fn set_live(&self, live: Live) {
        drop(self.live.set(live));
    }

    pub(crate) fn set_ended(&self, why: String) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Why it cannot work now; `None` when it can.
    fn waiting(&self) -> Option<String> {
        if let Some(why) = &*self.ended.lock().unwrap_or_else(PoisonError::into_inner) {
            return Some(format!("ended: {why}"));
        }
        let Some(live) = self.live.get() else { return Some("connecting".to_owned()) };
        let state = &live.stats.state;
        if let Some(problem) = state.problem() {
            return Some(problem);
        }
        if !state.source_connected.load(Ordering::Acquire) {
            return Some("source not connected".to_owned());
        }
        if !state.ready() {
            return Some("target not connected".to_owned());
        }
        self.sinks.iter().find_map(|sink| sink.trouble())
    }

    /// For `/v1/pipelines`.
    pub(crate) fn describe(&self) -> Value {
        let waiting = self.waiting();
        let mut counts = serde_json::Map::new();
        if let Some(live) = self.live.get() {
            let snapshot = live.stats.snapshot();
            counts.insert("received".into(), snapshot.received.into());
            counts.insert("in_flight".into(), snapshot.in_flight.into());
            for outcome in Outcome::ALL {
                counts.insert(outcome.name().into(), snapshot.outcome(outcome).into());
            }
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
            "ready": waiting.is_none(),
            "waiting_for": waiting,
            "generation": self.live.get().map(|live| live.generation),
            "messages": counts,
            "stages": stages,
        })
    }
}

impl App {
    /// What `/readyz` waits for; empty when everything is ready.
    pub(crate) fn waiting(&self) -> Vec<String> {
        self.entries
            .iter()
            .filter_map(|entry| Some(format!("{}: {}", entry.name, entry.waiting()?)))
            .collect()
    }

    /// Counters by plugin name, over all stages that use it.
    pub(crate) fn plugin_stats(&self) -> Vec<PluginStats> {
        let mut all: Vec<PluginStats> = Vec::new();
        for (_, stage) in self.entries.iter().flat_map(|entry| &entry.stages) {
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
        let stages = self.entries.iter().flat_map(|entry| {
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
