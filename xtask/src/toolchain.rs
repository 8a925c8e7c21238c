//! Which Rust compiles the plugins to WebAssembly: rustup's target, or Debian's own toolchain.
//!
//! Debian ships no standard library for Wasm beside its `rustc-web`, but the sources of one, so
//! cargo builds it (`-Zbuild-std`, which a released compiler permits only with `RUSTC_BOOTSTRAP`).

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::paths::Paths;
use crate::shell::{capture, is_file};

/// The target that every plugin is built for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// A way to compile to Wasm that this machine has.
pub(crate) enum Toolchain {
    /// The cargo and rustc in use have the target's standard library.
    Ready,
    /// Debian's cargo and rustc with the standard library's sources, and a linker for Wasm.
    Debian { linker: PathBuf },
}

impl Toolchain {
    /// Looks for a complete one, the simplest first; `LOCKGATE_WASM` narrows the choice.
    pub(crate) fn find() -> Option<Self> {
        let wanted = env::var("LOCKGATE_WASM").ok();
        let may = |name: &str| wanted.as_deref().is_none_or(|only| only == name);
        if may("rustup") && has_target() {
            return Some(Self::Ready);
        }
        if may("debian") { debian() } else { None }
    }

    /// How to name it to a person.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ready => "the compiler's own target",
            Self::Debian { .. } => "Debian's rustc-web, building the standard library",
        }
    }

    /// `cargo build --release` of the plugins' workspace, complete but for what to build.
    pub(crate) fn build(&self, paths: &Paths) -> Command {
        let mut command = match self {
            Self::Ready => Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
            Self::Debian { linker } => {
                let mut command = Command::new("/usr/bin/cargo");
                command
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
                command
            }
        };
        command
            .args(["build", "--release", "--quiet", "--target", TARGET])
            .arg("--manifest-path")
            .arg(paths.root.join("plugins/Cargo.toml"))
            .arg("--target-dir")
            .arg(paths.plugins_target())
            .env("CARGO_ENCODED_RUSTFLAGS", remapped(paths));
        if matches!(self, Self::Debian { .. }) {
            command.arg("-Zbuild-std=std,panic_abort");
        }
        command
    }
}

/// Flags that keep this machine's folders out of the modules: the same sources give the same digest.
fn remapped(paths: &Paths) -> String {
    let home = || env::home_dir().map(|home| home.join(".cargo"));
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home).unwrap_or_default();
    [(cargo.as_path(), "cargo"), (paths.root.as_path(), "lockgate")]
        .map(|(from, to)| format!("--remap-path-prefix={}=/{to}", from.display()))
        .join("\x1f")
}

fn has_target() -> bool {
    sysroot(Path::new("rustc"))
        .is_some_and(|root| root.join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

fn debian() -> Option<Toolchain> {
    let root = sysroot(Path::new("/usr/bin/rustc"))?;
    let sources = root.join("lib/rustlib/src/rust/library/std/Cargo.toml");
    if !is_file(&sources) || !is_file(Path::new("/usr/bin/cargo")) {
        return None;
    }
    let linker = rust_lld()?;
    Some(Toolchain::Debian { linker })
}

/// `rust-lld` of the toolchain in use, else of Debian's `rust-web-llvm`.
fn rust_lld() -> Option<PathBuf> {
    let debian = PathBuf::from("/usr/bin/rust-lld");
    let ours = sysroot(Path::new("rustc")).and_then(|root| {
        let hosts = std::fs::read_dir(root.join("lib/rustlib")).ok()?;
        hosts.flatten().map(|host| host.path().join("bin/rust-lld")).find(|linker| is_file(linker))
    });
    ours.or_else(|| is_file(&debian).then_some(debian))
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    capture(Command::new(rustc).args(["--print", "sysroot"])).map(PathBuf::from)
}
