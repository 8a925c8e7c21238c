//! A digest of source folders, to tell whether a build would make anything new.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Names and contents of all files below `folders`, in name order. Not cryptographic: it guards
/// against forgetting a rebuild, not against a forger. Toolchains may change it; then we rebuild.
pub(crate) fn digest(folders: &[&Path]) -> Result<String> {
    let mut state = DefaultHasher::new();
    for folder in folders {
        let mut files = Vec::new();
        collect(folder, &mut files)?;
        files.sort();
        for file in files {
            file.strip_prefix(folder).unwrap_or(&file).hash(&mut state);
            fs::read(&file)
                .with_context(|| format!("cannot read {}", file.display()))?
                .hash(&mut state);
        }
    }
    Ok(format!("{:016x}\n", state.finish()))
}

/// All files below `folder` that a build may read; a folder that is not there has none.
pub(crate) fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    const SKIPPED: [&str; 5] = ["target", ".git", ".cache", "__pycache__", "node_modules"];
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry.with_context(|| folder.display().to_string())?;
        let kind = entry.file_type().with_context(|| folder.display().to_string())?;
        if kind.is_file() {
            files.push(entry.path());
        } else if kind.is_dir() && !SKIPPED.iter().any(|skip| entry.file_name() == *skip) {
            collect(&entry.path(), files)?;
        }
    }
    Ok(())
}
