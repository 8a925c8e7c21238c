//! `lockgate check`: everything that can be judged without running, and with `--broker` what only
//! the broker knows.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use lockgate_config::{Diagnostic, has_errors};
use lockgate_pipeline::Parts;

use crate::assemble::{self, Assembled};
use crate::cli::Format;
use crate::plugins::Plugins;
use crate::transports::Brokers;
use crate::{exit, report};

pub(crate) fn run(paths: &[PathBuf], broker: bool, format: Format) -> anyhow::Result<ExitCode> {
    let loaded = assemble::load(paths);
    let mut diagnostics = loaded.diagnostics;
    let plugins = Plugins::new(assemble::cache_dir())?;
    let brokers = Brokers::default();
    let mut assembled = Vec::new();
    for spec in &loaded.pipelines {
        match assemble::assemble(spec, &plugins, &brokers) {
            Ok((one, warnings)) => {
                diagnostics.extend(warnings);
                assembled.push(one);
            }
            Err(errors) => diagnostics.extend(errors),
        }
    }
    if broker {
        diagnostics.extend(super::runtime()?.block_on(ask_brokers(assembled)));
    }
    report::diagnostics(&diagnostics, format);
    if has_errors(&diagnostics) {
        return Ok(exit::bad_input());
    }
    if format == Format::Text {
        let count = loaded.pipelines.len();
        report::line(format!("{count} pipeline{} fit to run", if count == 1 { "" } else { "s" }));
    }
    Ok(exit::OK)
}

/// Connects everything once, makes what is declared, and closes it again; takes no message.
async fn ask_brokers(pipelines: Vec<Assembled>) -> Vec<Diagnostic> {
    const CLOSE: Duration = Duration::from_secs(2);
    let mut found = Vec::new();
    // First of all what any of them declares, for another may need it.
    let mut refused = HashSet::new();
    for (n, Assembled { pipeline, places, .. }) in pipelines.iter().enumerate() {
        let Parts { sinks, source, .. } = pipeline.parts();
        for (index, sink) in sinks.iter().enumerate() {
            if let Err(error) = sink.declare().await {
                found.push(places.refusal(Some(index), &error));
                refused.insert((n, Some(index)));
            }
        }
        if let Err(error) = source.declare().await {
            found.push(places.refusal(None, &error));
            refused.insert((n, None));
        }
    }
    for (n, Assembled { pipeline, places, .. }) in pipelines.iter().enumerate() {
        let Parts { sinks, source, .. } = pipeline.parts();
        for (index, sink) in sinks.iter().enumerate() {
            if refused.contains(&(n, Some(index))) {
                continue;
            }
            match sink.connect(0).await {
                Ok(sink) => sink.close(CLOSE).await,
                Err(error) => found.push(places.refusal(Some(index), &error)),
            }
        }
        if !refused.contains(&(n, None))
            && let Err(error) = source.check().await
        {
            found.push(places.refusal(None, &error));
        }
        found.extend(parts.source.found().map(|risk| places.risk(&risk)));
    }
    found
}
