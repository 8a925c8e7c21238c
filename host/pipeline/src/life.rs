//! Life: how long connections live, and how they are made anew in service.

use std::future::Future;
use std::time::Duration;

use lockgate_transport::{Backoff, ConnectError, reconnect};
use tokio::time::Instant;

/// A connection that lived less than this long is made anew only after a back-off.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// The present connection of a source or a sink, and how those before it ended.
#[derive(Clone, Copy)]
pub(crate) struct Life {
    born: Instant,
    /// Short lives in a row.
    short: u32,
}

impl Life {
    pub(crate) fn new() -> Self {
        Self { born: Instant::now(), short: 0 }
    }

    pub(crate) fn begins(&mut self) {
        self.born = Instant::now();
    }

    pub(crate) fn ends(&mut self) {
        self.short = if self.born.elapsed() < SHORT_LIFE { self.short + 1 } else { 0 };
    }

    /// When it is taken to work: one that dies at birth again and again does not.
    pub(crate) fn trusted(&self) -> Instant {
        if self.short == 0 { self.born } else { self.born + SHORT_LIFE }
    }

    /// Connects anew, however long that takes. `failed` is told of every failure.
    pub(crate) async fn connect<T, C: Future<Output = Result<T, ConnectError>>>(
        self,
        backoff: Backoff,
        mut connect: impl FnMut() -> C,
        failed: impl Fn(&ConnectError),
    ) -> T {
        if self.short > 0 {
            tokio::time::sleep(backoff.delay(self.short, u64::from(self.short) * 7919)).await;
        }
        loop {
            match reconnect(backoff, &mut connect, &failed).await {
                Ok(connected) => return connected,
                // At start-up this ends the pipeline; in service it may be mended on the broker,
                // and a connection that stays dead is worse than one that is asked for again.
                Err(error) => {
                    failed(&error);
                    tokio::time::sleep(backoff.max).await;
                }
            }
        }
    }
}
