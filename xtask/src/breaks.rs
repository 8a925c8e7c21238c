//! `breaks`: breaks each guarantee on purpose and sees that its test notices.
//!
//! The list is `tests/breaks.toml`: a row of the failure matrix, a place in the code, what to write
//! there instead, and the test that must fail then. A test that does not fail proves nothing, and
//! neither does one that fails, or runs out of time, with nothing broken: each named test first has
//! to pass on an unbroken copy, the control. A break that runs out of time counts as noticed only
//! where its entry says that it hangs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::paths::Paths;
use crate::plugins::sources::collect;
use crate::report::{say, step};
use crate::shell::output;

/// The time that a test has: longer than the deadlines of the tests' own, so that a broken
/// guarantee ends in a failure that says something.
const PATIENCE: Duration = Duration::from_secs(400);
/// The least time that a test has of which the entry says that it hangs; four times what its
/// control took, where that is more.
const HANGS: Duration = Duration::from_secs(60);
/// What `timeout` ends with when it has ended the command, by a signal or by killing it.
const TIMED_OUT: [i32; 2] = [124, 137];

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
    /// What the test has to say when it fails, where it can fail for more than one reason.
    says: Option<String>,
    /// The test waits for ever for what is broken, so that running out of time is the failure.
    #[serde(default)]
    hangs: bool,
}

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ended {
    Passed,
    /// With all that it said.
    Failed(String),
    Late,
}

impl Break {
    /// The text of its file, broken.
    fn broken(&self, text: &str) -> Result<String> {
        let (from, to) = (self.from.trim_end_matches('\n'), self.to.trim_end_matches('\n'));
        ensure!(text.matches(from).count() == 1, "{} has that place not exactly once", self.file);
        Ok(text.replacen(from, to, 1))
    }

    /// Why the end of its test does not show that the break is noticed; `None` when it does.
    fn unnoticed(&self, ended: &Ended) -> Option<String> {
        match (ended, &self.says) {
            (Ended::Passed, _) => Some("the test passes".to_owned()),
            (Ended::Late, _) if self.hangs => None,
            (Ended::Late, _) => Some("out of time, and the entry has no `hangs = true`".to_owned()),
            (Ended::Failed(said), Some(says)) if !said.contains(says) => {
                Some(format!("the test fails without saying `{says}`: {said}"))
            }
            (Ended::Failed(_), _) => None,
        }
    }

    /// The time that its test has, after a control that took `control`.
    fn patience(&self, control: Duration) -> Duration {
        if self.hangs { HANGS.max(control * 4) } else { PATIENCE }
    }
}

/// Runs all, or those whose test's name or description contains one of `only`.
pub(crate) fn run_all(paths: &Paths, only: &[String]) -> Result<()> {
    let list = fs::read_to_string(paths.root.join("tests/breaks.toml"))?;
    let List { breaks } = toml::from_str(&list).context("tests/breaks.toml")?;
    let named = |one: &Break, name| one.test.contains(name) || one.what.contains(name);
    let wanted = |one: &&Break| only.is_empty() || only.iter().any(|name| named(one, name));
    let wanted: Vec<_> = breaks.iter().filter(wanted).collect();
    ensure!(!wanted.is_empty(), "no break is named like that");
    let bench = Bench::new(paths)?;
    let controls = bench.controls(&wanted)?;
    let mut unnoticed = 0;
    for one in &wanted {
        let Some(control) = controls.get(&(&*one.package, &*one.test)) else {
            unnoticed += 1;
            let why = "its test does not pass on the unbroken copy";
            step("breaks", &format!("NOT PROVEN by {}: {}: {why}", one.test, one.what));
            continue;
        };
        let ended = bench.broken(one, *control).with_context(|| one.what.clone())?;
        let word = match one.unnoticed(&ended) {
            None if ended == Ended::Late => "noticed (out of time)".to_owned(),
            None => "noticed".to_owned(),
            Some(why) => {
                unnoticed += 1;
                format!("NOT NOTICED ({why})")
            }
        };
        step("breaks", &format!("{word} by {}: {}", one.test, one.what));
    }
    let count = wanted.len();
    ensure!(unnoticed == 0, "{unnoticed} of {count} breaks are not noticed");
    step("breaks", &format!("all {count} are noticed"));
    Ok(())
}

