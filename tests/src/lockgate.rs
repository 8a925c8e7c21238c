//! The daemon under test: the built binary, as a user would run it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use crate::wait::{Deadline, until};
use crate::watchdog::Watchdog;
use crate::{http, place, ports};

/// Seconds it has for being ready: compiling four plugins in a development build on a busy
/// machine takes half a minute, once.
const START: u64 = 180;

/// One running `lockgate run`; killed when dropped.
pub struct Lockgate {
    child: Child,
    name: String,
    admin: u16,
    log: PathBuf,
    config: PathBuf,
    pipeline: PathBuf,
    url: String,
    address_space: Option<u64>,
    watchdog: Option<Watchdog>,
}

impl Lockgate {
    /// Starts it on a pipeline file, with its other files in `dir` under `name` and `url` as
    /// `AMQP_URL`. Returns at once; see [`Lockgate::wait_ready`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(dir: &Path, name: &str, pipeline: &Path, url: &str) -> Result<Self> {
        Self::start_caching(dir, name, pipeline, url, &place::plugin_cache()?)
    }

    /// As [`Lockgate::start`], with a folder of its own for compiled plugins.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_caching(
        dir: &Path,
        name: &str,
        pipeline: &Path,
        url: &str,
        cache: &Path,
    ) -> Result<Self> {
        Self::start_with(dir, name, pipeline, url, cache, "", None)
    }

    /// As [`Lockgate::start`], with more host settings, in so many bytes of address space.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_limited(
        dir: &Path,
        name: &str,
        pipeline: &Path,
        url: &str,
        settings: &str,
        address_space: u64,
    ) -> Result<Self> {
        let cache = place::plugin_cache()?;
        Self::start_with(dir, name, pipeline, url, &cache, settings, Some(address_space))
    }

    fn start_with(
        dir: &Path,
        name: &str,
        pipeline: &Path,
        url: &str,
        cache: &Path,
        more: &str,
        address_space: Option<u64>,
    ) -> Result<Self> {
        let admin = ports::free()?;
        let config = dir.join(format!("{name}.host.toml"));
        let state = dir.join(format!("{name}.state"));
        let settings = format!(
            "version = 1\ncache_dir = {cache:?}\n[admin]\nlisten = \"127.0.0.1:{admin}\"\n\
             [state]\ndir = {state:?}\n{more}"
        );
        fs::write(&config, settings)?;
        let log = dir.join(format!("{name}.log"));
        let child = spawn(&config, pipeline, &log, url, address_space)?;
        let watchdog = Some(Watchdog::over(child.id())?);
        let (pipeline, url) = (pipeline.to_owned(), url.to_owned());
        let name = name.to_owned();
        Ok(Self { child, name, admin, log, config, pipeline, url, address_space, watchdog })
    }

    /// Starts it again after its end, with the same files; the log goes on.
    ///
    /// # Errors
    /// When it still runs, or cannot be started.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.child.try_wait()?.is_some(), "{} still runs", self.name);
        let limit = self.address_space;
        self.child = spawn(&self.config, &self.pipeline, &self.log, &self.url, limit)?;
        self.watchdog = Some(Watchdog::over(self.child.id())?);
        Ok(())
    }

    /// The answer of `/readyz`; `None` when nobody answers.
    pub fn ready(&self) -> Option<bool> {
        http::get(self.admin, "/readyz").ok().map(|(status, _)| status == 200)
    }

    /// Waits until `/readyz` says yes.
    ///
    /// # Errors
    /// When it ends before, or it takes too long; with the end of its log.
    pub fn wait_ready(&mut self) -> Result<()> {
        until("lockgate to be ready", Deadline::after(START), || {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended ({status})");
            }
            Ok(self.ready().filter(|ready| *ready).map(drop))
        })
        .with_context(|| self.log_end())
    }

    /// Waits until `/readyz` says no, the process still being there.
    ///
    /// # Errors
    /// When it ends, or goes on saying yes for half a minute.
    pub fn wait_unready(&mut self) -> Result<()> {
        until("lockgate to say that it is not ready", Deadline::after(30), || {
            ensure!(self.child.try_wait()?.is_none(), "it ended");
            Ok(self.ready().filter(|ready| !*ready).map(drop))
        })
        .with_context(|| self.log_end())
    }

    /// Fails unless the process still runs.
    ///
    /// # Errors
    /// As said; with the end of its log.
    pub fn alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status})\n{}", self.name, self.log_end()),
        }
    }

    /// The sum of all samples of a metric whose name and labels contain all of `parts`.
    ///
    /// # Errors
    /// When `/metrics` does not answer.
    pub fn metric(&self, parts: &[&str]) -> Result<f64> {
        let (status, text) = http::get(self.admin, "/metrics")?;
        ensure!(status == 200, "/metrics says {status}");
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let matching = samples.filter(|line| parts.iter().all(|part| line.contains(part)));
        Ok(matching.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Status and body of any admin path.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        self.admin().get(path)
    }

    /// Its admin listener, which stays where it is over restarts.
    pub fn admin(&self) -> Admin {
        Admin(self.admin)
    }

    /// Kills it as the kernel would.
    ///
    /// # Errors
    /// When it has ended before.
    pub fn kill9(&mut self) -> Result<()> {
        self.alive()?;
        self.watchdog = None;
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops its every thread, as a debugger or a frozen machine does; [`Lockgate::go_on`] ends it.
    ///
    /// # Errors
    /// When it has ended before.
    pub fn freeze(&mut self) -> Result<()> {
        self.alive()?;
        Ok(kill_process(Pid::from_child(&self.child), Signal::STOP)?)
    }

    /// Lets it go on after [`Lockgate::freeze`].
    ///
    /// # Errors
    /// When it has ended before.
    pub fn go_on(&mut self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::CONT)?)
    }

    /// Leaves it room for so many more files; for as many as ever with `None`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn limit_files(&self, room: Option<usize>) -> Result<()> {
        let mut taken = BTreeSet::new();
        for entry in fs::read_dir(format!("/proc/{}/fd", self.child.id()))? {
            taken.insert(entry?.file_name().to_string_lossy().parse::<u64>()?);
        }
        // A limit is the first number that no file gets any more.
        let mut free = (0..).filter(|number| !taken.contains(number));
        let maximum = getrlimit(Resource::Nofile).maximum;
        let current = room.map_or(maximum, |room| free.nth(room));
        let pid = Pid::from_child(&self.child);
        prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum })?;
        Ok(())
    }

    /// Leaves it room for so many more bytes of address space; for as many as ever with `None`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn limit_address_space(&self, room: Option<u64>) -> Result<()> {
        let maximum = getrlimit(Resource::As).maximum;
        let current = match room {
            Some(room) => Some(self.memory("VmSize")? + room),
            None => maximum,
        };
        self.limit(Resource::As, Rlimit { current, maximum })
    }

    /// Lets it have so many bytes of data more than it has now (`RLIMIT_DATA`).
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn limit_data(&self, more: u64) -> Result<()> {
        let maximum = getrlimit(Resource::Data).maximum;
        let current = Some(self.memory("VmData")? + more);
        self.limit(Resource::Data, Rlimit { current, maximum })
    }

    fn limit(&self, what: Resource, limit: Rlimit) -> Result<()> {
        prlimit(Some(Pid::from_child(&self.child)), what, limit)?;
        Ok(())
    }

    /// SIGTERM, and the status it ends with.
    ///
    /// # Errors
    /// When it does not end before `deadline`.
    pub fn terminate(&mut self, deadline: Deadline) -> Result<ExitStatus> {
        self.signal_end()?;
        self.wait_end(deadline)
    }

    /// SIGTERM alone.
    ///
    /// # Errors
    /// When it has ended before.
    pub fn signal_end(&mut self) -> Result<()> {
        self.alive()?;
        Ok(kill_process(Pid::from_child(&self.child), Signal::TERM)?)
    }

    /// The status it ends with.
    ///
    /// # Errors
    /// When it does not end before `deadline`.
    pub fn wait_end(&mut self, deadline: Deadline) -> Result<ExitStatus> {
        let status = until("lockgate to end", deadline, || Ok(self.child.try_wait()?))
            .with_context(|| self.log_end())?;
        self.watchdog = None;
        Ok(status)
    }

    /// SIGTERM, and exit code 0.
    ///
    /// # Errors
    /// When it ends with another, or takes longer than its drain has.
    pub fn drain(&mut self) -> Result<()> {
        let status = self.terminate(Deadline::after(45))?;
        ensure!(status.success(), "drained with {status}\n{}", self.log_end());
        Ok(())
    }

    /// Host and port of its admin listener.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.admin)
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the kernel says of its memory, bytes: `VmRSS` resident, `VmHWM` the most that ever
    /// was, `VmData` what counts against the limit on data.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn memory(&self, what: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
        let kib: u64 = line.context("no such figure")?.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// The last lines that it has logged.
    pub fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(40);
        let end = lines.get(from..).unwrap_or_default().join("\n");
        format!("the log of {} ends with:\n{end}", self.name)
    }
}

