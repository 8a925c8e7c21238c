//! State: the one store of this process, opened when a stage that was granted `kv` needs it, and
//! what `/metrics` says of it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lockgate_config::{Capability, Code, Diagnostic, PipelineSpec, StateSpec};
use lockgate_message::state::{Claimed, Space, StateError, Store, Write};
use lockgate_pipeline::Histogram;
use lockgate_state::{DEADLINE, Embedded, OpenError, Quota, Redis, Usage};

/// Opens the store once, at its first use.
pub(crate) struct State {
    spec: StateSpec,
    opened: Mutex<Option<Arc<Measured>>>,
}

/// The store with its figures.
pub(crate) struct Measured {
    backend: Backend,
    pub(crate) commit_seconds: Histogram,
    errors: [AtomicU64; KINDS.len()],
}

enum Backend {
    Embedded(Embedded),
    Redis(Redis),
}

/// What the metrics call the kinds of errors.
const KINDS: [&str; 3] = ["unavailable", "quota", "invalid"];

impl State {
    /// Opens nothing yet.
    pub(crate) fn new(spec: StateSpec) -> Self {
        Self { spec, opened: Mutex::default() }
    }

    /// The store; every caller gets the same.
    ///
    /// # Errors
    /// Why it cannot be opened; [`refusal`] says it with a code.
    pub(crate) fn store(&self) -> anyhow::Result<Arc<dyn Store>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*opened {
            return Ok(store.clone());
        }
        let backend = match &self.spec.redis {
            Some(url) => Backend::Redis(Redis::open(url.expose(), DEADLINE)?),
            None => {
                let dir = self.spec.dir.clone().or_else(default_dir).ok_or_else(|| {
                    anyhow::anyhow!("there is no folder for the state: set `[state] dir`")
                })?;
                let quota = Quota { bytes: self.spec.quota, keys: self.spec.keys };
                Backend::Embedded(Embedded::open(&dir, quota)?)
            }
        };
        let (commit_seconds, errors) = Default::default();
        let store = Arc::new(Measured { backend, commit_seconds, errors });
        *opened = Some(store.clone());
        Ok(store)
    }

    /// What was opened, for the metrics.
    pub(crate) fn opened(&self) -> Option<Arc<Measured>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether a stage may use the store.
pub(crate) fn is_granted(pipeline: &PipelineSpec) -> bool {
    pipeline.stages.iter().any(|stage| stage.grant.contains(&Capability::Kv))
}

/// Why the store could not be opened, and the way out.
pub(crate) fn refusal(error: &anyhow::Error) -> Diagnostic {
    let code = match error.downcast_ref() {
        Some(OpenError::InUse(_)) => Code::StateInUse,
        Some(OpenError::Damaged(..)) => Code::StateDamaged,
        Some(OpenError::Io(..)) | None => Code::StateUnusable,
    };
    Diagnostic::new(code, format!("{error:#}")).help(match code {
        Code::StateInUse => "set `[state] dir` in the host settings, or share `[state] redis`",
        Code::StateDamaged => "`mv` the file aside, and start again",
        _ => "check `[state]` in the host settings",
    })
}

/// systemd's `StateDirectory=`, else the user's folder for state.
fn default_dir() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    // systemd joins several with colons; the first is as good as any.
    let first = |given: PathBuf| given.to_str()?.split(':').next().map(PathBuf::from);
    let home = || folder("HOME").map(|home| home.join(".local/state"));
    let own = || Some(folder("XDG_STATE_HOME").or_else(home)?.join("lockgate"));
    folder("STATE_DIRECTORY").and_then(first).or_else(own)
}

impl Measured {
    /// What each stage keeps; a Redis server knows that, we do not.
    pub(crate) fn usage(&self) -> Vec<Usage> {
        match &self.backend {
            Backend::Embedded(store) => store.usage(),
            Backend::Redis(_) => Vec::new(),
        }
    }

    /// Errors by kind.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = self.errors.iter().map(|count| count.load(Ordering::Relaxed));
        KINDS.into_iter().zip(counts)
    }

    fn store(&self) -> &dyn Store {
        match &self.backend {
            Backend::Embedded(store) => store,
            Backend::Redis(store) => store,
        }
    }

    fn counted<T>(&self, result: Result<T, StateError>) -> Result<T, StateError> {
        let [unavailable, quota, invalid] = &self.errors;
        let count = match &result {
            Ok(_) => return result,
            Err(StateError::Unavailable(_)) => unavailable,
            Err(StateError::Quota(_)) => quota,
            Err(StateError::Invalid(_)) => invalid,
        };
        count.fetch_add(1, Ordering::Relaxed);
        result
    }
}

impl Store for Measured {
    fn get(&self, space: &Space, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.counted(self.store().get(space, key))
    }

    fn claim(&self, space: &Space, key: &[u8]) -> Result<Claimed, StateError> {
        self.counted(self.store().claim(space, key))
    }

    fn release(&self, space: &Space, key: &[u8], claim: u64) {
        self.store().release(space, key, claim);
    }

    fn add(&self, space: &Space, key: &[u8], delta: i64, ttl: Duration) -> Result<i64, StateError> {
        self.counted(self.store().add(space, key, delta, ttl))
    }

    fn commit(&self, writes: &[Write]) -> Result<(), StateError> {
        let start = Instant::now();
        let result = self.store().commit(writes);
        self.commit_seconds.observe(start.elapsed(), 1);
        self.counted(result)
    }

    fn room(&self, space: &Space, bytes: usize) -> Result<(), StateError> {
        self.counted(self.store().room(space, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_message::state::Change;

    fn state(dir: &std::path::Path) -> State {
        let mut spec = StateSpec::default();
        spec.dir = Some(dir.to_owned());
        spec.keys = 1;
        State::new(spec)
    }

    #[test]
    fn opened_once_and_only_when_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state");
        let one = state(&folder);
        assert!(one.opened().is_none() && !folder.exists());
        let store = one.store().unwrap();
        assert!(Arc::ptr_eq(&store, &one.store().unwrap()));
        let second = state(&folder).store().err().unwrap();
        let said = refusal(&second);
        assert_eq!(said.code, Code::StateInUse);
        assert!(said.message.contains("state.redb"), "{}", said.message);
    }

    #[test]
    fn counted_and_timed() {
        let dir = tempfile::tempdir().unwrap();
        let state = state(dir.path());
        let store = state.store().unwrap();
        let space = Space { pipeline: "p".into(), stage: "s".into() };
        let change = Change::Put { value: b"v".to_vec(), ttl: None };
        store.commit(&[Write { space: space.clone(), key: b"k".to_vec(), change }]).unwrap();
        assert!(store.room(&space, 1).is_err());
        assert!(store.claim(&space, b"l").is_err());
        let opened = state.opened().unwrap();
        assert_eq!(opened.usage(), [Usage { space, keys: 1, bytes: 3 }]);
        let errors: Vec<_> = opened.errors().collect();
        assert_eq!(errors, [("unavailable", 0), ("quota", 2), ("invalid", 0)]);
        assert_eq!(opened.commit_seconds.read().1, 1);
    }

    #[test]
    fn refusals_have_their_codes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("state.redb"), "no database at all").unwrap();
        let damaged = refusal(&state(dir.path()).store().err().unwrap());
        assert_eq!(damaged.code, Code::StateDamaged);
        let unusable = refusal(&state(&dir.path().join("state.redb/x")).store().err().unwrap());
        assert_eq!(unusable.code, Code::StateUnusable);
    }
}
