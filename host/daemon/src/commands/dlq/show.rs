//! `lockgate dlq show`: dead letters whole.

use std::process::ExitCode;

use super::arguments::ShowArguments;
use super::letter::Letter;
use super::walk::Walk;
use super::{as_json, as_text};
use crate::cli::Format;
use crate::{exit, report};

pub(super) async fn run(arguments: ShowArguments) -> anyhow::Result<ExitCode> {
    let mut walk = Walk::open(&arguments.place).await?;
    let plain = arguments.id.is_none() && arguments.place.predicate.is_none();
    let mut shown = 0;
    loop {
        // No further than needed: each look counts where the broker counts.
        let look = match arguments.at.iter().max() {
            Some(last) => last.saturating_sub(walk.looked()),
            None if shown >= arguments.limit => 0,
            None if plain => arguments.limit - shown,
            None => u64::MAX,
        };
        let Some(letters) = walk.next(look).await? else { break };
        for letter in letters {
            if picked(&letter, &arguments) && (shown < arguments.limit || !arguments.at.is_empty())
            {
                if shown > 0 && arguments.format == Format::Text {
                    report::line("");
                }
                print(&letter, &arguments);
                shown += 1;
            }
            walk.keep(letter);
        }
    }
    if shown == 0 {
        report::note(format!("no such dead letter in {}", walk.place.describe()));
    } else if arguments.at.is_empty() && walk.has_more() {
        report::note("\nthere may be more; `--limit` shows more");
    }
    let stopped = walk.stopped();
    walk.finish().await?;
    Ok(if stopped { exit::failed() } else { exit::OK })
}

fn picked(letter: &Letter, arguments: &ShowArguments) -> bool {
    let id = letter.head().properties.message_id.as_ref();
    let inner = || letter.open().and_then(|opened| opened.head.ok()?.properties.message_id);
    (arguments.at.is_empty() || arguments.at.contains(&letter.position))
        && (arguments.id.is_none() || arguments.id.as_ref() == id || arguments.id == inner())
}

fn print(letter: &Letter, arguments: &ShowArguments) {
    match arguments.format {
        Format::Json => report::line(as_json::letter(letter).to_string()),
        Format::Text => as_text::letter(letter, arguments.body).iter().for_each(report::line),
    }
}