impl Drop for Lockgate {
    fn drop(&mut self) {
        self.watchdog = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(
    config: &Path,
    pipeline: &Path,
    log: &Path,
    url: &str,
    address_space: Option<u64>,
) -> Result<Child> {
    let log: File = OpenOptions::new().create(true).append(true).open(log)?;
    let binary = place::lockgate_binary()?;
    let mut command = match address_space {
        None => Command::new(binary),
        Some(bytes) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("ulimit -v {} && exec \"$0\" \"$@\"", bytes / 1024)]);
            shell.arg(binary);
            shell
        }
    };
    command
        .arg("run")
        .arg("--config")
        .arg(config)
        .arg(pipeline)
        .env("AMQP_URL", url)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start lockgate")
}

/// The admin listener of a daemon, to be asked from anywhere.
#[derive(Clone, Copy, Debug)]
pub struct Admin(u16);

impl Admin {
    /// The listener on a port of the loopback.
    pub fn at(port: u16) -> Self {
        Self(port)
    }

    /// Its port.
    pub fn port(self) -> u16 {
        self.0
    }

    /// Status and body of any path.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn get(self, path: &str) -> Result<(u16, String)> {
        http::get(self.0, path)
    }
}

/// How a command that ends by itself ended, and what it printed.
pub struct Ended {
    /// `None` when it had to be killed.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Runs a command of the binary in `dir` until it ends by itself. After `patience` seconds it
    /// is killed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn of(
        dir: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        patience: u64,
    ) -> Result<Self> {
        let (out, err) = (dir.join("command.out"), dir.join("command.err"));
        let mut child = Command::new(place::lockgate_binary()?)
            .args(arguments)
            .current_dir(dir)
            .envs(environment.iter().copied())
            .env("XDG_CACHE_HOME", place::plugin_cache()?)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?)
            .spawn()
            .context("cannot start lockgate")?;
        let _watchdog = Watchdog::over(child.id())?;
        let deadline = Deadline::after(patience);
        let status = until("its end", deadline, || Ok(child.try_wait()?)).ok();
        if status.is_none() {
            child.kill()?;
            child.wait()?;
        }
        Ok(Self {
            code: status.and_then(|status| status.code()),
            stdout: fs::read_to_string(out)?,
            stderr: fs::read_to_string(err)?,
        })
    }
}
