//! A RabbitMQ node of our own: own name, ports and folders; no other broker is ever touched.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::wait::{Deadline, until};
use crate::watchdog::Watchdog;
use crate::{place, ports};

/// Seconds a node has for booting: 8 on a quiet machine, many times that on a busy small one.
const BOOT: u64 = 180;

/// Names a broker that tests may use, here and in the AMQP transport's own tests.
pub const SHARED_URL: &str = "LOCKGATE_TEST_AMQP_URL";

/// A running node; stopped and deleted when dropped.
pub struct Rabbit {
    dir: TempDir,
    scripts: PathBuf,
    node: String,
    port: u16,
    process: Mutex<Option<Process>>,
}

struct Process {
    child: Child,
    _watchdog: Watchdog,
}

impl Rabbit {
    /// The URL of the broker that all tests share which do not harm it: the one that
    /// `with-rabbit` has started around us, else a node that lives as long as this process.
    ///
    /// # Errors
    /// When no node can be started.
    pub fn shared() -> Result<String> {
        static SHARED: OnceLock<Result<Rabbit, String>> = OnceLock::new();
        if let Ok(url) = std::env::var(SHARED_URL) {
            return Ok(url);
        }
        match SHARED.get_or_init(|| Self::start().map_err(|error| format!("{error:#}"))) {
            Ok(rabbit) => Ok(rabbit.url()),
            Err(error) => bail!("{error}"),
        }
    }

    /// Starts a node and waits until it takes connections.
    ///
    /// # Errors
    /// When RabbitMQ is not installed or does not come up; with the end of its log.
    pub fn start() -> Result<Self> {
        Self::with("", "[].\n", &[])
    }

