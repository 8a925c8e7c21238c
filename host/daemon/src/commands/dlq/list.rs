//! `lockgate dlq list`: how many dead letters there are, and why.

use std::process::ExitCode;

use serde_json::json;

use super::arguments::{By, ListArguments};
use super::as_text::{count, letters, time};
use super::letter::{ERROR, Letter, PIPELINE, PLUGIN, STAGE};
use super::tally::Tally;
use super::walk::Walk;
use crate::cli::Format;
use crate::{exit, report};

pub(super) async fn run(arguments: ListArguments) -> anyhow::Result<ExitCode> {
    let mut walk = Walk::open(&arguments.place).await?;
    let columns = columns(arguments.by);
    let mut tally = Tally::default();
    while let Some(letters) = walk.next(arguments.limit.saturating_sub(walk.looked())).await? {
        for letter in letters {
            let key = columns.iter().map(|column| cell(&letter, *column)).collect();
            tally.add(key, letter.failed_at(), letter.text(ERROR).unwrap_or_default());
            walk.keep(letter);
        }
    }
    match arguments.format {
        Format::Json => report::line(as_json(&walk, columns, &tally).to_string()),
        Format::Text => as_text(&walk, columns, &tally).iter().for_each(report::line),
    }
    let stopped = walk.stopped();
    walk.finish().await?;
    Ok(if stopped { exit::failed() } else { exit::OK })
}

fn columns(by: Option<By>) -> &'static [By] {
    match by {
        None => &[By::Reason, By::Stage, By::Plugin],
        Some(By::Reason) => &[By::Reason],
        Some(By::Stage) => &[By::Stage],
        Some(By::Pipeline) => &[By::Pipeline],
        Some(By::Plugin) => &[By::Plugin],
    }
}

fn name(column: By) -> &'static str {
    match column {
        By::Reason => "reason",
        By::Stage => "stage",
        By::Pipeline => "pipeline",
        By::Plugin => "plugin",
    }
}

/// What a letter has in a column; `-` for nothing.
fn cell(letter: &Letter, column: By) -> String {
    let header = match column {
        By::Reason => return letter.reason().to_owned(),
        By::Stage => STAGE,
        By::Pipeline => PIPELINE,
        By::Plugin => PLUGIN,
    };
    let text = letter.text(header).unwrap_or("-");
    // A digest is told by its beginning.
    match text.split_once(" sha256:") {
        Some((plugin, digest)) if digest.len() == 64 && digest.is_ascii() => {
            format!("{plugin} sha256:{}", digest.get(..12).unwrap_or(digest))
        }
        _ => text.to_owned(),
    }
}

fn as_text(walk: &Walk, columns: &[By], tally: &Tally) -> Vec<String> {
    let place = walk.place.describe();
    let mut lines = vec![match (tally.total(), walk.looked()) {
        (0, 0) => format!("no dead letters in {place}"),
        (picked, looked) if picked == looked => {
            format!("{} in {place}", letters(picked))
        }
        (picked, looked) => {
            format!("{} of {} in {place}", count(picked), letters(looked))
        }
    }];
    if tally.total() > 0 {
        lines.push(String::new());
        let titles: Vec<_> = columns.iter().map(|column| name(*column)).collect();
        lines.extend(tally.table(&titles, true));
    }
    if walk.has_more() {
        lines.push(String::new());
        lines.push(format!(
            "looked at {} of {}; `--limit` looks at more",
            count(walk.looked()),
            count(walk.ready())
        ));
    }
    lines
}

fn as_json(walk: &Walk, columns: &[By], tally: &Tally) -> serde_json::Value {
    let groups: Vec<_> = tally
        .sorted()
        .into_iter()
        .map(|(key, group)| {
            let mut json = json!({
                "count": group.count,
                "oldest": group.oldest.map(time),
                "newest": group.newest.map(time),
                "example": group.example,
            });
            if let Some(all) = json.as_object_mut() {
                let cells = columns.iter().zip(key);
                all.extend(cells.map(|(column, cell)| {
                    let cell = (cell != "-").then_some(cell.as_str());
                    (name(*column).to_owned(), cell.into())
                }));
            }
            json
        })
        .collect();
    json!({
        "queue": walk.place.queue,
        "broker": walk.place.endpoint.to_string(),
        "ready": walk.ready(),
        "looked_at": walk.looked(),
        "matched": tally.total(),
        "more": walk.has_more(),
        "groups": groups,
    })
}

#[cfg(test)]
mod tests {
    use super::super::letter::samples;
    use super::*;

    #[test]
    fn a_letter_has_a_cell_in_each_column() {
        let digest = "ab".repeat(32);
        let letter = samples::letter(
            &[
                samples::text("lockgate-reason", "trap"),
                samples::text(PLUGIN, &format!("filter 0.1.0 sha256:{digest}")),
            ],
            b"",
        );
        let cells: Vec<_> = columns(None).iter().map(|column| cell(&letter, *column)).collect();
        assert_eq!(cells, ["trap", "-", "filter 0.1.0 sha256:abababababab"]);
        assert_eq!(columns(Some(By::Stage)), [By::Stage]);
    }
}
