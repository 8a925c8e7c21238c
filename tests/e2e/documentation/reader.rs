//! Reader: somebody who has an empty broker and does what a document says, in order, in one folder.
//!
//! `lockgate run` as the last command of a script stays in its terminal: it must become ready, works
//! until the document runs another one or ends, and is then stopped with SIGTERM, which must end
//! well. Whatever a script publishes is waited for before the reader goes on.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use lockgate_tests::{
    Admin, Deadline, Scene, Watchdog, free_port, lockgate_binary, plugin_cache, tests_dir, until,
};
use rustix::process::{Pid, Signal, kill_process};

use super::page::{Act, Fence, fences, replace_table};
use super::pattern;

/// Seconds that a command may take, and a daemon for being ready: a development build compiles
/// plugins slowly, once.
const PATIENCE: u64 = 180;
/// What documents call the broker and the daemon's admin listener.
const BROKER: &str = "127.0.0.1:5672";
const ADMIN: &str = "localhost:8642";

pub(crate) struct Reader {
    scene: Scene,
    folder: PathBuf,
    admin: Admin,
    /// Where the broker is: address and port.
    broker: String,
    /// The plugin whose settings a document is about.
    plugin: Option<String>,
    running: Option<Running>,
    /// Pipeline files that were saved and that nobody has run.
    saved: BTreeSet<String>,
    parts: usize,
}

/// A daemon in its terminal.
struct Running {
    child: Child,
    log: PathBuf,
    sources: Vec<String>,
    _watchdog: Watchdog,
}

impl Reader {
    /// In a folder with the pipelines of the tree. A document with whole pipelines needs a broker of
    /// its own, which is empty.
    pub(crate) fn new(scene: Scene, plugin: Option<&str>) -> Result<Self> {
        let folder = scene.dir().join("reader");
        fs::create_dir_all(folder.join("pipelines"))?;
        let port = free_port()?;
        let (_, address) = scene.url().rsplit_once('@').context("no login in the URL")?;
        let broker = address.trim_end_matches('/').to_owned();
        let reader = Self {
            scene,
            folder,
            admin: Admin::at(port),
            broker,
            plugin: plugin.map(str::to_owned),
            running: None,
            saved: BTreeSet::new(),
            parts: 0,
        };
        for entry in fs::read_dir(tests_dir().join("../pipelines"))? {
            let path = entry?.path();
            let name = path.file_name().context("no name")?.to_string_lossy().into_owned();
            reader.write(&format!("pipelines/{name}"), &fs::read_to_string(&path)?)?;
        }
        let settings = format!("version = 1\n[admin]\nlisten = \"127.0.0.1:{port}\"\n");
        fs::write(reader.folder.join("lockgate.toml"), settings)?;
        Ok(reader)
    }

    /// A file of the folder that no document mentions.
    pub(crate) fn give(&self, name: &str, content: &[u8]) -> Result<()> {
        Ok(fs::write(self.folder.join(name), content)?)
    }

    /// How many parts of pipeline files were checked.
    pub(crate) fn parts(&self) -> usize {
        self.parts
    }

    /// Reads a document to its end. `left_out` says of a fence why it is not run, `instead` what is
    /// run in place of a command.
    pub(crate) fn read(
        &mut self,
        document: &str,
        left_out: &mut dyn FnMut(&Fence) -> bool,
        instead: &dyn Fn(&str) -> Option<&'static str>,
    ) -> Result<()> {
        let text = fs::read_to_string(tests_dir().join("..").join(document))?;
        for fence in fences(&text) {
            if left_out(&fence) {
                continue;
            }
            let act = fence.act().map_err(anyhow::Error::msg);
            act.and_then(|act| self.act(&fence, act, instead))
                .with_context(|| format!("{document}:{}", fence.line))?;
        }
        self.stop().with_context(|| format!("{document}: the daemon's end"))?;
        let rest: Vec<_> = std::mem::take(&mut self.saved).into_iter().collect();
        self.run_each(&rest).with_context(|| document.to_owned())
    }

    /// Runs each pipeline on the broker, alone.
    pub(crate) fn run_each(&mut self, files: &[String]) -> Result<()> {
        for file in files {
            self.check(file)?;
            self.run(file).and_then(|()| self.stop()).with_context(|| file.clone())?;
        }
        Ok(())
    }