    /// As [`Rabbit::start`], with this `frame_max`; 0 is none.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_frame_max(frame_max: u32) -> Result<Self> {
        Self::with(&format!("frame_max = {frame_max}\n"), "[].\n", &[])
    }

    /// As [`Rabbit::start`], with a plugin that comes with RabbitMQ.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_with(plugin: &str) -> Result<Self> {
        Self::with("", &format!("[{plugin}].\n"), &[])
    }

    /// As [`Rabbit::start`]; also listens on a port of its own for TLS with client certificates,
    /// by which users may log in: their common name is the user's. Certificates and keys (`ca`,
    /// `server`) are in the folder `tls`.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_tls(tls: &Path) -> Result<(Self, u16)> {
        let port = ports::free()?;
        // Its own copies: another root may hide where they come from.
        let files = ["ca.pem", "server.pem", "server.key"].map(|name| tls.join(name));
        let config = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\n\
             ssl_options.cacertfile = $DIR/ca.pem\n\
             ssl_options.certfile = $DIR/server.pem\n\
             ssl_options.keyfile = $DIR/server.key\n\
             ssl_options.verify = verify_peer\n\
             ssl_options.fail_if_no_peer_cert = true\n\
             auth_mechanisms.1 = EXTERNAL\n\
             auth_mechanisms.2 = PLAIN\n\
             ssl_cert_login_from = common_name\n"
        );
        Ok((Self::with(&config, "[rabbitmq_auth_mechanism_ssl].\n", &files)?, port))
    }

    /// With `more` settings, in which `$DIR` is the node's folder, and copies of `files` there.
    fn with(more: &str, plugins: &str, files: &[PathBuf]) -> Result<Self> {
        let scripts = place::rabbitmq_scripts()?;
        let dir = place::scratch("rabbit")?;
        let (port, dist) = (ports::free()?, ports::free()?);
        let node = format!("lockgate-{}-{port}@localhost", std::process::id());
        fs::write(dir.path().join("enabled_plugins"), plugins)?;
        let more = more.replace("$DIR", &dir.path().display().to_string());
        for file in files {
            fs::copy(file, dir.path().join(file.file_name().context("a file")?))?;
        }
        let config = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\n\
             distribution.listener.port_range.min = {dist}\n\
             distribution.listener.port_range.max = {dist}\n\
             disk_free_limit.absolute = 50MB\n\
             log.file.level = info\n\
             {more}"
        );
        fs::write(dir.path().join("rabbitmq.conf"), config)?;
        let rabbit = Self { dir, scripts, node, port, process: Mutex::default() };
        rabbit.boot()?;
        Ok(rabbit)
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/", self.port)
    }

    /// The port of AMQP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The node's process id.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Result<u32> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(process.as_ref().context("the broker does not run")?.child.id())
    }

    /// Starts the node's process, which must not run, and waits until it takes connections.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn boot(&self) -> Result<()> {
        let mut slot = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(slot.is_none(), "the broker runs already");
        let mut child = self
            .script("rabbitmq-server")
            // Makes the script become the node, so that the child's process id is the node's.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .stdin(Stdio::null())
            .stdout(File::create(self.dir.path().join("stdout"))?)
            .stderr(File::create(self.dir.path().join("stderr"))?)
            .spawn()
            .context("cannot start rabbitmq-server")?;
        let watchdog = self.guard(child.id())?;
        let up = until("RabbitMQ to answer", Deadline::after(BOOT), || {
            if let Some(status) = child.try_wait()? {
                bail!("it ended ({status})");
            }
            Ok(greets(self.port).then_some(()))
        });
        *slot = Some(Process { child, _watchdog: watchdog });
        drop(slot);
        up.and_then(|()| self.ctl(&["await_startup"]).map(drop)).with_context(|| self.log_end())
    }

    /// Kills the node as a power cut would.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill9(&self) -> Result<()> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut process = process.context("the broker does not run")?;
        process.child.kill()?;
        process.child.wait()?;
        Ok(())
    }

    /// Stops the node in good order; [`Rabbit::boot`] starts it again with all it has stored.
    ///
    /// # Errors
    /// When it does not end within a minute.
    pub fn shut_down(&self) -> Result<()> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut process = process.context("the broker does not run")?;
        // SIGTERM to the node is a shutdown in good order.
        let pid = rustix::process::Pid::from_child(&process.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        until("RabbitMQ to end", Deadline::after(60), || Ok(process.child.try_wait()?)).map(drop)
    }

    /// Stops the broker in the node, as an administrator does for maintenance.
    ///
    /// # Errors
    /// When the node refuses.
    pub fn stop_app(&self) -> Result<()> {
        self.ctl(&["stop_app"]).map(drop)
    }

    /// Starts it again, and waits until it takes connections.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_app(&self) -> Result<()> {
        self.ctl(&["start_app"])?;
        until("RabbitMQ to answer", Deadline::after(BOOT), || Ok(greets(self.port).then_some(())))
    }

    /// Closes every client's connection from the broker's side.
    ///
    /// # Errors
    /// When the node refuses.
    pub fn close_all_connections(&self) -> Result<()> {
        self.ctl(&["close_all_connections", "test"]).map(drop)
    }

    /// Raises or clears the memory alarm, which blocks every connection that publishes.
    ///
    /// # Errors
    /// When the node refuses.
    pub fn memory_alarm(&self, on: bool) -> Result<()> {
        let mark = if on { "0.000001" } else { "0.6" };
        self.ctl(&["set_vm_memory_high_watermark", mark])?;
        until("the alarm to change", Deadline::after(60), || {
            let alarms = self.ctl(&["eval", "rabbit_alarm:get_alarms()."])?;
            Ok((alarms.contains("memory") == on).then_some(()))
        })
    }

    /// Waits until it takes connections; the moment when it did.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn wait_open(&self) -> Result<Instant> {
        until("RabbitMQ to answer", Deadline::after(BOOT), || {
            Ok(greets(self.port).then(Instant::now))
        })
    }

    /// Runs `rabbitmqctl` against this node and returns what it printed.
    ///
    /// # Errors
    /// When it fails; with what it printed.
    pub fn ctl(&self, arguments: &[&str]) -> Result<String> {
        let done = self
            .script("rabbitmqctl")
            .args(["--quiet", "--timeout", "120"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .context("cannot start rabbitmqctl")?;
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        if done.status.success() {
            return Ok(text);
        }
        bail!("rabbitmqctl {arguments:?}: {text}{}", String::from_utf8_lossy(&done.stderr))
    }

    /// One of RabbitMQ's scripts, with everything that would point to another node replaced.
    fn script(&self, name: &str) -> Command {
        let dir = self.dir.path();
        let script = self.scripts.join(name);
        let mut command = match place::rabbitmq_root() {
            None => Command::new(script),
            Some(root) => {
                let mut command = Command::new("chroot");
                command.arg(root).arg(script);
                command
            }
        };
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("RABBITMQ_") {
                command.env_remove(key);
            }
        }
        command
            .env("HOME", dir) // the node's cookie
            .env("LC_ALL", "C.UTF-8")
            .env("RABBITMQ_NODENAME", &self.node)
            .env("RABBITMQ_CONF_ENV_FILE", dir.join("none"))
            .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", dir.join("none.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins"))
            .env("RABBITMQ_MNESIA_BASE", dir.join("data"))
            .env("RABBITMQ_LOG_BASE", dir.join("log"))
            .env("RABBITMQ_LOGS", dir.join("log/node.log"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", dir.join("generated"))
            .env("RABBITMQ_PID_FILE", dir.join("pid"))
            .current_dir(dir);
        command
    }

    fn guard(&self, pid: u32) -> Result<Watchdog> {
        if place::keep() {
            return Watchdog::over(pid);
        }
        Watchdog::over_with_folder(pid, self.dir.path())
    }

    fn log_end(&self) -> String {
        let read = |name| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        let all = [read("log/node.log"), read("stdout"), read("stderr")].concat();
        let lines: Vec<&str> = all.lines().collect();
        let from = lines.len().saturating_sub(30);
        lines.get(from..).unwrap_or_default().join("\n")
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        let _ = self.kill9();
    }
}

/// Whether a broker behind `port` starts an AMQP handshake.
fn greets(port: u16) -> bool {
    let greet = || -> std::io::Result<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        let mut frame = [0; 1];
        stream.read_exact(&mut frame)?;
        Ok(frame[0])
    };
    // A method frame: connection.start.
    greet().is_ok_and(|kind| kind == 1)
}
