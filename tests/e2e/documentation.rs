//! The documentation runs: every command and every TOML file of it, as a reader copies them, in
//! order, on an empty broker.
//!
//! A TOML fence whose first line is `# NAME.toml` is saved under that name and must pass `check`; it
//! is run on the broker, by the document or at its end. `# NAME.toml: [TABLE]` writes that table of the file anew. Any
//! other is a part of a pipeline, and is checked with what it leaves out. In a `console` fence each
//! `$ ` line is a command that must succeed and print what stands below it; see `pattern`. An `sh`
//! fence is a script.

mod page;
mod pattern;
mod reader;

use std::fs;

use anyhow::{Result, ensure};
use lockgate_tests::{Scene, tests_dir};

use crate::guest::guest;
use page::Fence;
use reader::Reader;

/// A fence that is not run.
struct LeftOut {
    document: &'static str,
    /// How its text begins.
    begins: &'static str,
    why: &'static str,
}

const LEFT_OUT: [LeftOut; 4] = [
    LeftOut {
        document: "README.md",
        begins: "make demo     #",
        why: "builds the tree and runs this test; what `make demo` prints is in the fence below",
    },
    LeftOut {
        document: "plugins/spam-check/README.md",
        begins: "cargo run --release --manifest-path plugins/spam-check/trainer",
        why: "builds the tree; the trainer has tests of its own",
    },
    LeftOut {
        document: "plugin-sdk/rust/README.md",
        begins: "[package]",
        why: "a manifest of cargo's; the plugin is built as `examples/tenant_filter.rs`",
    },
    LeftOut {
        document: "plugin-sdk/rust/README.md",
        begins: "rustup target add",
        why: "installs a toolchain; `cargo xtask plugins` builds plugins with the one that is there",
    },
];

/// What a command comes down to once the tree is built.
const INSTEAD: [(&str, &str); 1] = [("make demo", "lockgate demo --plain")];

fn instead(command: &str) -> Option<&'static str> {
    INSTEAD.iter().find(|(what, _)| *what == command).map(|(_, instead)| *instead)
}

/// Reads a document; every fence that is left out there has to be there.
fn read(reader: &mut Reader, document: &str) -> Result<()> {
    let mut seen = Vec::new();
    let listed = || LEFT_OUT.iter().filter(|out| out.document == document);
    let mut left_out = |fence: &Fence| {
        let found = listed().find(|out| fence.text.starts_with(out.begins));
        seen.extend(found.map(|out| out.begins));
        found.is_some()
    };
    reader.read(document, &mut left_out, &instead)?;
    for LeftOut { begins, why, .. } in listed() {
        let found = seen.contains(begins);
        ensure!(found, "{document} has no fence that begins `{begins}`, left out for it {why}");
    }
    Ok(())
}

#[test]
fn the_readme_runs_on_an_empty_broker() -> Result<()> {
    read(&mut Reader::new(Scene::own("readme")?, None)?, "README.md")
}

/// All of them, so that a new one is read too.
#[test]
fn the_guides_run_on_an_empty_broker() -> Result<()> {
    let mut guides = Vec::new();
    for entry in fs::read_dir(tests_dir().join("../docs/guide"))? {
        guides.push(entry?.file_name().to_string_lossy().into_owned());
    }
    guides.sort();
    ensure!(guides.len() >= 2, "the guides are gone: {guides:?}");
    for guide in guides {
        let mut reader = Reader::new(Scene::own("guide")?, None)?;
        // A plugin of the reader's own, as the guides name one.
        let nothing = "(func $batch (param i32 i32) (result i64) unreachable)";
        reader.give("enrich.wasm", &guest("1", "0.1", "", nothing)?)?;
        read(&mut reader, &format!("docs/guide/{guide}"))?;
    }
    Ok(())
}

#[test]
fn the_page_of_settings_and_the_plugins_readmes_hold() -> Result<()> {
    read(&mut Reader::new(Scene::own("settings")?, None)?, "docs/reference/settings.md")?;
    read(&mut Reader::new(Scene::shared("sdk")?, None)?, "plugin-sdk/rust/README.md")?;
    let (mut read_any, mut checked) = (0, 0);
    for entry in fs::read_dir(tests_dir().join("../plugins"))? {
        let entry = entry?;
        let plugin = entry.file_name().to_string_lossy().into_owned();
        if !entry.path().join("README.md").is_file() {
            continue;
        }
        let mut reader = Reader::new(Scene::shared("plugin")?, Some(&plugin))?;
        read(&mut reader, &format!("plugins/{plugin}/README.md"))?;
        read_any += 1;
        checked += reader.parts();
    }
    ensure!(read_any >= 7 && checked >= 25, "{checked} settings in {read_any} READMEs");
    Ok(())
}

/// Each file of `pipelines/` declares all that it needs.
#[test]
fn the_pipelines_of_the_tree_run_on_an_empty_broker() -> Result<()> {
    let mut reader = Reader::new(Scene::own("pipelines")?, None)?;
    let mut names = Vec::new();
    for entry in fs::read_dir(tests_dir().join("../pipelines"))? {
        names.push(format!("pipelines/{}", entry?.file_name().to_string_lossy()));
    }
    ensure!(names.len() >= 4, "the pipelines are gone: {names:?}");
    reader.run_each(&names)
}
