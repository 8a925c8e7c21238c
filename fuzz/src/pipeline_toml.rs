//! Somebody writes any text into a pipeline file: it is judged without a panic, every diagnostic
//! points into the text and can be shown, a spec comes only without errors, and again the same way.

use std::sync::Arc;

use lockgate_config::{
    Context, Diagnostic, Section, SourceFile, Transport, has_errors, parse_pipeline, render_text,
};
use lockgate_transport::declare::SettingsError;
use lockgate_transport_amqp as amqp;
use lockgate_transport_memory as memory;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (accepted, first) = judge(text);
    let (again, second) = judge(text);
    assert_eq!((accepted, first), (again, second), "judged otherwise the second time");
}

/// Whether it is accepted, and what is said about it.
fn judge(text: &str) -> (bool, String) {
    let file = SourceFile::new("fuzz.toml", text);
    let mut diagnostics = Vec::new();
    let spec = parse_pipeline(&file, &context(), &mut diagnostics);
    assert_eq!(spec.is_some(), !has_errors(&diagnostics));
    for diagnostic in &diagnostics {
        let Some(place) = &diagnostic.place else { continue };
        // A secret that is read from another file has its own place.
        if !Arc::ptr_eq(&place.file, &file) {
            continue;
        }
        if let Some(range) = &place.range {
            assert!(range.start <= range.end && range.end <= text.len(), "{diagnostic:?}");
            assert!(text.is_char_boundary(range.start) && text.is_char_boundary(range.end));
        }
    }
    if let Some(spec) = &spec {
        assert!(!spec.name.is_empty() && spec.stages.len() <= 64 && spec.routes.len() <= 256);
        connectable(spec);
    }
    let shown = render_text(&diagnostics, false);
    let seen = |c: char| c.is_control() && c != '\n';
    assert!(!shown.contains(seen), "a control character is passed on: {shown:?}");
    assert!(serde_json::to_string(&diagnostics).is_ok());
    (spec.is_some(), shown)
}

/// What is accepted can be made into connectors.
fn connectable(spec: &lockgate_config::PipelineSpec) {
    let section = &spec.source.settings;
    match spec.source.kind.as_str() {
        "amqp" => {
            let settings: amqp::SourceSettings = section.parse().expect("parsed before");
            assert!(settings.validate().is_empty());
            assert!(amqp::AmqpSource::new(settings).is_ok());
        }
        _ => drop(section.parse::<memory::SourceSettings>().expect("parsed before")),
    }
}

fn context() -> Context<'static> {
    Context {
        environment: &|name| match name {
            "HOME" | "SECRET" => Some("hunter2".to_owned()),
            _ => None,
        },
        transports: &[
            Transport {
                kind: "amqp",
                source: Some(|section| judged(section, amqp::SourceSettings::validate)),
                target: Some(|section| judged(section, amqp::RouteSettings::validate)),
            },
            Transport {
                kind: "memory",
                source: Some(|section| judged(section, memory::SourceSettings::validate)),
                target: Some(|section| judged(section, memory::RouteSettings::validate)),
            },
        ],
        plugins: &["filter", "transform", "route", "spam-check"],
    }
}

/// As the daemon judges a transport's settings.
fn judged<T: serde::de::DeserializeOwned>(
    section: &Section,
    validate: impl Fn(&T) -> Vec<SettingsError>,
) -> Vec<Diagnostic> {
    match section.parse::<T>() {
        Err(diagnostics) => diagnostics,
        Ok(settings) => validate(&settings)
            .iter()
            .map(|error| section.diagnostic_at(&error.path, &error.message))
            .collect(),
    }
}
