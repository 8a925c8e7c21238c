//! Embeds the shipped plugins: every .wasm that `cargo xtask plugins` left in the plugins folder.
//!
//! A build without them works (for checks and for people without a Wasm target) and says at run
//! time what is missing.

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
    let mut table = String::from("&[\n");
    for name in SHIPPED {
        let file = folder.join(name).with_extension("wasm");
        println!("cargo::rerun-if-changed={}", file.display());
        if file.is_file() {
            table.push_str(&entry(name, &file));
        } else {
            println!("cargo::warning=plugin {name} is not built; run `cargo xtask plugins`");
        }
    }
    table.push_str("]\n");
    fs::write(out.join("shipped.rs"), table)
}

fn entry(name: &str, file: &Path) -> String {
    format!("    ({name:?}, include_bytes!({:?}).as_slice()),\n", file.display().to_string())
}
