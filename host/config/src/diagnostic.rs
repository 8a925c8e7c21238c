//! Diagnostic: one thing wrong with what a user wrote, where, and the way out.

mod code;
mod render;

pub use code::{Code, Severity};
pub use render::render_text;

use std::path::Path;

use crate::file::Place;
use crate::secret::mask_urls;

/// One error or warning. Its texts hold no credential that this crate knows of: passwords in URLs
/// are masked here, values that came from the environment or a secret file are left out by those
/// who write the message.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub code: Code,
    /// The code's own, unless somebody insists otherwise.
    pub severity: Severity,
    pub message: String,
    pub place: Option<Place>,
    /// What to say right at the place.
    pub label: Option<String>,
    /// The way out.
    pub help: Option<String>,
}

/// Whether any of them is an error, so that nothing may be started.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|one| one.severity == Severity::Error)
}

impl Diagnostic {
    /// A diagnostic about nothing in a file.
    pub fn new(code: Code, message: impl AsRef<str>) -> Self {
        Self {
            code,
            severity: code.severity(),
            message: mask_urls(message.as_ref()).into_owned(),
            place: None,
            label: None,
            help: None,
        }
    }

    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    #[must_use]
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.label = Some(mask_urls(label.as_ref()).into_owned());
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl AsRef<str>) -> Self {
        self.help = Some(mask_urls(help.as_ref()).into_owned());
        self
    }

    /// By file, then by place in it, so that people can work from top to bottom.
    pub(crate) fn sort(diagnostics: &mut [Self]) {
        fn place(one: &Diagnostic) -> Option<(&Path, Option<usize>)> {
            let place = one.place.as_ref()?;
            Some((place.file.path(), place.range.as_ref().map(|range| range.start)))
        }
        diagnostics.sort_by(|a, b| (place(a), a.code).cmp(&(place(b), b.code)));
    }
}
