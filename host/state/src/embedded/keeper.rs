//! Keeper: the thread that writes counters, sweeps what has ended and opens a failed file again.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use super::open::OpenError;
use super::{Inner, PERIOD};

/// Ends, with a last flush, when it is dropped.
pub(super) struct Keeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(super) fn start(inner: Arc<Inner>) -> Result<Self, OpenError> {
        let (stop, stopped) = channel::<()>();
        let work = move || {
            let mut pause = PERIOD;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                inner.reopen();
                // What fails here closes the file; the next round opens it again.
                let more = inner.flush().and_then(|()| inner.sweep());
                pause = if more == Ok(true) { PERIOD / 100 } else { PERIOD };
            }
            drop(inner.flush());
        };
        let started = std::thread::Builder::new().name("state".to_owned()).spawn(work);
        let thread = started.map_err(|error: io::Error| {
            OpenError::Io(PathBuf::from("the state's thread"), error)
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Nothing to do about a thread that panicked.
            drop(thread.join());
        }
    }
}