/// A copy of the tree, and where it is built.
struct Bench<'a> {
    paths: &'a Paths,
    tree: PathBuf,
    /// Never the folder of the whole tree: cargo tells packages apart by their place in a workspace,
    /// so that what is built broken would be taken for the whole one.
    target: PathBuf,
}

impl<'a> Bench<'a> {
    fn new(paths: &'a Paths) -> Result<Self> {
        let (tree, target) = (paths.target.join("breaks"), paths.target.join("breaks-build"));
        fs::create_dir_all(&target)?;
        // The tests look for their tools and the shipped plugins in the folder they are built into.
        for (name, installed) in [("venv", &paths.venv()), ("plugins", &paths.modules)] {
            let link = target.join(name);
            if !link.exists() {
                symlink(installed, &link).with_context(|| link.display().to_string())?;
            }
        }
        Ok(Self { paths, tree, target })
    }

    /// Runs the test of every break once with nothing broken. How long each took that passed, by
    /// package and name.
    fn controls<'b>(&self, breaks: &[&'b Break]) -> Result<BTreeMap<(&'b str, &'b str), Duration>> {
        let mut ends = BTreeMap::new();
        self.copy()?;
        for one in breaks {
            let key = (&*one.package, &*one.test);
            if ends.contains_key(&key) {
                continue;
            }
            self.build(&one.package).context("the unbroken copy")?;
            let start = Instant::now();
            let ended = self.test(one, PATIENCE)?;
            let took = start.elapsed();
            let word = match &ended {
                Ended::Passed => format!("passes in {:.0} s", took.as_secs_f64()),
                Ended::Failed(said) => format!("FAILS: {said}"),
                Ended::Late => format!("IS NOT DONE in {} s", PATIENCE.as_secs()),
            };
            step("breaks", &format!("control: {} {word}", one.test));
            ends.insert(key, (ended == Ended::Passed).then_some(took));
        }
        Ok(ends.into_iter().filter_map(|(key, took)| Some((key, took?))).collect())
    }

    /// Runs the test of a break, broken.
    fn broken(&self, one: &Break, control: Duration) -> Result<Ended> {
        self.copy()?;
        let file = self.tree.join(&one.file);
        fs::write(&file, one.broken(&fs::read_to_string(&file)?)?)?;
        self.build(&one.package)?;
        self.test(one, one.patience(control))
    }

    /// The tree as it is, for changing. What is the same already keeps its time, so that cargo
    /// builds only what is broken.
    fn copy(&self) -> Result<()> {
        let mut files = Vec::new();
        collect(&self.paths.root, &mut files)?;
        for file in files {
            let to = self.tree.join(file.strip_prefix(&self.paths.root)?);
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

    fn command(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Command {
        let mut command = Command::new(program.as_ref());
        command.args(arguments).current_dir(&self.tree);
        command.env("CARGO_TARGET_DIR", &self.target);
        command.env("LOCKGATE_PLUGINS_DIR", &self.paths.modules);
        command
    }

    /// Builds what a test of `package` needs.
    fn build(&self, package: &str) -> Result<()> {
        let whole =
            ["build", "--quiet", "--workspace", "--bin", "lockgate", "--bin", "with-rabbit"];
        let built = match package {
            "e2e" | "chaos" => {
                let with_test = [&whole[..], &["--test", package]].concat();
                output(&mut self.command("cargo", &with_test))?
            }
            _ => {
                let narrow = ["test", "--quiet", "--no-run", "-p", package];
                output(&mut self.command("cargo", &narrow))?
            }
        };
        if !built.status.success() {
            say(&String::from_utf8_lossy(&built.stderr));
            bail!("it does not compile");
        }
        Ok(())
    }

    fn test(&self, one: &Break, patience: Duration) -> Result<Ended> {
        let patience = patience.as_secs().to_string();
        let mut arguments = vec!["--kill-after=5", &patience];
        let rabbit = self.target.join("debug/with-rabbit").display().to_string();
        if needs_broker(&one.package) {
            if !Path::new(&rabbit).is_file() {
                let with = ["build", "--quiet", "-p", "lockgate-tests", "--bin", "with-rabbit"];
                ensure!(output(&mut self.command("cargo", &with))?.status.success(), "with-rabbit");
            }
            arguments.push(&rabbit);
        }
        arguments.extend(["cargo", "test", "--quiet"]);
        match &*one.package {
            end @ ("e2e" | "chaos") => arguments.extend(["--workspace", "--test", end]),
            package => arguments.extend(["-p", package]),
        }
        arguments.extend(["--", &one.test]);
        let done = output(&mut self.command("timeout", &arguments))?;
        let said = [done.stdout, done.stderr].concat();
        ended(done.status.code(), &String::from_utf8_lossy(&said), &one.test)
    }
}

/// Whether a package's tests run on a RabbitMQ.
fn needs_broker(package: &str) -> bool {
    matches!(package, "e2e" | "chaos" | "lockgate-transport-amqp")
}

/// What the end of `cargo test` says of `test`: another one of a similar name may have failed.
fn ended(code: Option<i32>, said: &str, test: &str) -> Result<Ended> {
    if code.is_some_and(|code| TIMED_OUT.contains(&code)) {
        return Ok(Ended::Late);
    }
    let is = |name: &str| name == test || name.ends_with(&format!("::{test}"));
    // The list of names after `failures:` is indented.
    let failed = said.lines().filter_map(|line| line.strip_prefix("    ")).any(is);
    if failed {
        let (_, end) = said.split_once("failures:").unwrap_or_default();
        return Ok(Ended::Failed(end.trim().to_owned()));
    }
    let run = said.lines().filter_map(|line| line.strip_prefix("running ")?.split(' ').next());
    ensure!(run.filter_map(|count| count.parse::<u64>().ok()).sum::<u64>() > 0, "no test {test}");
    ensure!(code == Some(0), "the tests ended with {code:?}, but not by {test}:\n{said}");
    Ok(Ended::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(more: &str) -> Break {
        let text = "what = 'w'\nfile = 'f'\nfrom = 'a'\nto = 'b'\npackage = 'p'\ntest = 't'\n";
        toml::from_str(&format!("{text}{more}")).unwrap()
    }

    #[test]
    fn only_the_expected_failure_is_a_break_noticed() {
        let failed = |said: &str| Ended::Failed(said.to_owned());
        let plain = entry("");
        assert!(plain.unnoticed(&Ended::Passed).is_some());
        assert!(plain.unnoticed(&Ended::Late).is_some());
        assert!(plain.unnoticed(&failed("1 lost")).is_none());
        let hangs = entry("hangs = true");
        assert!(hangs.unnoticed(&Ended::Passed).is_some());
        assert!(hangs.unnoticed(&Ended::Late).is_none());
        let says = entry("says = 'lost'");
        assert!(says.unnoticed(&failed("1 lost")).is_none());
        assert!(says.unnoticed(&failed("no broker")).is_some());
        assert!(hangs.patience(HANGS) > HANGS && plain.patience(HANGS) == PATIENCE);
    }

    #[test]
    fn the_end_of_a_test_is_its_own() {
        let failed = "running 2 tests\n\nfailures:\n\n---- a::t stdout ----\nError: 1 lost\n\n\
            failures:\n    a::t\n\ntest result: FAILED. 1 passed; 1 failed;\n";
        let end = ended(Some(101), failed, "t").unwrap();
        assert!(matches!(&end, Ended::Failed(said) if said.contains("1 lost")), "{end:?}");
        // Another test failed, which says nothing of this one.
        assert!(ended(Some(101), failed, "u").is_err());
        assert!(ended(Some(101), failed, "other_t").is_err());
        let passed = "running 1 test\n.\ntest result: ok. 1 passed;\nrunning 0 tests\n";
        assert_eq!(ended(Some(0), passed, "t").unwrap(), Ended::Passed);
        assert!(ended(Some(0), "running 0 tests\ntest result: ok.\n", "t").is_err());
        // No broker, no tool, a crash of the runner: no answer.
        assert!(ended(Some(1), "running 1 test\n", "t").is_err());
        assert_eq!(ended(Some(124), "running 1 test\n", "t").unwrap(), Ended::Late);
        assert_eq!(ended(Some(137), "running 1 test\n", "t").unwrap(), Ended::Late);
    }

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
