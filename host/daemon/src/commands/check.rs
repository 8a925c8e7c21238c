//! `lockgate check`: everything that can be judged without running, and with `--broker` what only
//! the broker knows.

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;

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
    let terminal = stderr().is_terminal();
    let tell = move |plugin: &str| {
        if terminal {
            report::progress(format!("compiling plugin {plugin} …"));
        }
    };
    let plugins = Plugins::new(assemble::cache_dir())?.telling(tell);
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
    if terminal {
        report::progress("");
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
    let mut found = Vec::new();
    // First of all what any of them declares, for another may need it. What is refused is refused
    // again below, where everything that is wrong is collected.
    for Assembled { pipeline, .. } in &pipelines {
        let Parts { sinks, source, .. } = pipeline.parts();
        for sink in sinks {
            let _ = sink.declare().await;
        }
        let _ = source.declare().await;
    }
    for Assembled { pipeline, places, .. } in &pipelines {
        let Parts { sinks, source, .. } = pipeline.parts();
        for (index, sink) in sinks.iter().enumerate() {
            let wrong = sink.check().await;
            found.extend(wrong.iter().map(|error| places.refusal(Some(index), error)));
        }
        if let Err(error) = source.check().await {
            found.push(places.refusal(None, &error));
        }
        found.extend(source.found().map(|risk| places.risk(&risk)));
    }
    found
}
