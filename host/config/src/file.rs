//! SourceFile and Place: a text as it was read, and a spot in it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::secret;

/// A configuration text, and which parts of it must never be shown.
pub struct SourceFile {
    path: PathBuf,
    text: String,
    /// Byte ranges that hold credentials, in order, not overlapping.
    secrets: Vec<Range<usize>>,
}

/// A spot in a file: the whole file, or a byte range of it.
#[derive(Clone, Debug)]
pub struct Place {
    pub file: Arc<SourceFile>,
    /// Bytes of the file's text; none where the file as a whole is meant.
    pub range: Option<Range<usize>>,
}

/// Lines of a file as people may see them: credentials masked, long lines cut.
pub(crate) struct Excerpt {
    pub(crate) text: String,
    /// Number of the first line, from 1.
    pub(crate) line: usize,
    /// Bytes of `text` to point at.
    pub(crate) mark: Range<usize>,
}

/// Characters shown on either side of a mark; a pipeline file may be one line of a mebibyte.
const EXCERPT_MARGIN: usize = 120;
/// Characters of a mark that are shown.
const EXCERPT_MARK: usize = 200;

impl SourceFile {
    /// Holds `text` as the content of `path`.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Self> {
        let text = text.into();
        let secrets = secret::ranges(&text);
        Arc::new(Self { path: path.into(), text, secrets })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text as read, credentials and all: not for people.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The folder that relative paths in the file start from.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Line and column of a byte, both from 1, the column in characters.
    pub(crate) fn position(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..self.floor(at)).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        let column = 1 + before.get(start..).unwrap_or_default().chars().count();
        (line, column)
    }

    /// The line that `range` starts on, safe to show, with the part of `range` on that line marked.
    pub(crate) fn excerpt(&self, range: &Range<usize>) -> Excerpt {
        let start = self.floor(range.start);
        let end = self.floor(range.end.max(start));
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let after = self.text.get(start..).unwrap_or_default();
        let line_end = after.find('\n').map_or(self.text.len(), |newline| start + newline);
        let from = floor(&self.text, back(&self.text, start, EXCERPT_MARGIN).max(line_start));
        let end = forward(&self.text, start, EXCERPT_MARK).min(end).min(line_end);
        let to = forward(&self.text, end, EXCERPT_MARGIN).min(line_end);

        let mut masked = Masked::default();
        masked.text.push_str(if from > line_start { "…" } else { "" });
        let mark_start = masked.copy(&self.text, &self.secrets, from..start);
        let mark_end = masked.copy(&self.text, &self.secrets, start..end).max(mark_start);
        masked.copy(&self.text, &self.secrets, end..to);
        masked.text.push_str(if to < line_end { "…" } else { "" });
        let kept = masked.text.trim_end_matches('\r').len();
        masked.text.truncate(kept);
        let mark = mark_start.min(kept)..mark_end.min(kept);
        Excerpt { text: masked.text, line: self.position(start).0, mark }
    }

    fn floor(&self, at: usize) -> usize {
        floor(&self.text, at)
    }
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Place {
    /// The file as a whole.
    pub fn file(file: &Arc<SourceFile>) -> Self {
        Self { file: file.clone(), range: None }
    }

    pub(crate) fn new(file: &Arc<SourceFile>, range: Range<usize>) -> Self {
        Self { file: file.clone(), range: Some(range) }
    }

    /// Line and column, both from 1, the column in characters.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.range.as_ref().map(|range| self.file.position(range.start))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.path.display())?;
        match self.position() {
            Some((line, column)) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

/// A copy in which each credential, whatever its length, is three stars.
#[derive(Default)]
struct Masked {
    text: String,
    /// End of the last credential whose stars are written.
    written: usize,
}

impl Masked {
    /// Appends `range` of `text`; returns the length of the copy.
    fn copy(&mut self, text: &str, secrets: &[Range<usize>], range: Range<usize>) -> usize {
        let mut at = range.start;
        let overlapping = secrets.iter().filter(|s| s.start < range.end && s.end > range.start);
        for secret in overlapping {
            self.text.push_str(text.get(at..secret.start.max(at)).unwrap_or_default());
            if self.written < secret.end {
                self.text.push_str("***");
                self.written = secret.end;
            }
            at = secret.end;
        }
        self.text.push_str(text.get(at..range.end).unwrap_or_default());
        self.text.len()
    }
}

/// The last character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

/// The byte `count` characters before `at`.
fn back(text: &str, at: usize, count: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.char_indices().rev().nth(count.saturating_sub(1)).map_or(0, |(index, _)| index)
}

/// The byte `count` characters after `at`.
fn forward(text: &str, at: usize, count: usize) -> usize {
    let after = text.get(at..).unwrap_or_default();
    after.char_indices().nth(count).map_or(text.len(), |(index, _)| at + index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, range: Range<usize>, shown: &str, marked: &str) {
        let excerpt = SourceFile::new("f", text).excerpt(&range);
        assert_eq!(excerpt.text, shown);
        assert_eq!(&excerpt.text[excerpt.mark], marked);
    }

    #[test]
    fn excerpts() {
        check("a = 1\r\nb = 2\r\n", 7..12, "b = 2", "b = 2");
        check("a = [\n1]", 4..8, "a = [", "[");
        check("", 0..0, "", "");
        check("é", 1..1, "é", "");
        check("password = \"hunter2\"", 11..20, "password = \"***\"", "\"***\"");
        check("password = \"hunter2\"", 14..16, "password = \"***\"", "");
        let long = format!("a = {}", "x".repeat(1000));
        let cut = format!("a = {}…", "x".repeat(316 + 4));
        check(&long, 4..1004, &cut, &"x".repeat(200));
    }

    #[test]
    fn positions() {
        let file = SourceFile::new("f", "é\nbé = 1");
        assert_eq!(file.position(0), (1, 1));
        assert_eq!(file.position(2), (1, 2));
        assert_eq!(file.position(6), (2, 3));
        assert_eq!(file.position(999), (2, 7));
    }
}
