//! Configured: a plugin with the settings of one stage; opens one instance a lane.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use lockgate_message::Fault;
use serde_json::Value;

use crate::breaker::{Breaker, Why};
use crate::capabilities::Capability;
use crate::capabilities::kv::KvAccess;
use crate::describe::{Initialised, SettingError, init_result};
use crate::error::ConfigureError;
use crate::fault::Crash;
use crate::host::{Host, Shared};
use crate::instance::Instance;
use crate::limits::JSON_LIMIT;
use crate::needs::Needs;
use crate::plugin::Plugin;
use crate::samples;
use crate::sandbox::Sandbox;
use crate::stats::{Stats, StatsSnapshot};

/// A plugin with the settings of one stage.
pub struct Configured {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) breaker: Breaker,
    pub(crate) kv: Option<KvAccess>,
    settings: String,
    initialised: Initialised,
    sandboxes: AtomicU64,
}

impl Configured {
    pub(crate) fn new(
        plugin: Arc<Plugin>,
        stage: &str,
        settings: &Value,
        kv: Option<KvAccess>,
    ) -> Result<Self, ConfigureError> {
        let settings = settings.to_string();
        if settings.len() > JSON_LIMIT {
            let text = format!("they have {} bytes, {JSON_LIMIT} are allowed", settings.len());
            let error = SettingError { pointer: String::new(), offset: None, message: text };
            return Err(ConfigureError::Settings(vec![error]));
        }
        let limits = &plugin.limits;
        let shared = Shared::new(stage, plugin.grants, limits, plugin.digest().seed());
        let mut configured = Self {
            shared: Arc::new(shared),
            breaker: Breaker::new(stage, limits.breaker.clone()),
            kv: kv.filter(|_| plugin.grants.has(Capability::Kv)),
            settings,
            initialised: Initialised {
                needs: Needs::default(),
                routes: Vec::new(),
                unrouted: true,
            },
            sandboxes: AtomicU64::new(0),
            plugin,
        };
        let (mut sandbox, result) = configured.sandbox().map_err(ConfigureError::init)?;
        let wrong = |text| {
            let plugin = configured.plugin.description().name.clone();
            ConfigureError::Result { plugin, text }
        };
        configured.initialised =
            init_result(&result).map_err(wrong)?.map_err(ConfigureError::Settings)?;
        let Plugin { reasons, limits, .. } = &*configured.plugin;
        for (index, sample) in configured.plugin.description().samples.iter().enumerate() {
            samples::run(sample, &mut sandbox, configured.needs(), reasons, limits).map_err(
                |crash| match crash.starved {
                    true => ConfigureError::Machine(crash.text),
                    false => ConfigureError::Sample { index, text: crash.text },
                },
            )?;
        }
        Ok(configured)
    }

    /// Opens it for one lane. On the lane's own thread, which needs
    /// [`MIN_THREAD_STACK`](crate::MIN_THREAD_STACK). Where the machine refuses what the sandbox
    /// needs, the stage is paused and its first message tries again.
    ///
    /// # Errors
    /// Why the guest does not start, though it did when it was configured.
    pub fn open(self: &Arc<Self>) -> Result<Instance, Fault> {
        let sandbox = match self.ready_sandbox() {
            Ok(sandbox) => Some(sandbox),
            Err(crash) if crash.starved => {
                self.breaker.starve(Instant::now(), &crash.text);
                None
            }
            Err(crash) => return Err(crash.into()),
        };
        Ok(Instance::new(self.clone(), sandbox))
    }

    /// The plugin that was configured.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// The parts of a message that these settings need.
    pub fn needs(&self) -> &Needs {
        &self.initialised.needs
    }

    /// The route names that these settings may use.
    pub fn routes(&self) -> &[String] {
        &self.initialised.routes
    }

    /// Whether a message can leave the stage without a route.
    pub fn unrouted(&self) -> bool {
        self.initialised.unrouted
    }

    /// Whether the stage is paused after repeated faults, or for want of memory.
    pub fn is_paused(&self) -> bool {
        self.breaker.is_open()
    }

    /// Why the stage is paused, for people; `None` where it is not, or where no message came to try
    /// it since.
    pub fn pause(&self) -> Option<String> {
        Some(match self.breaker.why(Instant::now())? {
            Why::Faults(fault) => format!("its plugin keeps failing ({fault})"),
            Why::Machine(refusal) => format!("its plugin's sandbox cannot be made: {refusal}"),
        })
    }

    /// Whether its messages wait for a store that does not answer.
    pub fn is_without_state(&self) -> bool {
        self.kv.as_ref().is_some_and(KvAccess::is_away)
    }

    /// What the stage did so far, over all lanes.
    pub fn stats(&self) -> StatsSnapshot {
        self.shared.stats.snapshot()
    }

    /// A new sandbox that took the settings, and what it said to them.
    fn sandbox(&self) -> Result<(Sandbox, String), Crash> {
        let Plugin { engine, linked, limits, .. } = &*self.plugin;
        let number = self.sandboxes.fetch_add(1, Ordering::Relaxed);
        Stats::count(&self.shared.stats.sandboxes, 1);
        let host = Host::new(engine, self.shared.clone(), limits, number);
        let mut sandbox = Sandbox::open(engine, linked, host, limits)?;
        let result = sandbox.init(&self.settings, limits)?;
        Ok((sandbox, result))
    }

    /// A new sandbox for messages.
    pub(crate) fn ready_sandbox(&self) -> Result<Sandbox, Crash> {
        let (sandbox, result) = self.sandbox()?;
        match init_result(&result) {
            Ok(Ok(again)) if again == self.initialised => Ok(sandbox),
            _ => Err(Crash::bad("init said something else than the first time")),
        }
    }
}

impl fmt::Debug for Configured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configured")
            .field("plugin", &self.plugin)
            .field("initialised", &self.initialised)
            .finish_non_exhaustive()
    }
}
