//! `precompile FOLDER`: compiles each `NAME.wasm` of a folder to `NAME.cwasm` beside it, for the
//! daemon's build to embed. A build script could not: what it links is built once more, unoptimised.

use std::io::{Error, ErrorKind, Result, Write, stderr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use lockgate_engine::{is_precompiled, precompile};

fn main() -> ExitCode {
    let done = match env::args_os().nth(1) {
        Some(folder) => all(Path::new(&folder)),
        None => Err(Error::new(ErrorKind::InvalidInput, "usage: precompile FOLDER")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn all(folder: &Path) -> Result<()> {
    let in_folder = |error| Error::other(format!("{}: {error}", folder.display()));
    let mut modules: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(in_folder)? {
        let path = entry.map_err(in_folder)?.path();
        if path.extension().is_some_and(|end| end == "wasm") {
            modules.push(path);
        }
    }
    modules.sort();
    modules.iter().try_for_each(|module| {
        one(module).map_err(|error| Error::other(format!("{}: {error}", module.display())))
    })
}

/// Leaves alone what need not change, so that what embeds it is not built again.
fn one(path: &Path) -> Result<()> {
    let module = fs::read(path)?;
    let to = path.with_extension("cwasm");
    if fs::read(&to).is_ok_and(|code| is_precompiled(&code, &module)) {
        return Ok(());
    }
    let code = precompile(&module).map_err(Error::other)?;
    let part = to.with_extension("part");
    fs::write(&part, &code)?;
    fs::rename(&part, &to)?;
    say(&format!("precompile: {} ({} KiB)", to.display(), code.len() / 1024));
    Ok(())
}

fn say(text: &str) {
    // With stderr gone there is nobody left to tell.
    let _ = writeln!(stderr(), "{text}");
}
