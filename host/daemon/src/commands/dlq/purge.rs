//! `lockgate dlq purge`: deletes dead letters.

use std::io::{BufRead, IsTerminal, stdin};
use std::process::ExitCode;

use lockgate_config::Code;
use lockgate_message::Settlement;
use tokio::sync::oneshot;

use super::Refused;
use super::arguments::PurgeArguments;
use super::as_text::letters;
use super::letter::Letter;
use super::tally::Tally;
use super::walk::Walk;
use crate::{exit, report};

/// Letters that wait for the question to be answered.
const ASKED_MAX: u64 = 1_000_000;

pub(super) async fn run(arguments: PurgeArguments) -> anyhow::Result<ExitCode> {
    let ask = !arguments.yes && !arguments.dry_run;
    if ask && !stdin().is_terminal() {
        let message = "a purge deletes for good and nobody is there to be asked";
        let help = "`--dry-run` says what would go; `--yes` does it";
        return Err(Refused::one(Code::MissingKey, message, help).into());
    }
    let mut walk = Walk::open(&arguments.place).await?;
    let mut limit = arguments.limit.unwrap_or(u64::MAX);
    if ask {
        limit = limit.min(ASKED_MAX);
    }
    let mut tally = Tally::default();
    let mut waiting = Vec::new();
    while let Some(letters) = walk.next(limit - tally.total()).await? {
        for letter in letters {
            tally.add(vec![letter.reason().to_owned()], letter.failed_at(), "");
            match (arguments.dry_run, ask) {
                (true, _) => walk.keep(letter),
                (_, true) => waiting.push(letter.delivery.ack),
                (_, false) => delete(letter),
            }
        }
    }
    let (total, place) = (letters(tally.total()), walk.place.describe());
    let all = !walk.has_more() || tally.total() >= limit;
    let agreed = !ask || tally.total() == 0 || asked(&tally, &walk).await?;
    if agreed {
        waiting.drain(..).for_each(|ack| ack.settle(Settlement::Ack));
    }
    walk.finish().await?;
    if !agreed {
        // Only now: each would be given back by itself.
        drop(waiting);
        report::note("nothing was deleted");
        return Ok(exit::failed());
    }
    let verb = if arguments.dry_run { "would delete" } else { "deleted" };
    report::line(format!("{verb} {total} from {place}"));
    if !ask && tally.total() > 0 {
        tally.table(&["reason"], true).iter().for_each(report::line);
    }
    Ok(if all { exit::OK } else { exit::failed() })
}

fn delete(letter: Letter) {
    letter.delivery.ack.settle(Settlement::Ack);
}

/// Has the count typed.
async fn asked(tally: &Tally, walk: &Walk) -> anyhow::Result<bool> {
    tally.table(&["reason"], true).iter().for_each(report::note);
    let (total, place) = (tally.total(), walk.place.describe());
    report::note(format!("type {total} to delete them from {place} for good:"));
    let (say, said) = oneshot::channel();
    // A thread that nobody waits for: after a signal it still reads.
    std::thread::Builder::new().spawn(move || {
        let mut line = String::new();
        let read = stdin().lock().read_line(&mut line);
        let _ = say.send(read.is_ok() && line.trim() == total.to_string());
    })?;
    Ok(tokio::select! {
        said = said => said.unwrap_or(false),
        () = walk.signal() => false,
    })
}
