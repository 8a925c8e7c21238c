//! Cache: compiled code kept between runs, in a directory of this user alone.
//!
//! Code is authenticated with a random key of this installation before it is loaded, so a file
//! that anything else wrote is never run; any failure whatever means compiling again.

use std::fs::{DirBuilder, File, OpenOptions, hard_link, read_dir, remove_file, rename};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::capabilities::random::fill_from_system;
use crate::compile::{Kind, MAX_CODE};
use crate::engine::Digest;

/// Files kept; the ones used longest ago go first.
const MAX_FILES: usize = 64;
const KEY_FILE: &str = "key";
const KEY: usize = 32;
const TAG: usize = 32;

/// Loaded code.
pub(crate) enum Artifact {
    Module(Module),
    Component(Component),
}

impl Artifact {
    /// Loads code that this process, its child, its build or, authenticated, an earlier run compiled.
    #[expect(unsafe_code, reason = "compiled code has no checked way in; callers vouch for it")]
    pub(crate) fn load(engine: &Engine, kind: Kind, code: &[u8]) -> wasmtime::Result<Self> {
        // SAFETY: the bytes come from `Engine::precompile_*` of the same wasmtime: straight from
        // the compiler, from a cache file whose MAC under this installation's key was checked, or
        // from this binary itself, which whoever could change it could make do anything.
        unsafe {
            match kind {
                Kind::Module => Module::deserialize(engine, code).map(Self::Module),
                Kind::Component => Component::deserialize(engine, code).map(Self::Component),
            }
        }
    }
}

/// A directory of compiled code.
pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; KEY],
    /// Stands for the wasmtime version and every setting that bears on code.
    compatibility: [u8; 32],
    warned: AtomicBool,
    files: AtomicU64,
}

impl Cache {
    /// Opens a cache, making the directory and its key where they are missing. Without one, says
    /// so in the log and goes on.
    pub(crate) fn open(dir: &Path, engine: &Engine) -> Option<Self> {
        let opened = private_dir(dir).and_then(|()| key(dir));
        match opened {
            Ok(key) => Some(Self {
                dir: dir.to_owned(),
                key,
                compatibility: compatibility(engine),
                warned: AtomicBool::new(false),
                files: AtomicU64::new(0),
            }),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "no cache of compiled plugins");
                None
            }
        }
    }

    /// The code of a module, if it is there, authentic, and fits the engine.
    pub(crate) fn get(&self, engine: &Engine, digest: &Digest, kind: Kind) -> Option<Artifact> {
        let path = self.path(digest, kind);
        let mut file = open_regular(&path).ok()?;
        let mut bytes = Vec::new();
        (&mut file).take(MAX_CODE + TAG as u64).read_to_end(&mut bytes).ok()?;
        let (tag, code) = bytes.split_at_checked(TAG)?;
        if self.mac(digest, kind, code)?.verify_slice(tag).is_err() {
            tracing::warn!(file = %path.display(), "a cached plugin is not authentic, compiling it again");
            return None;
        }
        // Only the order of eviction depends on it.
        let _ = file.set_modified(SystemTime::now());
        Artifact::load(engine, kind, code).ok()
    }

    /// Keeps code; a failure is logged, once.
    pub(crate) fn put(&self, digest: &Digest, kind: Kind, code: &[u8]) {
        if let Err(error) = self.write(digest, kind, code)
            && !self.warned.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(dir = %self.dir.display(), %error, "compiled plugins are not cached");
        }
        self.evict();
    }

    fn write(&self, digest: &Digest, kind: Kind, code: &[u8]) -> std::io::Result<()> {
        let mac = self.mac(digest, kind, code).ok_or(std::io::ErrorKind::InvalidData)?;
        let tag = mac.finalize().into_bytes();
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!("{}-{number}.tmp", std::process::id()));
        let written = create_private(&temporary)
            .and_then(|mut file| {
                file.write_all(&tag)?;
                file.write_all(code)
            })
            .and_then(|()| rename(&temporary, self.path(digest, kind)));
        if written.is_err() {
            // It may not even have been made.
            let _ = remove_file(&temporary);
        }
        written
    }

    fn path(&self, digest: &Digest, kind: Kind) -> PathBuf {
        let [a, b, c, d, e, f, g, h, ..] = self.compatibility;
        let compatibility = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        self.dir.join(format!("{digest}-{compatibility:016x}.{}", kind.name()))
    }

    fn mac(&self, digest: &Digest, kind: Kind, code: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(b"lockgate compiled plugin 1\0");
        mac.update(kind.name().as_bytes());
        mac.update(digest.bytes());
        mac.update(&self.compatibility);
        mac.update(code);
        Some(mac)
    }

    /// Removes the files used longest ago beyond [`MAX_FILES`], left-over temporary ones included.
    fn evict(&self) {
        let Ok(entries) = read_dir(&self.dir) else { return };
        let mut files: Vec<_> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name() != KEY_FILE)
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort();
        for (_, path) in files.iter().take(files.len().saturating_sub(MAX_FILES)) {
            // Another process may have been faster.
            let _ = remove_file(path);
        }
    }
}

/// Makes a directory that only this user can enter, or sees that it is one.
fn private_dir(dir: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let meta = std::fs::symlink_metadata(dir)?;
    let private = meta.is_dir()
        && meta.uid() == rustix::process::geteuid().as_raw()
        && meta.mode() & 0o077 == 0;
    match private {
        true => Ok(()),
        false => Err(std::io::Error::other(
            "the directory must belong to this user and be closed to others (mode 0700)",
        )),
    }
}

/// This installation's key; made on first use. Two processes that make it at once agree on one.
fn key(dir: &Path) -> std::io::Result<[u8; KEY]> {
    let path = dir.join(KEY_FILE);
    if let Ok(key) = read_key(&path) {
        return Ok(key);
    }
    if path.symlink_metadata().is_ok_and(|meta| meta.len() != KEY as u64) {
        remove_file(&path)?;
    }
    let mut new = [0; KEY];
    if !fill_from_system(&mut new) {
        return Err(std::io::Error::other("the system has no random bytes"));
    }
    let temporary = dir.join(format!("key-{}.tmp", std::process::id()));
    create_private(&temporary)?.write_all(&new)?;
    let linked = hard_link(&temporary, &path);
    remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => read_key(&path),
    }
}

fn read_key(path: &Path) -> std::io::Result<[u8; KEY]> {
    let file = open_regular(path)?;
    let meta = file.metadata()?;
    if meta.mode() & 0o077 != 0 || meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(std::io::Error::other("the key is open to others"));
    }
    let mut bytes = Vec::new();
    file.take(KEY as u64 + 1).read_to_end(&mut bytes)?;
    bytes.try_into().map_err(|_| std::io::ErrorKind::InvalidData.into())
}

fn open_regular(path: &Path) -> std::io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(std::io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(std::io::ErrorKind::InvalidData.into()),
    }
}

fn create_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// What code must agree with to be loaded.
fn compatibility(engine: &Engine) -> [u8; 32] {
    struct Sha(Sha256);
    impl std::hash::Hasher for Sha {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut sha = Sha(Sha256::new());
    std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut sha);
    sha.0.finalize().into()
}
