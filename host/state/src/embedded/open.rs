//! Opening the file: private, one process at a time, and never a panic for what is in it.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::InMemoryBackend;
use redb::{Builder, Database, DatabaseError, StorageError};

use super::tables;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0} is in use by another process; give each host a folder of its own")]
    InUse(PathBuf),
    #[error(
        "{0} is damaged ({1}); move it aside to start with nothing remembered, which may let \
         messages through that came before"
    )]
    Damaged(PathBuf, String),
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

/// Pages kept in memory, bytes; redb would take 1 GiB.
const CACHE: usize = 64 << 20;

/// Where a store is kept.
pub(super) enum Place {
    File(PathBuf),
    Memory,
}

impl Place {
    /// The file in `dir`, which is made, readable by its owner alone, if it is not there.
    pub(super) fn file(dir: &Path) -> Result<Self, OpenError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| OpenError::Io(dir.to_owned(), error))?;
        Ok(Self::File(dir.join("state.redb")))
    }

    fn damaged(&self, what: &str) -> OpenError {
        OpenError::Damaged(self.path().to_owned(), what.to_owned())
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Memory => Path::new("memory"),
        }
    }

    /// Opens the file and reads what its stages use.
    pub(super) fn open(&self) -> Result<(Database, tables::UsedBy), OpenError> {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE);
        let open = || {
            let opened = match self {
                Self::Memory => builder.create_with_backend(InMemoryBackend::new()),
                Self::File(path) => builder.create(path),
            };
            let db = opened.map_err(|error| refusal(self.path().to_owned(), error))?;
            let used = tables::used(&db).map_err(|error| self.damaged(&error.to_string()))?;
            Ok((db, used))
        };
        // redb checks what it reads, and asserts what it believes it has checked.
        let opened = catch_unwind(AssertUnwindSafe(open));
        opened.unwrap_or_else(|_| Err(self.damaged("unreadable structure")))
    }
}

fn refusal(path: PathBuf, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse(path)
        }
        // A file that redb did not write is `InvalidData`.
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() != io::ErrorKind::InvalidData =>
        {
            OpenError::Io(path, error)
        }
        error => OpenError::Damaged(path, error.to_string()),
    }
}
