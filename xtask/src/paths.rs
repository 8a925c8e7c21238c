//! The places that tasks read and write.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The tree's root and the folders that are built into.
pub(crate) struct Paths {
    /// The folder that holds the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder of the host workspace.
    pub(crate) target: PathBuf,
    /// Where the shipped plugins' modules go, one `<name>.wasm` each.
    pub(crate) modules: PathBuf,
}

impl Paths {
    /// Finds them from the environment that cargo sets for `cargo xtask`.
    pub(crate) fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").context("start me as `cargo xtask`")?;
        let root =
            Path::new(&manifest).parent().context("xtask has no parent folder")?.to_path_buf();
        let target = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |dir| absolute(&root, dir.into()));
        let modules = env::var_os("LOCKGATE_PLUGINS_DIR")
            .map_or_else(|| target.join("plugins"), |dir| absolute(&root, dir.into()));
        Ok(Self { root, target, modules })
    }

    /// The target folder of the plugins' workspace: for Wasm and for their native tests.
    pub(crate) fn plugins_target(&self) -> PathBuf {
        self.target.join("plugins-build")
    }

    /// The Python environment that holds the tests' AMQP client.
    pub(crate) fn venv(&self) -> PathBuf {
        self.target.join("venv")
    }
}

fn absolute(root: &Path, dir: PathBuf) -> PathBuf {
    if dir.is_absolute() { dir } else { root.join(dir) }
}
