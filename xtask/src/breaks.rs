//! `breaks`: breaks each guarantee on purpose and sees that its test notices.
//!
//! The list is `tests/breaks.toml`: a row of the failure matrix, a place in the code, what to write
//! there instead, and the test that must fail then. A test that does not fail proves nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::paths::Paths;
use crate::plugins::sources::collect;
use crate::report::{say, step};
use crate::shell::output;

/// Seconds that a test has.
const PATIENCE: &str = "120";
/// What `timeout` ends with then.
const TIMED_OUT: i32 = 124;

#[derive(Deserialize)]
struct List {
    #[serde(rename = "break")]
    breaks: Vec<Break>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Break {
    /// What is broken, for people.
    what: String,
    file: String,
    from: String,
    to: String,
    /// `e2e`, `chaos`, or the package whose tests have it.
    package: String,
    /// The test's name.
    test: String,
}

impl Break {
    /// The text of its file, broken.
    fn broken(&self, text: &str) -> Result<String> {
        let (from, to) = (self.from.trim_end_matches('\n'), self.to.trim_end_matches('\n'));
        ensure!(text.matches(from).count() == 1, "{} has that place not exactly once", self.file);
        Ok(text.replacen(from, to, 1))
    }
}

/// Runs all, or those whose test's name contains one of `only`.
pub(crate) fn run_all(paths: &Paths, only: &[String]) -> Result<()> {
    let list = fs::read_to_string(paths.root.join("tests/breaks.toml"))?;
    let List { breaks } = toml::from_str(&list).context("tests/breaks.toml")?;
    let tree = paths.target.join("breaks");
    let wanted = |one: &&Break| only.is_empty() || only.iter().any(|name| one.test.contains(name));
    let (mut unnoticed, mut count) = (Vec::new(), 0);
    for one in breaks.iter().filter(wanted) {
        copy(paths, &tree)?;
        count += 1;
        let noticed = noticed(paths, &tree, one).with_context(|| one.what.clone())?;
        let word = if noticed { "noticed" } else { "NOT NOTICED" };
        step("breaks", &format!("{word} by {}: {}", one.test, one.what));
        if !noticed {
            unnoticed.push(&one.what);
        }
    }
    ensure!(count > 0, "no break is named like that");
    if unnoticed.is_empty() {
        step("breaks", &format!("all {count} are noticed"));
        return Ok(());
    }
    bail!("{} of {count} breaks are not noticed", unnoticed.len())
}

/// A copy of the tree as it is, for changing. What is the same already keeps its time, so that cargo
/// builds only what is broken.
fn copy(paths: &Paths, tree: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect(&paths.root, &mut files)?;
    for file in files {
        let to = tree.join(file.strip_prefix(&paths.root)?);
        let content = fs::read(&file)?;
        if fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&to, content)?;
    }
    Ok(())
}

fn noticed(paths: &Paths, tree: &Path, one: &Break) -> Result<bool> {
    let file = tree.join(&one.file);
    fs::write(&file, one.broken(&fs::read_to_string(&file)?)?)?;
    // Never the folder of the whole tree: cargo tells packages apart by their place in a workspace,
    // so that what is built broken would be taken for the whole one.
    let target = paths.target.join("breaks-build");
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(tree).env("CARGO_TARGET_DIR", &target);
        command.env("LOCKGATE_PLUGINS_DIR", &paths.modules);
        command
    };
    let build = match one.package.as_str() {
        "e2e" | "chaos" => output(&mut cargo(&[
            "build",
            "--quiet",
            "--workspace",
            "--bin",
            "lockgate",
            "--bin",
            "with-rabbit",
            "--test",
            "e2e",
            "--test",
            "chaos",
        ]))?,
        package => output(&mut cargo(&["test", "--quiet", "--no-run", "-p", package]))?,
    };
    if !build.status.success() {
        say(&String::from_utf8_lossy(&build.stderr));
        bail!("it does not compile");
    }
    let select = match one.package.as_str() {
        end @ ("e2e" | "chaos") => ["--workspace", "--test", end].map(str::to_owned).to_vec(),
        package => ["-p", package].map(str::to_owned).to_vec(),
    };
    // What is broken may well wait for ever, which is noticed too.
    let tested = output(
        Command::new("timeout")
            .args(["--kill-after=5", PATIENCE])
            .arg(target.join("debug/with-rabbit"))
            .args(["cargo", "test", "--quiet"])
            .args(select)
            .args(["--", &one.test])
            .current_dir(tree)
            .env("CARGO_TARGET_DIR", &target)
            .env("LOCKGATE_PLUGINS_DIR", &paths.modules),
    )?;
    let said = String::from_utf8_lossy(&tested.stdout);
    let late = tested.status.code() == Some(TIMED_OUT);
    ensure!(
        late || said.contains("running 1 test") || said.contains("FAILED"),
        "no test {} was run",
        one.test
    );
    Ok(late || said.contains("test result: FAILED"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_break_has_its_place() {
        let list: List = toml::from_str(include_str!("../../tests/breaks.toml")).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for one in &list.breaks {
            let text = fs::read_to_string(root.join(&one.file)).unwrap();
            one.broken(&text).context(one.what.clone()).unwrap();
        }
    }

    /// Every row of the failure matrix names a test that some break has been seen to fail.
    #[test]
    fn every_row_of_the_failure_matrix_has_a_break() {
        let guide = include_str!("../../docs/guide/delivery.md");
        let list: List = toml::from_str(include_str!("../../tests/breaks.toml")).unwrap();
        let matrix = guide.split_once("## What can fail").unwrap().1;
        let matrix = matrix.split_once("\n## ").unwrap().0;
        let mut rows = 0;
        for row in matrix.lines().filter(|line| line.starts_with("| ")) {
            let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
            let [failure, _, _, tests] = cells[..] else { panic!("{row}") };
            if tests.trim() == "test" {
                continue;
            }
            let broken = |test: &str| list.breaks.iter().any(|one| one.test == test);
            assert!(tests.split('`').any(broken), "no break for: {failure}");
            rows += 1;
        }
        assert!(rows > 30, "{rows} rows");
    }
}