    fn act(
        &mut self,
        fence: &Fence,
        act: Act,
        instead: &dyn Fn(&str) -> Option<&'static str>,
    ) -> Result<()> {
        match act {
            Act::Read => Ok(()),
            Act::Save(name) => self.save(&name, &fence.text),
            Act::Replace(name, table) => {
                let old = fs::read_to_string(self.folder.join(&name))?;
                let anew = fence.text.split_once('\n').map_or("", |(_, rest)| rest);
                let text = replace_table(&old, &table, anew);
                self.save(&name, &text.with_context(|| format!("{name} has no {table}"))?)
            }
            Act::Part => self.part(&fence.text),
            Act::Predicates => {
                let lines = fence.text.lines().filter(|line| !line.is_empty());
                lines.map(|line| self.filter(line)).collect()
            }
            Act::Script => self.script(&fence.text),
            Act::Session(commands) => {
                for command in commands {
                    let text = instead(&command.text).unwrap_or(&command.text);
                    let done = self.shell(&format!("exec 2>&1\n{text}"))?;
                    let printed = self.neutral(&done.stdout);
                    ensure!(
                        done.status.success(),
                        "`{text}` ends with {}:\n{printed}",
                        done.status
                    );
                    ensure!(
                        pattern::matches(&command.prints, &printed),
                        "`{text}` prints\n{printed}\ninstead of\n{}",
                        command.prints.join("\n")
                    );
                }
                Ok(())
            }
        }
    }

    /// Saves a file; a pipeline has to be right.
    fn save(&mut self, name: &str, text: &str) -> Result<()> {
        self.write(name, text)?;
        if text.contains("[source.") {
            self.check(name)?;
            self.saved.insert(name.to_owned());
        }
        Ok(())
    }

    /// Each line of settings, or the tables, as part of a pipeline that is checked.
    fn part(&mut self, text: &str) -> Result<()> {
        let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
        if !lines().all(|line| line.starts_with("config = ")) {
            return self.whole(text);
        }
        let plugin = self.plugin.clone().context("settings of which plugin?")?;
        let grant =
            if text_of(&plugin)?.contains("grant = [\"kv\"]") { "grant = [\"kv\"]\n" } else { "" };
        for line in lines() {
            let stage =
                format!("[[stage]]\nname = \"example\"\nplugin = \"{plugin}\"\n{grant}{line}\n");
            self.whole(&stage).with_context(|| line.to_owned())?;
        }
        Ok(())
    }

    /// `when` has to be a predicate.
    fn filter(&mut self, when: &str) -> Result<()> {
        let stage = "[[stage]]\nname = \"example\"\nplugin = \"filter\"\n";
        self.whole(&format!("{stage}config = {{ when = '''{when}''' }}\n"))
            .with_context(|| when.to_owned())
    }

    /// Checks a part of a pipeline file with all that it leaves out.
    fn whole(&mut self, part: &str) -> Result<()> {
        let mut text = "version = 1\nname = \"part\"\n[source.memory]\nqueue = \"in\"\n\
                        declare = { queue = {} }\n"
            .to_owned();
        text.push_str(part);
        text.push_str("\n[dead_letter]\nmemory = { exchange = \"\", routing_key = \"dead\" }\n");
        for route in routes(part) {
            text += &format!("[route.{route}]\nmemory = {{ exchange = \"\" }}\n");
        }
        self.parts += 1;
        let name = format!("part-{}.toml", self.parts);
        // The one or the other is right, by whether a message can leave the last stage unrouted.
        let default = format!("{text}[route.default]\nmemory = {{ exchange = \"\" }}\n");
        self.write(&name, &default)?;
        if let Err(with) = self.check(&name) {
            self.write(&name, &text)?;
            return self.check(&name).with_context(|| format!("{with:#}"));
        }
        Ok(())
    }

    fn check(&self, name: &str) -> Result<()> {
        let done = self.shell(&format!("exec lockgate check {name} 2>&1"))?;
        let printed = String::from_utf8_lossy(&done.stdout);
        ensure!(done.status.success(), "lockgate check {name}:\n{printed}");
        Ok(())
    }

    fn script(&mut self, text: &str) -> Result<()> {
        let lines: Vec<&str> = text.lines().collect();
        let (rest, run) = match lines.split_last() {
            Some((last, rest)) if last.starts_with("lockgate run ") => (rest, Some(*last)),
            _ => (&lines[..], None),
        };
        let done = self.shell(&format!("set -e\nexec 2>&1\n{}", rest.join("\n")))?;
        let printed = self.neutral(&done.stdout);
        ensure!(done.status.success(), "the script ends with {}:\n{printed}", done.status);
        match run.and_then(|run| run.strip_prefix("lockgate run ")) {
            Some(files) => self.run(files),
            None => self.settle(),
        }
    }

