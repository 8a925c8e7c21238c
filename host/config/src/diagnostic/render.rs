//! Diagnostics as text for people and as data.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::{Diagnostic, Severity};

/// All of them as text with excerpts, separated by empty lines; nothing for none. `color` is for
/// terminals. Control characters from the files are made visible, never passed on.
pub fn render_text(diagnostics: &[Diagnostic], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&render_one(&renderer, diagnostic));
        text.push_str("\n\n");
    }
    text.truncate(text.trim_end().len());
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn render_one(renderer: &Renderer, diagnostic: &Diagnostic) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.to_string());
    let mut group = Group::with_title(title);
    if let Some(place) = &diagnostic.place {
        let path = place.file.path().to_string_lossy();
        group = match &place.range {
            None => group.element(Origin::path(path)),
            Some(range) => {
                let (line, column) = place.file.position(range.start);
                let excerpt = place.file.excerpt(range);
                let before = excerpt.text.get(..excerpt.mark.start).unwrap_or_default();
                let shown = 1 + before.chars().count();
                let mark = AnnotationKind::Primary.span(excerpt.mark);
                let snippet = Snippet::source(excerpt.text).line_start(excerpt.line);
                let snippet = snippet.annotation(mark.label(diagnostic.label.as_deref()));
                if shown == column {
                    group.element(snippet.path(path))
                } else {
                    // A mask or a cut has moved the column, which a snippet counts for itself.
                    let origin = Origin::path(path).line(line).char_column(column);
                    group.element(origin).element(snippet)
                }
            }
        };
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}

/// `{code, severity, message, file, line, column, start, end, excerpt, label, help}`: lines and
/// columns from 1, `start` and `end` bytes of the file; what is not known is null.
impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = self.place.as_ref();
        let range = place.and_then(|place| place.range.as_ref());
        let position = place.and_then(|place| place.position());
        let excerpt = place.zip(range).map(|(place, range)| place.file.excerpt(range).text);
        let mut out = serializer.serialize_struct("Diagnostic", 11)?;
        out.serialize_field("code", &self.code.to_string())?;
        out.serialize_field("severity", self.severity.name())?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("file", &place.map(|place| place.file.path().to_string_lossy()))?;
        out.serialize_field("line", &position.map(|position| position.0))?;
        out.serialize_field("column", &position.map(|position| position.1))?;
        out.serialize_field("start", &range.map(|range| range.start))?;
        out.serialize_field("end", &range.map(|range| range.end))?;
        out.serialize_field("excerpt", &excerpt)?;
        out.serialize_field("label", &self.label)?;
        out.serialize_field("help", &self.help)?;
        out.end()
    }
}
