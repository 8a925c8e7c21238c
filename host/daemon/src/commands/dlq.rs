//! `lockgate dlq`: what can be done with dead letters.
//!
//! Every command walks through the queue ([`walk`]), which gives out each letter once and keeps
//! it unacked, perhaps only those that a predicate picks ([`select`]); what it does with them is
//! in the file of its name. Only a replay and a purge ever ack.

mod arguments;
mod as_json;
mod as_text;
mod export;
mod letter;
mod list;
mod place;
mod plan;
mod progress;
mod purge;
mod replay;
mod select;
mod show;
mod sinks;
mod tally;
mod walk;

use std::fmt;
use std::process::ExitCode;

use anyhow::Context;
use lockgate_config::{Code, Diagnostic};
use lockgate_engine::MIN_THREAD_STACK;
use lockgate_transport::ConnectError;

use crate::cli::Format;
use crate::{exit, logging, report};

pub(crate) use arguments::DlqCommand;

/// Stack of the thread that runs a command: the predicate's, and room for all else.
const STACK: usize = MIN_THREAD_STACK + (4 << 20);

pub(super) fn run(command: DlqCommand) -> anyhow::Result<ExitCode> {
    // Of a broker that blocks publishes, for example.
    logging::start_warnings();
    let thread = std::thread::Builder::new().name("dlq".into()).stack_size(STACK);
    let done = thread.spawn(move || super::runtime()?.block_on(dispatch(command)))?;
    let result = done.join().ok().context("the command ended in a panic")?;
    result.or_else(|error| match error.downcast::<Refused>() {
        Ok(refused) => {
            report::diagnostics(&refused.0, Format::Text);
            let healing = refused.0.iter().any(|one| one.code == Code::BrokerUnreachable);
            Ok(if healing { exit::failed() } else { exit::bad_input() })
        }
        Err(error) => Err(error),
    })
}

async fn dispatch(command: DlqCommand) -> anyhow::Result<ExitCode> {
    match command {
        DlqCommand::List(arguments) => list::run(arguments).await,
        DlqCommand::Show(arguments) => show::run(arguments).await,
        DlqCommand::Replay(arguments) => replay::run(arguments).await,
        DlqCommand::Purge(arguments) => purge::run(arguments).await,
        DlqCommand::Export(arguments) => export::run(arguments).await,
    }
}

/// What a command cannot be run for: told as diagnostics.
#[derive(Debug)]
struct Refused(Vec<Diagnostic>);

impl Refused {
    fn one(code: Code, message: impl AsRef<str>, help: &str) -> Self {
        Self(vec![Diagnostic::new(code, message).help(help)])
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

impl From<ConnectError> for Refused {
    fn from(error: ConnectError) -> Self {
        match &error {
            ConnectError::Retry(text) => {
                let help = "nothing was changed; try again when the broker answers";
                Self::one(Code::BrokerUnreachable, text, help)
            }
            ConnectError::Stream(text) => {
                let help = "copy the letters to a queue first, with a stream client";
                Self::one(Code::StreamQueue, text, help)
            }
            _ => {
                let help = "`--queue` names another queue, `--url` another broker";
                Self::one(Code::BrokerRefused, error.to_string(), help)
            }
        }
    }
}
