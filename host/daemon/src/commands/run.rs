//! `lockgate run`: every pipeline given, until a signal.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use lockgate_config::{Code, Diagnostic, has_errors, load_host};
use lockgate_engine::LoadError;
use lockgate_pipeline::{PipelineError, Running};
use lockgate_transport::declare::Declaring;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::app::{App, Entry};
use crate::assemble::{self, Assembled};
use crate::cli::Format;
use crate::plugins::{self, Plugins};
use crate::state::State;
use crate::transports::Places;
use crate::{admin, exit, logging, report, state};

pub(crate) fn run(paths: &[PathBuf], config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let environment = |name: &str| std::env::var(name).ok();
    let mut diagnostics = Vec::new();
    let host = load_host(config, &environment, &mut diagnostics);
    let loaded = assemble::load(paths);
    diagnostics.extend(loaded.diagnostics);
    let Some(host) = host.filter(|_| !has_errors(&diagnostics)) else {
        report::diagnostics(&diagnostics, Format::Text);
        return Ok(exit::bad_input());
    };
    logging::start(&host.log);
    let cache_dir = host.cache_dir.clone().or_else(assemble::cache_dir);
    let state = Arc::new(State::new(host.state));
    if loaded.pipelines.iter().any(state::is_granted)
        && let Err(error) = state.store()
    {
        report::diagnostics(&[state::refusal(&error)], Format::Text);
        return Ok(exit::bad_input());
    }
    let plugins = match Plugins::of(cache_dir, host.engine.memory_reservation) {
        Ok(plugins) => plugins.with_state(state.clone()),
        Err(error) => match error.downcast_ref() {
            Some(refusal @ LoadError::Machine(_)) => {
                report::diagnostics(&[plugins::no_room(refusal)], Format::Text);
                return Ok(exit::bad_input());
            }
            _ => return Err(error),
        },
    };
    let brokers = crate::transports::Brokers::default();
    let mut pipelines = Vec::new();
    for spec in &loaded.pipelines {
        match assemble::assemble(spec, &plugins, &brokers) {
            Ok((assembled, warnings)) => {
                diagnostics.extend(warnings);
                pipelines.push(assembled);
            }
            Err(errors) => diagnostics.extend(errors),
        }
    }
    diagnostics.extend(plugins.no_room(&pipelines));
    report::diagnostics(&diagnostics, Format::Text);
    if has_errors(&diagnostics) {
        return Ok(exit::bad_input());
    }
    super::runtime()?.block_on(serve(host.admin, pipelines, state, brokers.declaring))
}

/// What a pipeline's task reports.
enum Event {
    /// It refused to start, for a reason that waiting cannot mend.
    Refused(Box<Diagnostic>),
    /// It ended after it had started.
    Ended,
}

async fn serve(
    admin: lockgate_config::AdminSpec,
    pipelines: Vec<Assembled>,
    state: Arc<State>,
    declaring: Declaring,
) -> anyhow::Result<ExitCode> {
    let entries: Vec<Arc<Entry>> = pipelines.iter().map(|one| one.entry.clone()).collect();
    let app = Arc::new(App { entries, state });
    if let Some(address) = admin.listen {
        let token = admin.token.map(|token| token.expose().to_owned());
        let bound = admin::listen(address, token, app.clone()).await?;
        tracing::info!(address = %bound, "admin listener");
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop, running) = watch::channel(true);
    let (report, mut events) = mpsc::channel(pipelines.len().max(1));
    let mut tasks = JoinSet::new();
    pipelines.iter().for_each(|_| declaring.begin());
    for pipeline in pipelines {
        tasks.spawn(supervise(pipeline, declaring.clone(), running.clone(), report.clone()));
    }
    drop((report, running));
    let mut refused = Vec::new();
    let mut failed = false;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM, draining"),
        _ = interrupt.recv() => tracing::info!("interrupted, draining"),
        () = watch_over(&mut events, &mut refused, &mut failed) => {}
    }
    stop.send_replace(false);
    while let Some(drained) = tasks.join_next().await {
        failed |= !matches!(drained, Ok(true));
    }
    while let Ok(Event::Refused(diagnostic)) = events.try_recv() {
        refused.push(*diagnostic);
    }
    if !refused.is_empty() {
        report::diagnostics(&refused, Format::Text);
        return Ok(exit::bad_input());
    }
    Ok(if failed { exit::failed() } else { exit::OK })
}

/// Returns when one pipeline refused to start, or all have ended.
async fn watch_over(
    events: &mut mpsc::Receiver<Event>,
    refused: &mut Vec<Diagnostic>,
    failed: &mut bool,
) {
    while let Some(event) = events.recv().await {
        match event {
            Event::Refused(diagnostic) => return refused.push(*diagnostic),
            Event::Ended => *failed = true,
        }
    }
}

/// Starts a pipeline and stays with it; true when it drained in time.
async fn supervise(
    assembled: Assembled,
    declaring: Declaring,
    mut running: watch::Receiver<bool>,
    report: mpsc::Sender<Event>,
) -> bool {
    let Assembled { pipeline, entry, places } = assembled;
    let starting = async {
        // One pipeline may need what another declares.
        pipeline.declare(running.clone()).await?;
        declaring.done();
        pipeline.start(running.clone()).await
    };
    let mut live: Running = match starting.await {
        Ok(live) => live,
        Err(_) if !*running.borrow() => return true,
        Err(error) => {
            entry.set_ended(error.to_string());
            drop(report.send(Event::Refused(Box::new(refusal(&places, &error)))).await);
            return false;
        }
    };
    tracing::info!(pipeline = entry.name, source = entry.source, "running");
    let ended = tokio::select! {
        ended = live.ended() => Some(ended),
        _ = running.wait_for(|running| !running) => None,
    };
    match ended {
        None => {
            let in_time = live.stop().await;
            let snapshot = entry.stats.snapshot();
            tracing::info!(pipeline = entry.name, in_time, ?snapshot, "drained");
            in_time
        }
        Some(why) => {
            tracing::error!(pipeline = entry.name, error = why, "pipeline stopped");
            entry.set_ended(why);
            drop(report.send(Event::Ended).await);
            false
        }
    }
}

fn refusal(places: &Places, error: &PipelineError) -> Diagnostic {
    match error {
        PipelineError::Refused { sink, error } => places.refusal(*sink, error),
        PipelineError::Stage(text) => places.stage_refusal(text),
        PipelineError::Thread(error) => {
            let text = format!("this machine refuses a thread for a lane: {error}");
            Diagnostic::new(Code::NoRoom, text)
                .help("raise the limits on threads and memory, or give the pipeline fewer `lanes`")
        }
    }
}
