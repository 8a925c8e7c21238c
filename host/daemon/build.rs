//! Embeds the shipped plugins: every .wasm that `cargo xtask plugins` left in the plugins folder,
//! and beside it the code that `precompile` made of it.
//!
//! A build without them works (for checks and for people without a Wasm target) and says at run
//! time what is missing. Without the code, as of a plain `cargo build`, a plugin is compiled when it
//! is first used.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

const SHIPPED: [&str; 6] = ["filter", "transform", "route", "spam-check", "dedupe", "throttle"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=LOCKGATE_PLUGINS_DIR");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let folder = match env::var_os("LOCKGATE_PLUGINS_DIR") {
        Some(folder) => PathBuf::from(folder),
        // <target>/<profile>/build/<package>/out
        None => out.ancestors().nth(4).map(|target| target.join("plugins")).unwrap_or_default(),
    };
    // All of it, for a file that is not there yet would be taken for one that always changes.
    println!("cargo::rerun-if-changed={}", folder.display());
    let (mut modules, mut codes) = (String::new(), String::new());
    for name in SHIPPED {
        let file = folder.join(name).with_extension("wasm");
        if file.is_file() {
            modules.push_str(&format!("({name:?}, {}), ", include(&file)));
        } else {
            println!("cargo::warning=plugin {name} is not built; run `cargo xtask plugins`");
        }
        let code = file.with_extension("cwasm");
        if code.is_file() {
            codes.push_str(&format!("{}, ", include(&code)));
        }
    }
    fs::write(out.join("shipped.rs"), format!("&[{modules}]\n"))?;
    fs::write(out.join("carried.rs"), format!("&[{codes}]\n"))
}

fn include(file: &Path) -> String {
    format!("include_bytes!({:?}).as_slice()", file.display().to_string())
}
