//! The one loop that owns connecting.

use std::future::Future;

use crate::backoff::{Backoff, random};
use crate::error::ConnectError;

/// Calls `connect` until it succeeds, waiting with back-off after each failure that can heal.
///
/// One log line for the first failure of a kind and one when it is back: a broker that stays
/// away does not flood the log.
///
/// # Errors
/// The first that cannot heal.
pub async fn reconnect<T, F, C>(
    what: &str,
    backoff: Backoff,
    mut connect: C,
) -> Result<T, ConnectError>
where
    C: FnMut() -> F,
    F: Future<Output = Result<T, ConnectError>>,
{
    let mut failures = 0u32;
    let mut last = String::new();
    loop {
        match connect().await {
            Ok(connected) => {
                if failures > 0 {
                    tracing::info!(target = what, attempts = failures + 1, "connected again");
                }
                return Ok(connected);
            }
            Err(ConnectError::Retry(error)) => {
                failures = failures.saturating_add(1);
                if error != last {
                    tracing::warn!(target = what, %error, "cannot connect, retrying");
                    last = error;
                }
                tokio::time::sleep(backoff.delay(failures, random())).await;
            }
            Err(fatal) => return Err(fatal),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    const QUICK: Backoff = Backoff { min: Duration::from_micros(1), max: Duration::from_micros(2) };

    #[tokio::test]
    async fn tries_until_it_heals() {
        let calls = AtomicU32::new(0);
        let connected = reconnect("test", QUICK, || async {
            match calls.fetch_add(1, Ordering::Relaxed) {
                0..3 => Err(ConnectError::Retry("away".into())),
                n => Ok(n),
            }
        })
        .await;
        assert_eq!(connected.ok(), Some(3));
    }

    #[tokio::test]
    async fn stops_at_what_cannot_heal() {
        let refused = reconnect("test", QUICK, || async {
            Err::<(), _>(ConnectError::Fatal("no such exchange".into()))
        })
        .await;
        assert!(matches!(refused, Err(ConnectError::Fatal(_))), "{refused:?}");
    }
}
