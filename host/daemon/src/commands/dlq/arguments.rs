//! The arguments of `lockgate dlq`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::Format;

/// Letters that `list` looks at unless told otherwise.
const LIST_LIMIT: u64 = 10_000;

#[derive(Subcommand)]
pub(crate) enum DlqCommand {
    /// Group dead letters by why they are there.
    ///
    /// Exit codes: 0 done, 1 the broker cannot be reached, 2 on bad usage or configuration.
    #[command(
        after_help = "Examples:\n  lockgate dlq list orders.toml\n  lockgate dlq list orders.toml --by plugin --where 'headers[\"lockgate-reason\"] == \"trap\"'\n  lockgate dlq list --url amqp://127.0.0.1/ --queue orders.dead --format json"
    )]
    List(ListArguments),
    /// Show dead letters whole: reason, origin, properties, typed headers, body.
    ///
    /// Exit codes: 0 done, 1 the broker cannot be reached, 2 on bad usage or configuration.
    #[command(
        after_help = "Examples:\n  lockgate dlq show orders.toml --at 1,2\n  lockgate dlq show orders.toml --id order-17\n  lockgate dlq show orders.toml --where 'body.total > 100' --body 200"
    )]
    Show(ShowArguments),
    /// Publish dead letters again: to where they came from, or elsewhere.
    ///
    /// A letter goes with the body, headers and properties that its message had, without the
    /// `lockgate-*` headers that say why it died; an envelope is opened first. It is published
    /// persistent and mandatory, and leaves the dead-letter queue only after the broker has
    /// confirmed it: whatever happens in between, it is in one of the two places, at worst in
    /// both. What no queue takes, or what the broker refuses, stays. Letters that arrive
    /// meanwhile are left alone, so a replay always ends.
    ///
    /// As in every publish, what the broker would refuse or copy elsewhere is left out: the
    /// property user-id, the headers CC and BCC, and a direct reply-to.
    ///
    /// A replay undoes one step: the letter of a letter becomes that letter again, and what the broker
    /// dead-lettered goes to where it came from last.
    ///
    /// To the origin means its exchange and routing key: every queue bound there gets it again.
    /// `--to` and `--to-queue` reach one queue alone.
    ///
    /// Exit codes: 0 all replayed, 1 something stayed or it was interrupted, 2 on bad usage or
    /// configuration.
    #[command(
        after_help = "Examples:\n  lockgate dlq replay orders.toml --dry-run\n  lockgate dlq replay orders.toml --where 'headers[\"lockgate-reason\"] == \"trap\"' --rate 100\n  lockgate dlq replay orders.toml --to repair.toml --limit 10"
    )]
    Replay(ReplayArguments),
    /// Delete dead letters.
    ///
    /// Exit codes: 0 done, 1 it was not done, or not to the end, 2 on bad usage or configuration.
    #[command(
        after_help = "Example:\n  lockgate dlq purge orders.toml --where 'headers[\"lockgate-reason\"] == \"predicate_false\"' --dry-run"
    )]
    Purge(PurgeArguments),
    /// Write dead letters as JSON lines; they stay in the queue.
    ///
    /// Exit codes: 0 all written, 1 not all, 2 on bad usage or configuration.
    #[command(
        after_help = "Example:\n  lockgate dlq export orders.toml --out dead.jsonl\n  lockgate dlq export orders.toml | jq -r .reason | sort | uniq -c"
    )]
    Export(ExportArguments),
}

/// Where the dead letters are.
#[derive(Args)]
pub(crate) struct PlaceArguments {
    /// The pipeline whose `[dead_letter]` it is.
    #[arg(required_unless_present = "url", conflicts_with = "url")]
    pub(super) pipeline: Option<PathBuf>,
    /// The broker, instead of a pipeline. A pipeline file keeps its password out of the list of
    /// processes.
    #[arg(long, requires = "queue")]
    pub(super) url: Option<String>,
    /// The queue with the dead letters [default: the one that `[dead_letter]` declares]
    #[arg(long)]
    pub(super) queue: Option<String>,
    /// Only letters for which this is true: CEL over headers, properties and body, as in the
    /// `filter` plugin. One for which it has no answer, as for a header that is missing, is left
    /// alone.
    #[arg(long = "where", value_name = "CEL")]
    pub(super) predicate: Option<String>,
}

/// What `list` groups by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    Reason,
    Stage,
    Pipeline,
    Plugin,
}

#[derive(Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    pub(super) place: PlaceArguments,
    /// One line for each [default: reason, stage and plugin together]
    #[arg(long, value_enum)]
    pub(super) by: Option<By>,
    /// Letters to look at, from the oldest on.
    #[arg(long, default_value_t = LIST_LIMIT)]
    pub(super) limit: u64,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

#[derive(Args)]
pub(crate) struct ShowArguments {
    #[command(flatten)]
    pub(super) place: PlaceArguments,
    /// Positions in the queue, 1 for the head.
    #[arg(long, value_name = "N", value_delimiter = ',', conflicts_with_all = ["id", "predicate"])]
    pub(super) at: Vec<u64>,
    /// Those with this message-id.
    #[arg(long, value_name = "MESSAGE-ID")]
    pub(super) id: Option<String>,
    /// Letters to show.
    #[arg(long, default_value_t = 10)]
    pub(super) limit: u64,
    /// Bytes of a body to show.
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    pub(super) body: usize,
    /// `json` gives whole letters, a line each, as `export` does.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

#[derive(Args)]
pub(crate) struct ReplayArguments {
    #[command(flatten)]
    pub(super) place: PlaceArguments,
    /// Into the source queue of this pipeline.
    #[arg(long, value_name = "PIPELINE", conflicts_with_all = ["to_queue", "to_exchange"])]
    pub(super) to: Option<PathBuf>,
    /// Into this queue of the dead letters' broker.
    #[arg(long, value_name = "QUEUE", conflicts_with = "to_exchange")]
    pub(super) to_queue: Option<String>,
    /// To this exchange of the dead letters' broker.
    #[arg(long, value_name = "EXCHANGE")]
    pub(super) to_exchange: Option<String>,
    /// With `--to-exchange` [default: the original one]
    #[arg(long, value_name = "KEY", requires = "to_exchange")]
    pub(super) routing_key: Option<String>,
    /// Letters to replay at most.
    #[arg(long)]
    pub(super) limit: Option<u64>,
    /// Letters a second at most.
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(super) rate: Option<f64>,
    /// Say what would go where; change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct PurgeArguments {
    #[command(flatten)]
    pub(super) place: PlaceArguments,
    /// Letters to delete at most.
    #[arg(long)]
    pub(super) limit: Option<u64>,
    /// Say what would be deleted; change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub(super) yes: bool,
}

#[derive(Args)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    pub(super) place: PlaceArguments,
    /// A new file [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Letters to write at most.
    #[arg(long)]
    pub(super) limit: Option<u64>,
}

/// A number, with `/s` behind it or not.
fn rate(text: &str) -> Result<f64, String> {
    match text.strip_suffix("/s").unwrap_or(text).trim().parse::<f64>() {
        Ok(rate) if (0.01..=1e6).contains(&rate) => Ok(rate),
        _ => Err("give 0.01 to 1000000 letters a second".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn rates() {
        for (text, expected) in [
            ("100", Some(100.0)),
            ("0.5/s", Some(0.5)),
            ("100 /s", Some(100.0)),
            ("0", None),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
            ("100/m", None),
        ] {
            assert_eq!(rate(text).ok(), expected, "{text}");
        }
    }
}
