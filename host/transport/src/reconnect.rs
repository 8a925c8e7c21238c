//! The one loop that owns connecting.

use std::future::Future;

use crate::backoff::{Backoff, random};
use crate::error::ConnectError;

/// Calls `connect` until it succeeds, waiting with back-off after each failure that can heal, of
/// which `failed` is told.
///
/// # Errors
/// The first that cannot heal.
pub async fn reconnect<T, F, C>(
    backoff: Backoff,
    mut connect: C,
    mut failed: impl FnMut(&ConnectError),
) -> Result<T, ConnectError>
where
    C: FnMut() -> F,
    F: Future<Output = Result<T, ConnectError>>,
{
    let mut failures = 0u32;
    loop {
        match connect().await {
            Err(error @ ConnectError::Retry(_)) => {
                failed(&error);
                failures = failures.saturating_add(1);
                tokio::time::sleep(backoff.delay(failures, random())).await;
            }
            ended => return ended,
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
        let connected = reconnect(
            QUICK,
            || async {
                match calls.fetch_add(1, Ordering::Relaxed) {
                    0..3 => Err(ConnectError::Retry("away".into())),
                    n => Ok(n),
                }
            },
            |_| {},
        )
        .await;
        assert_eq!(connected.ok(), Some(3));
    }

    #[tokio::test]
    async fn stops_at_what_cannot_heal() {
        let refused = reconnect(
            QUICK,
            || async { Err::<(), _>(ConnectError::Fatal("no such exchange".into())) },
            |_| {},
        )
        .await;
        assert!(matches!(refused, Err(ConnectError::Fatal(_))), "{refused:?}");
    }
}
