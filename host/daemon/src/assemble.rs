//! Assemble: from a validated pipeline file to the parts of a pipeline.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use lockgate_config::{
    Diagnostic, Loaded, PipelineSpec, StageRoutes, StageSpec, has_errors, validate_routes,
};
use lockgate_engine::{Configured, Grants, Limits, MIN_THREAD_STACK};
use lockgate_pipeline::{
    Chain, KeySource, OnError, Order, Parts, Prepared, RetryPolicy, Settings, StageFactory,
};
use lockgate_transport::Backoff;

use crate::app::Entry;
use crate::plugins::{self, Plugins};
use crate::stage::PluginStage;
use crate::topology;
use crate::transports::{self, Brokers, Places};

/// A pipeline ready to start.
pub(crate) struct Assembled {
    pub(crate) pipeline: Prepared,
    pub(crate) entry: Arc<Entry>,
    pub(crate) places: Places,
}

/// Loads pipeline files with this daemon's transports and plugins.
pub(crate) fn load(paths: &[PathBuf]) -> Loaded {
    let mut loaded = lockgate_config::load(
        paths,
        &lockgate_config::Context {
            environment: &|name| std::env::var(name).ok(),
            transports: &transports::LIST,
            plugins: &plugins::NAMES,
        },
    );
    loaded.diagnostics.extend(topology::judge(&loaded.pipelines));
    loaded
}

/// Loads the plugins and connects everything to everything, but nothing to a broker yet. With
/// the parts come warnings.
///
/// # Errors
/// Everything that is wrong.
pub(crate) fn assemble(
    spec: &PipelineSpec,
    plugins: &Plugins,
    brokers: &Brokers,
) -> Result<(Assembled, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    let mut ready: Vec<(&StageSpec, Arc<Configured>)> = Vec::new();
    for stage in &spec.stages {
        match plugins.configure(&spec.name, stage) {
            Ok(plugin) => ready.push((stage, plugin)),
            Err(errors) => diagnostics.extend(errors),
        }
    }
    if ready.len() == spec.stages.len() {
        let says: Vec<_> = ready
            .iter()
            .map(|(_, configured)| StageRoutes {
                routes: configured.routes().to_vec(),
                unrouted: configured.unrouted(),
            })
            .collect();
        diagnostics.extend(validate_routes(spec, &says));
    }
    let wired = transports::wire(spec, brokers);
    let wired = match wired {
        Ok(wired) if !has_errors(&diagnostics) => wired,
        wired => {
            diagnostics.extend(wired.err().unwrap_or_default());
            return Err(diagnostics);
        }
    };
    diagnostics.extend(wired.warnings);
    let stages =
        ready.iter().map(|(stage, configured)| (stage.name.clone(), configured.clone())).collect();
    let description = spec.description.as_deref().unwrap_or_default();
    let routes: HashMap<_, _> = wired.routes;
    let parts = Parts {
        name: spec.name.clone(),
        source: wired.source,
        chain: Chain {
            generation: 1,
            stages: ready.into_iter().map(|one| stage_factory(&spec.name, one)).collect(),
        },
        sinks: wired.sinks,
        routes,
        dead_letter: wired.dead_letter,
        settings: Settings { wait: wired.wait, ..settings(spec, wired.prefetch) },
    };
    let pipeline = lockgate_pipeline::prepare(parts);
    let entry = Arc::new(Entry::new(description, stages, &pipeline));
    Ok((Assembled { pipeline, entry, places: wired.places }, diagnostics))
}

fn stage_factory(
    pipeline: &str,
    (stage, configured): (&StageSpec, Arc<Configured>),
) -> Arc<dyn StageFactory> {
    Arc::new(PluginStage {
        pipeline: pipeline.to_owned(),
        name: stage.name.clone(),
        plugin: plugins::identity(configured.plugin()),
        configured,
        retry: policy(stage.retry),
        on_error: match stage.on_error {
            lockgate_config::OnError::DeadLetter => OnError::DeadLetter,
            lockgate_config::OnError::Retry => OnError::Retry,
            lockgate_config::OnError::Drop => OnError::Drop,
            lockgate_config::OnError::Pass => OnError::Pass,
        },
    })
}

fn settings(spec: &PipelineSpec, prefetch: usize) -> Settings {
    let defaults = Settings::default();
    let delivery = &spec.delivery;
    let retry = delivery.retry;
    Settings {
        order: match &delivery.order {
            lockgate_config::Order::None => Order::None,
            lockgate_config::Order::Strict => Order::Strict,
            lockgate_config::Order::Key(source) => Order::Key(key(source)),
        },
        id: delivery.id.as_ref().map(key),
        lanes: spec.lanes.unwrap_or(defaults.lanes),
        batch_max: spec.batch.max,
        in_flight: delivery.in_flight.map_or(prefetch, |limit| limit as usize),
        retry: policy(retry.policy),
        hold: retry.hold,
        drain: delivery.drain_timeout,
        lane_stack: defaults.lane_stack.max(MIN_THREAD_STACK),
        ..defaults
    }
}

pub(crate) fn policy(spec: lockgate_config::RetryPolicy) -> RetryPolicy {
    let backoff = Backoff { min: spec.backoff.min, max: spec.backoff.max };
    RetryPolicy { attempts: spec.attempts, backoff }
}

fn key(source: &lockgate_config::KeySource) -> KeySource {
    match source {
        lockgate_config::KeySource::Header(name) => KeySource::Header(name.clone()),
        lockgate_config::KeySource::RoutingKey => KeySource::RoutingKey,
        lockgate_config::KeySource::Property(property) => KeySource::Property(*property),
    }
}

/// What a stage's plugin may do.
pub(crate) fn grants(stage: &StageSpec) -> Grants {
    let granted = stage.grant.iter().map(|one| match one {
        lockgate_config::Capability::Log => lockgate_engine::Capability::Log,
        lockgate_config::Capability::Metrics => lockgate_engine::Capability::Metrics,
        lockgate_config::Capability::Kv => lockgate_engine::Capability::Kv,
        lockgate_config::Capability::Clock => lockgate_engine::Capability::Clock,
        lockgate_config::Capability::Random => lockgate_engine::Capability::Random,
    });
    granted.fold(Grants::default(), Grants::with)
}

/// What a stage's plugin may use.
pub(crate) fn limits(stage: &StageSpec) -> Limits {
    let limits = &stage.limits;
    Limits {
        time: limits.time,
        memory: usize::try_from(limits.memory).unwrap_or(usize::MAX),
        output: usize::try_from(limits.output).unwrap_or(usize::MAX),
        emitted: limits.emitted as usize,
        log_lines: limits.log_lines,
        isolation: match stage.isolation {
            lockgate_config::Isolation::Instance => lockgate_engine::Isolation::Instance,
            lockgate_config::Isolation::Batch => lockgate_engine::Isolation::Batch,
            lockgate_config::Isolation::Message => lockgate_engine::Isolation::Message,
        },
        ..Limits::default()
    }
}

/// Where compiled plugins are kept unless the host settings say: the user's cache folder.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Some(base.or_else(home)?.join("lockgate/plugins"))
}
