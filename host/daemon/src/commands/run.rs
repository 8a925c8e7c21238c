//! `lockgate run`: every pipeline given, until a signal.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use lockgate_config::{Code, Diagnostic, PipelineSpec, has_errors, load_host};
use lockgate_engine::LoadError;
use lockgate_pipeline::{PipelineError, Running, Snapshot};
use lockgate_transport::declare::Declaring;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::app::App;
use crate::assemble::{self, Assembled};
use crate::cli::Format;
use crate::plugins::{self, Plugins};
use crate::state::State;
use crate::transports::Places;
use crate::{connections, exit, logging, process, report, state};

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
    say_what_starts(&loaded.pipelines, config);
    let cache_dir = host.cache_dir.clone().or_else(assemble::cache_dir);
    let state = Arc::new(State::new(host.state));
    if loaded.pipelines.iter().any(state::is_granted)
        && let Err(error) = state.store()
    {
        report::diagnostics(&[state::refusal(&error)], Format::Text);
        return Ok(exit::bad_input());
    }
    // Before the plugins are loaded, which takes seconds where they have to be compiled.
    let app = Arc::new(App::new(state.clone()));
    let runtime = super::runtime()?;
    if let Some(address) = host.admin.listen {
        let token = host.admin.token.map(|token| token.expose().to_owned());
        let bound = runtime.block_on(connections::listen(address, token, app.clone()))?;
        tracing::info!(address = %bound, "admin listener");
    }
    let loading = loading(app.clone(), &loaded.pipelines);
    let plugins = match Plugins::of(cache_dir, host.engine.memory_reservation) {
        Ok(plugins) => plugins.with_state(state).telling(loading),
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
    let ended = runtime.block_on(serve(&app, pipelines, brokers.declaring));
    // A thread that is blocked, by a name server or a disk that does not answer, must not hold up the
    // end.
    runtime.shutdown_background();
    ended
}

fn say_what_starts(pipelines: &[PipelineSpec], config: Option<&Path>) {
    let files: Vec<_> = pipelines.iter().map(|one| one.file.display().to_string()).collect();
    let settings = config.map(|path| path.display().to_string());
    let (version, files) = (env!("CARGO_PKG_VERSION"), files.join(", "));
    tracing::info!(version, files, settings, "lockgate starts");
}

/// Tells the log and `/readyz` which plugin is being loaded.
fn loading(app: Arc<App>, pipelines: &[PipelineSpec]) -> impl Fn(&str) + 'static {
    let stages = pipelines.iter().flat_map(|one| &one.stages);
    let of = stages.map(|stage| stage.plugin.to_string()).collect::<BTreeSet<_>>().len();
    let loaded = RefCell::new(BTreeSet::new());
    move |plugin: &str| {
        let mut loaded = loaded.borrow_mut();
        loaded.insert(plugin.to_owned());
        let n = loaded.len();
        app.set_starting(format!("compiling plugin `{plugin}` ({n} of {of})"));
        tracing::info!(plugin, n, of, "loading plugin, which is compiled unless it is cached");
    }
}

/// What a pipeline's task reports.
enum Event {
    /// It refused to start, for a reason that waiting cannot mend.
    Refused(Box<Diagnostic>),
    /// It ended after it had started.
    Ended,
}

async fn serve(
    app: &App,
    pipelines: Vec<Assembled>,
    declaring: Declaring,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    app.set_entries(pipelines.iter().map(|one| one.entry.clone()).collect());
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
        signal = signals.next() => tracing::info!(signal, "draining"),
        () = watch_over(&mut events, &mut refused, &mut failed) => {}
    }
    stop.send_replace(false);
    let drained = async {
        while let Some(drained) = tasks.join_next().await {
            failed |= !matches!(drained, Ok(true));
        }
    };
    tokio::select! {
        () = drained => {}
        signal = signals.next() => {
            tracing::warn!(signal, "ending at once; the broker delivers again what is in flight");
            return Ok(exit::failed());
        }
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

/// The signals that end the daemon: the first drains it, a second one ends it at once.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Not where it is to be ignored, as under `nohup`.
    hangup: Option<Signal>,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let hangup = (!process::ignores_hangup()).then(|| signal(SignalKind::hangup()));
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: hangup.transpose()?,
        })
    }

    /// Waits for one, and names it.
    async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = hangup => "SIGHUP",
        }
    }
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
            let Snapshot {
                received,
                in_flight,
                delivered,
                filtered,
                dead_lettered,
                deferred,
                requeued,
            } = entry.stats.snapshot();
            tracing::info!(
                pipeline = entry.name,
                in_time,
                received,
                delivered,
                filtered,
                dead_lettered,
                deferred,
                requeued,
                in_flight,
                "drained"
            );
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
