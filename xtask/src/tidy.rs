//! `tidy`: the rules of the tree that neither the compiler nor clippy checks.

mod clock;
mod edges;
mod files;
mod machine;

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::paths::Paths;
use crate::plugins::sources::collect;
use crate::report::{say, step};

/// One text file of the tree.
struct Text {
    /// Relative to the root.
    path: PathBuf,
    content: String,
}

/// Reads the tree once, applies every rule, and reports all that is wrong.
pub(crate) fn check(paths: &Paths) -> Result<()> {
    let mut files = Vec::new();
    collect(&paths.root, &mut files)?;
    files.sort();
    let mut complaints = Vec::new();
    let mut seen = 0;
    for file in files {
        let path = file.strip_prefix(&paths.root).unwrap_or(&file).to_path_buf();
        // What is not text (models, samples, archives) has no rules here.
        let Ok(content) = fs::read_to_string(&file) else {
            continue;
        };
        seen += 1;
        let text = Text { path, content };
        let found =
            [files::check(&text), edges::check(&text), clock::check(&text), machine::check(&text)];
        let place = text.path.display();
        complaints.extend(found.concat().iter().map(|wrong| format!("{place}: {wrong}")));
    }
    if complaints.is_empty() {
        step("tidy", &format!("{seen} files in order"));
        return Ok(());
    }
    for complaint in &complaints {
        say(complaint);
    }
    bail!("{} breaches of the tree's rules", complaints.len())
}
