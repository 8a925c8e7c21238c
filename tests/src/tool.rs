//! The Python tools: run to their end, or in the background.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::place;
use crate::wait::{Deadline, until};
use crate::watchdog::Watchdog;

/// A tool that works in the background.
pub struct Tool {
    child: Child,
    name: String,
    output: PathBuf,
    _watchdog: Watchdog,
}

impl Tool {
    /// Runs `tools/<name>.py` to its end and returns what it printed.
    ///
    /// # Errors
    /// When it cannot be run, or fails; with its stderr.
    pub fn run(name: &str, arguments: &[&str]) -> Result<String> {
        finished(name, command(name, arguments)?.stdin(Stdio::null()).output()?)
    }

    /// As [`Tool::run`], for tools that print JSON.
    ///
    /// # Errors
    /// As `run`, and when it is no JSON.
    pub fn json(name: &str, arguments: &[&str]) -> Result<Value> {
        let text = Self::run(name, arguments)?;
        serde_json::from_str(&text).with_context(|| format!("{name} printed {text}"))
    }

    /// As [`Tool::run`], with `input` on its stdin.
    ///
    /// # Errors
    /// As `run`.
    pub fn feed(name: &str, arguments: &[&str], input: &[u8]) -> Result<String> {
        let mut child = command(name, arguments)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("no stdin")?.write_all(input)?;
        finished(name, child.wait_with_output()?)
    }

    /// Starts `tools/<name>.py`; what it prints goes to files in `dir`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(dir: &Path, name: &str, arguments: &[&str]) -> Result<Self> {
        let output = dir.join(format!("{name}.out"));
        let mut child = command(name, arguments)?;
        let child = child
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(File::create(dir.join(format!("{name}.err")))?)
            .spawn()?;
        let watchdog = Watchdog::over(child.id())?;
        Ok(Self { child, name: name.to_owned(), output, _watchdog: watchdog })
    }

    /// What it has printed so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn output(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.output)?)
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    /// As said; with its stderr.
    pub fn alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}): {}", self.name, self.errors()),
        }
    }

    /// Whether it has ended, well or not.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for it to print at least the number `count` on a line of its own.
    ///
    /// # Errors
    /// When it ends before, or `deadline` passes.
    pub fn reach(&mut self, count: u64, deadline: Deadline) -> Result<()> {
        until(&format!("{} to reach {count}", self.name), deadline, || {
            let done = self.output()?.lines().rev().find_map(|line| line.parse::<u64>().ok());
            if done.is_some_and(|done| done >= count) {
                return Ok(Some(()));
            }
            self.alive()?;
            Ok(None)
        })
    }

    /// Waits for its successful end.
    ///
    /// # Errors
    /// When it fails, or `deadline` passes.
    pub fn finish(mut self, deadline: Deadline) -> Result<()> {
        let status =
            until(&format!("{} to end", self.name), deadline, || Ok(self.child.try_wait()?))?;
        if status.success() {
            return Ok(());
        }
        bail!("{} failed ({status}): {}", self.name, self.errors())
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.output.with_extension("err")).unwrap_or_default()
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A tool that is talked to by lines; killed when dropped.
pub struct Talk {
    child: Child,
    stdin: ChildStdin,
    _watchdog: Watchdog,
}

impl Talk {
    /// Starts `tools/<name>.py`; also what it says.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, arguments: &[&str]) -> Result<(Self, BufReader<ChildStdout>)> {
        let mut command = command(name, arguments)?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let watchdog = Watchdog::over(child.id())?;
        let stdin = child.stdin.take().context("no stdin")?;
        let stdout = child.stdout.take().context("no stdout")?;
        Ok((Self { child, stdin, _watchdog: watchdog }, BufReader::new(stdout)))
    }

    /// Says a line to it.
    ///
    /// # Errors
    /// When it has ended.
    pub fn say(&mut self, line: &str) -> Result<()> {
        Ok(self.stdin.write_all(format!("{line}\n").as_bytes())?)
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(name: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(place::python()?);
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg("-B")
        .arg(place::tests_dir().join("tools").join(name).with_extension("py"))
        .args(arguments);
    Ok(command)
}

fn finished(name: &str, done: Output) -> Result<String> {
    if done.status.success() {
        return Ok(String::from_utf8(done.stdout)?);
    }
    let stderr = String::from_utf8_lossy(&done.stderr);
    bail!("{name}.py failed ({}): {stderr}", done.status)
}

/// What `topology.py` can do on the broker at `url`.
pub struct Topology<'a>(pub &'a str);

impl Topology<'_> {
    /// Declares durable queues, exchanges and bindings; see `topology.py` for the plan.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn declare(&self, plan: &Value) -> Result<()> {
        Tool::feed("topology", &[self.0, "declare"], plan.to_string().as_bytes()).map(drop)
    }

    /// How many messages are ready in `queue`.
    ///
    /// # Errors
    /// When there is no such queue, or no broker.
    pub fn depth(&self, queue: &str) -> Result<u64> {
        let depths = Tool::json("topology", &[self.0, "depth", queue])?;
        depths.get(queue).and_then(Value::as_u64).context("no depth")
    }

    /// How many consumers `queue` has.
    ///
    /// # Errors
    /// As `depth`.
    pub fn consumers(&self, queue: &str) -> Result<u64> {
        let consumers = Tool::json("topology", &[self.0, "consumers", queue])?;
        consumers.get(queue).and_then(Value::as_u64).context("no count")
    }

    /// Waits for `queue` to hold `count` messages or more.
    ///
    /// # Errors
    /// When `deadline` passes.
    pub fn reach(&self, queue: &str, count: u64, deadline: Deadline) -> Result<u64> {
        until(&format!("{queue} to hold {count} messages"), deadline, || {
            Ok(Some(self.depth(queue)?).filter(|depth| *depth >= count))
        })
    }

    /// Deletes `exchange`.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn delete_exchange(&self, exchange: &str) -> Result<()> {
        Tool::run("topology", &[self.0, "delete-exchange", exchange]).map(drop)
    }

    /// Deletes `queue`.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn delete(&self, queue: &str) -> Result<()> {
        Tool::run("topology", &[self.0, "delete", queue]).map(drop)
    }
}