    /// Starts a daemon in place of the one before, and waits until it is ready.
    fn run(&mut self, files: &str) -> Result<()> {
        self.stop()?;
        let files = files.split('#').next().unwrap_or_default().trim();
        let mut sources = Vec::new();
        for file in files.split_whitespace() {
            self.saved.remove(file);
            let text =
                fs::read_to_string(self.folder.join(file)).with_context(|| file.to_owned())?;
            let queue = text.lines().find_map(|line| line.strip_prefix("queue = \""));
            sources.extend(queue.and_then(|rest| rest.split('"').next()).map(str::to_owned));
        }
        let log = self.scene.dir().join("run.log");
        let output = File::create(&log)?;
        let mut child = self
            .bash(&format!("exec lockgate run {files}"))
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let watchdog = Watchdog::over(child.id())?;
        let said = || fs::read_to_string(&log).unwrap_or_default();
        until("lockgate to be ready", Deadline::after(PATIENCE), || {
            if let Some(status) = child.try_wait()? {
                bail!("lockgate run {files} ended ({status})");
            }
            Ok(self.admin.get("/readyz").ok().filter(|(status, _)| *status == 200).map(drop))
        })
        .with_context(said)?;
        self.running = Some(Running { child, log, sources, _watchdog: watchdog });
        Ok(())
    }

    /// Waits until the daemon has done what there was to do.
    fn settle(&self) -> Result<()> {
        let Some(Running { sources, log, .. }) = &self.running else { return Ok(()) };
        let said = || fs::read_to_string(log).unwrap_or_default();
        until("the messages to be through", Deadline::after(PATIENCE), || {
            for source in sources {
                if self.scene.topology().depth(source)? > 0 {
                    return Ok(None);
                }
            }
            let (_, text) = self.admin.get("/metrics")?;
            let in_flight = text.lines().filter(|line| line.starts_with("lockgate_in_flight{"));
            Ok(in_flight.map(|line| line.ends_with(" 0")).all(|idle| idle).then_some(()))
        })
        .with_context(said)
    }

    fn stop(&mut self) -> Result<()> {
        let Some(Running { mut child, log, .. }) = self.running.take() else { return Ok(()) };
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        let status = until("the drain", Deadline::after(60), || Ok(child.try_wait()?))?;
        let said = || fs::read_to_string(log).unwrap_or_default();
        ensure!(status.success(), "drained with {status}\n{}", said());
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.folder.join(name), self.local(text))?)
    }

    /// The broker's and the listener's addresses in place of those of the documents.
    fn local(&self, text: &str) -> String {
        let admin = format!("localhost:{}", self.admin.port());
        text.replace(BROKER, &self.broker).replace(ADMIN, &admin)
    }

    fn neutral(&self, printed: &[u8]) -> String {
        String::from_utf8_lossy(printed).replace(&self.broker, BROKER)
    }

    /// Runs a script, which knows the variables that the one before it set.
    fn shell(&self, script: &str) -> Result<Output> {
        let log = self.scene.dir().join("shell.out");
        let script = format!("trap 'export -p >.variables' EXIT\nset -a\n{script}");
        let mut child = self.bash(&script).stdout(File::create(&log)?).spawn()?;
        let _watchdog = Watchdog::over(child.id())?;
        let status =
            until("the end of a command", Deadline::after(PATIENCE), || Ok(child.try_wait()?));
        if status.is_err() {
            child.kill()?;
            child.wait()?;
        }
        Ok(Output { status: status.context(script)?, stdout: fs::read(log)?, stderr: Vec::new() })
    }

    fn bash(&self, script: &str) -> Command {
        let binary = lockgate_binary().ok().and_then(|path| path.canonicalize().ok());
        let folder = binary.as_deref().and_then(Path::parent).map(Path::to_path_buf);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = folder.into_iter().chain(std::env::split_paths(&path));
        let path = std::env::join_paths(path).unwrap_or_default();
        let mut command = Command::new("bash");
        let before = "[ -f .variables ] && . ./.variables\n";
        command
            .args(["--norc", "-c", &format!("{before}{}", self.local(script))])
            .current_dir(&self.folder)
            .env("PATH", path)
            .env("NO_COLOR", "1")
            .env("XDG_CACHE_HOME", plugin_cache().unwrap_or_default())
            .env("XDG_STATE_HOME", self.scene.dir().join("state"))
            .env_remove("AMQP_URL")
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}

/// The README of a plugin.
fn text_of(plugin: &str) -> Result<String> {
    Ok(fs::read_to_string(tests_dir().join(format!("../plugins/{plugin}/README.md")))?)
}

/// The routes that settings name: `route:NAME`, `to = ["NAME"]` and `otherwise = ["NAME"]`.
fn routes(text: &str) -> BTreeSet<String> {
    let mut routes = BTreeSet::new();
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect()
    };
    routes.extend(text.split("route:").skip(1).map(word));
    for list in ["to = [", "otherwise = ["] {
        for rest in text.split(list).skip(1) {
            let list = rest.split(']').next().unwrap_or_default();
            routes.extend(list.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    routes
}

#[test]
fn the_routes_of_settings_are_found() {
    let text = "config = { on = \"route:copies\", rules = [{ to = [\"a\", \"b\"] }], otherwise = [\"c\"] }";
    let found: Vec<_> = routes(text).into_iter().collect();
    assert_eq!(found, ["a", "b", "c", "copies"]);
}
