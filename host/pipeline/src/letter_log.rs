//! LetterLog: tells the log of messages that are given up, one line a second for each stage and
//! reason, which says how many it stands for.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::job::Cause;
use crate::stats::lock;

/// Time between two lines of one stage and reason.
const EVERY: Duration = Duration::from_secs(1);
/// Bytes of a cause's text that a line shows.
const SHOWN: usize = 512;

pub(crate) struct LetterLog {
    pipeline: String,
    /// What was told less than [`EVERY`] ago, and what has come since. There are as many stages and
    /// reasons as the pipeline's file and its plugins' descriptions name.
    recent: Mutex<BTreeMap<Key, Option<Since>>>,
}

/// Stage and reason.
type Key = (Arc<str>, Arc<str>);

/// Letters that no line tells of yet.
struct Since {
    count: u64,
    /// The last of them.
    cause: Cause,
    message_id: Option<String>,
}

impl LetterLog {
    pub(crate) fn new(pipeline: &str) -> Self {
        Self { pipeline: pipeline.to_owned(), recent: Mutex::default() }
    }

    /// A message was given up. Called on the runtime, for what comes soon after another is told
    /// later.
    pub(crate) fn tell(self: &Arc<Self>, cause: &Cause, message_id: Option<&str>) {
        match lock(&self.recent).entry((cause.stage.clone(), cause.reason.clone())) {
            Entry::Vacant(slot) => {
                slot.insert(None);
            }
            Entry::Occupied(mut slot) => {
                let count = slot.get().as_ref().map_or(0, |since| since.count) + 1;
                let message_id = message_id.map(str::to_owned);
                slot.insert(Some(Since { count, cause: cause.clone(), message_id }));
                return;
            }
        }
        self.line(1, cause, message_id);
        let (log, key) = (self.clone(), (cause.stage.clone(), cause.reason.clone()));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                if !log.next(&key) {
                    return;
                }
            }
        });
    }

    /// Tells what has come since the last line; false when nothing has.
    fn next(&self, key: &Key) -> bool {
        let mut recent = lock(&self.recent);
        let Some(since) = recent.get_mut(key).and_then(Option::take) else {
            recent.remove(key);
            return false;
        };
        drop(recent);
        self.line(since.count, &since.cause, since.message_id.as_deref());
        true
    }

    /// Tells all that no line tells of yet, for nobody will later.
    pub(crate) fn flush(&self) {
        for since in std::mem::take(&mut *lock(&self.recent)).into_values().flatten() {
            self.line(since.count, &since.cause, since.message_id.as_deref());
        }
    }

    fn line(&self, count: u64, cause: &Cause, message_id: Option<&str>) {
        let Cause { stage, plugin, reason, text } = cause;
        let shown = text.get(..text.floor_char_boundary(SHOWN)).unwrap_or_default();
        // What was given up behind the chain has no stage.
        let named = |text: &Arc<str>| (!text.is_empty()).then(|| text.to_string());
        tracing::warn!(
            pipeline = self.pipeline,
            stage = named(stage),
            plugin = named(plugin),
            reason = &**reason,
            message_id,
            error = shown,
            count,
            "given up"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// What is written while `log` lives.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn taken(&self) -> Vec<String> {
            let bytes = std::mem::take(&mut *lock(&self.0));
            String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
        }
    }

    fn cause(stage: &str, reason: &str) -> Cause {
        let (stage, plugin, reason) = (stage.into(), "".into(), reason.into());
        Cause { stage, plugin, reason, text: "why".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_a_line_a_second_and_every_letter_is_counted() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .finish();
        let _quiet = tracing::subscriber::set_default(subscriber);
        let log = Arc::new(LetterLog::new("p"));
        for n in 0..1000 {
            log.tell(&cause("s", "trap"), Some(&format!("m-{n}")));
        }
        log.tell(&cause("", "unroutable"), None);
        let first = lines.taken();
        assert_eq!(first.len(), 2, "{first:?}");
        for part in ["pipeline=\"p\"", "stage=\"s\"", "reason=\"trap\"", "\"m-0\"", "count=1"] {
            assert!(first[0].contains(part), "{part} is not in {}", first[0]);
        }
        assert!(first[1].contains("unroutable") && !first[1].contains("stage="), "{}", first[1]);
        tokio::time::sleep(EVERY * 3 / 2).await;
        let second = lines.taken();
        assert_eq!(second.len(), 1, "{second:?}");
        assert!(second[0].contains("count=999") && second[0].contains("m-999"), "{}", second[0]);
        // After a quiet second the next one is told at once.
        tokio::time::sleep(EVERY).await;
        log.tell(&cause("s", "trap"), Some("m-1000"));
        log.tell(&cause("s", "trap"), Some("m-1001"));
        assert_eq!(lines.taken().len(), 1);
        log.flush();
        let last = lines.taken();
        assert!(last.len() == 1 && last[0].contains("m-1001"), "{last:?}");
    }
}
