//! Loading: files and folders into specs, with everything that is wrong in any of them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic};
use crate::file::{Place, SourceFile};
use crate::pipeline;
use crate::read::{ReadError, read_text};
use crate::section::Section;
use crate::spec::PipelineSpec;

/// Bytes of one configuration file.
const FILE_MAX: u64 = 1 << 20;
/// Pipeline files in one run.
const FILES_MAX: usize = 1_000;
/// Diagnostics shown for one file; whoever has more starts with these.
const DIAGNOSTICS_MAX: usize = 100;

/// What a pipeline file may refer to.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Gives the value of an environment variable.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The transports there are.
    pub transports: &'a [Transport<'a>],
    /// The names of the shipped plugins.
    pub plugins: &'a [&'a str],
}

/// A transport, and how it judges its settings. One without a check for a direction cannot be
/// used in it.
#[derive(Clone, Copy)]
pub struct Transport<'a> {
    /// As in `[source.amqp]`.
    pub kind: &'a str,
    pub source: Option<fn(&Section) -> Vec<Diagnostic>>,
    pub target: Option<fn(&Section) -> Vec<Diagnostic>>,
}

/// What came of loading.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Those without errors, in the order of their files.
    pub pipelines: Vec<PipelineSpec>,
    /// Over all files, by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

/// Loads files and folders: of a folder every `*.toml` but `*.test.toml`, in the order of their
/// names. A file that is given twice is loaded once.
pub fn load(paths: &[PathBuf], context: &Context<'_>) -> Loaded {
    let mut loaded = Loaded::default();
    for path in files(paths, &mut loaded.diagnostics) {
        let mut diagnostics = Vec::new();
        if let Some(file) = read_file(&path, &mut diagnostics)
            && let Some(spec) = parse_pipeline(&file, context, &mut diagnostics)
        {
            match loaded.pipelines.iter().find(|other| other.name == spec.name) {
                Some(other) => diagnostics.push(duplicate(&spec, other)),
                None => loaded.pipelines.push(spec),
            }
        }
        loaded.diagnostics.append(&mut diagnostics);
    }
    if loaded.pipelines.is_empty() && loaded.diagnostics.is_empty() {
        let message = "there is nothing to run";
        loaded.diagnostics.push(Diagnostic::new(Code::NoPipelines, message));
    }
    loaded
}

/// Judges one file. A spec comes back only if there is no error; warnings may come with it.
pub fn parse_pipeline(
    file: &Arc<SourceFile>,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<PipelineSpec> {
    let mut found = Vec::new();
    let spec = pipeline::parse(file, context, &mut found);
    finish(file, found, diagnostics);
    spec
}

/// Sorts and bounds what was found in one file.
pub(crate) fn finish(
    file: &Arc<SourceFile>,
    mut found: Vec<Diagnostic>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    Diagnostic::sort(&mut found);
    let more = found.len().saturating_sub(DIAGNOSTICS_MAX);
    found.truncate(DIAGNOSTICS_MAX);
    diagnostics.append(&mut found);
    if more > 0 {
        let message = format!("{more} more problems in this file");
        diagnostics.push(Diagnostic::new(Code::TooMany, message).at(Place::file(file)));
    }
}

/// Reads a configuration file.
pub(crate) fn read_file(path: &Path, diagnostics: &mut Vec<Diagnostic>) -> Option<Arc<SourceFile>> {
    let error = match read_text(path, FILE_MAX) {
        Ok(text) => return Some(SourceFile::new(path, text)),
        Err(error) => error,
    };
    let code = match error {
        ReadError::Io(_) | ReadError::NotAFile => Code::Unreadable,
        ReadError::TooLarge(_) => Code::TooLarge,
        ReadError::NotUtf8 { .. } => Code::NotUtf8,
    };
    let diagnostic = unreadable(path, code, &error.to_string());
    diagnostics.push(match code {
        Code::NotUtf8 => diagnostic.help("save it as UTF-8; `iconv -f FROM -t UTF-8` converts it"),
        _ => diagnostic,
    });
    None
}

fn unreadable(path: &Path, code: Code, reason: &str) -> Diagnostic {
    let message = format!("this cannot be read: {reason}");
    Diagnostic::new(code, message).at(Place::file(&SourceFile::new(path, "")))
}

fn duplicate(spec: &PipelineSpec, other: &PipelineSpec) -> Diagnostic {
    let message = format!("there are two pipelines named `{}`", spec.name);
    spec.section
        .diagnostic(Code::DuplicateName, "name", message)
        .help(format!("the other one is in {}", other.section.place("name")))
}

/// Every file to load, once each.
fn files(paths: &[PathBuf], diagnostics: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            match folder(path) {
                Ok(found) if found.is_empty() => {
                    let message = format!("there is no pipeline file in `{}`", path.display());
                    let help = "a pipeline file ends in `.toml`, and not in `.test.toml`";
                    diagnostics.push(Diagnostic::new(Code::NoPipelines, message).help(help));
                }
                Ok(mut found) => files.append(&mut found),
                Err(error) => {
                    diagnostics.push(unreadable(path, Code::Unreadable, &error.to_string()));
                }
            }
        } else {
            files.push(path.clone());
        }
    }
    let mut seen = HashSet::new();
    files.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    if files.len() > FILES_MAX {
        let message = format!("there are {} pipeline files; {FILES_MAX} is the limit", files.len());
        diagnostics.push(Diagnostic::new(Code::TooMany, message));
        files.truncate(FILES_MAX);
    }
    files
}

fn folder(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".toml") && !name.ends_with(".test.toml") && !name.starts_with('.') {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}
