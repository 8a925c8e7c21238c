//! The plugin: from a message to its verdict.

use content::Encoding;
use jq::{CompileError, Log, Program, Val};
use lockgate_plugin::host::{Level, log};
use lockgate_plugin::{
    Body, Delta, Description, Emitted, Headers, Init, Message, Needs, Plugin, SettingError, Verdict,
};

use crate::edits::Edits;
use crate::fault::{EMPTY_RESULT, Fault, REASONS};
use crate::globals::global;
use crate::settings::{OnEmpty, OnError, Settings};
use crate::template::Template;

/// Bytes of a program: a limit on what parsing one can take.
const MAX_PROGRAM: usize = 64 << 10;
/// Bytes of all results of one message, as the host allows for one output.
const MAX_RESULT_BYTES: usize = 16 << 20;

/// A transformation, compiled.
pub struct Transform {
    program: Option<Program>,
    edits: Edits,
    /// Whether the body is read.
    reads_body: bool,
    max_body: u32,
    on_error: OnError,
    on_empty: OnEmpty,
}

impl Plugin for Transform {
    type Settings = Settings;

    const DESCRIPTION: Description = Description::new("transform", env!("CARGO_PKG_VERSION"))
        .reasons(&REASONS)
        .schema(include_str!("settings.schema.json"));

    fn init(settings: Settings) -> Result<(Self, Init), Vec<SettingError>> {
        let edits = Edits::new(&settings);
        let program = settings.jq.as_deref().map(compile).transpose();
        let (edits, program) = match (edits, program) {
            (Ok(edits), Ok(program)) => (edits, program),
            (edits, program) => {
                return Err([edits.err(), program.err()].into_iter().flatten().flatten().collect());
            }
        };
        if program.is_none() && edits.is_empty() {
            return Err(vec![SettingError::at(
                "",
                "there is nothing to do: set `jq`, for example",
            )]);
        }
        let reads_body = program.as_ref().is_some_and(Program::reads_input)
            || edits.templates().any(Template::reads_body) && program.is_none();
        let names = |global| program.as_ref().is_some_and(|program| program.reads_global(global));
        let headers = edits.headers();
        let needs = Needs {
            origin: edits.templates().any(Template::reads_origin)
                || names("routing_key")
                || names("exchange"),
            // A body says there how it is encoded, when it comes and when it leaves.
            properties: reads_body
                || program.is_some()
                || edits.templates().any(Template::reads_properties),
            headers: match headers.is_empty() {
                _ if names("headers") => Headers::All,
                true => Headers::None,
                false => Headers::Names(headers),
            },
            body: if reads_body { Body::Prefix(settings.max_body) } else { Body::None },
        };
        let Settings { max_body, on_error, on_empty, .. } = settings;
        let transform = Self { program, edits, reads_body, max_body, on_error, on_empty };
        Ok((transform, Init { needs, ..Init::default() }))
    }

    fn handle(&mut self, message: &Message<'_>) -> Verdict {
        match self.transform(message) {
            Ok(verdict) => verdict,
            Err(fault) => match self.on_error {
                OnError::Pass => Verdict::Pass,
                OnError::Drop => Verdict::Drop(fault.reason()),
                OnError::Reject => {
                    Verdict::Reject { reason: fault.reason(), text: fault.to_string() }
                }
            },
        }
    }
}

impl Transform {
    fn transform(&self, message: &Message<'_>) -> Result<Verdict, Fault> {
        let body = self.read_body(message)?;
        let Some(program) = &self.program else {
            let mut delta = Delta::new();
            self.edits.write(message, &body, &mut delta)?;
            return Ok(Verdict::Modify(delta));
        };
        let results = program.run(
            body,
            |name| global(name, message),
            message.received_micros(),
            &|source, line| log(level(source), line),
        )?;
        let mut bytes = 0;
        // A result is most often about as long as the body.
        let mut json = Vec::with_capacity(message.body().len() + 64);
        let mut child = |body: &Val| -> Result<Delta, Fault> {
            json.clear();
            jq::write(body, &mut json)?;
            bytes += json.len();
            if bytes > MAX_RESULT_BYTES {
                return Err(Fault::Results { max: MAX_RESULT_BYTES });
            }
            let mut delta = Delta::new();
            self.edits.write(message, body, &mut delta)?;
            match self.edits.encoding(message, body)? {
                Encoding::Plain => delta.body(&json),
                encoding => delta.body(&encoding.encode(std::mem::take(&mut json))),
            };
            Ok(delta)
        };
        Ok(match results.as_slice() {
            [] => match self.on_empty {
                OnEmpty::Drop => Verdict::Drop(EMPTY_RESULT),
                OnEmpty::Reject => Verdict::Reject {
                    reason: EMPTY_RESULT,
                    text: "the program has no result for this message".to_owned(),
                },
            },
            [body] => Verdict::Modify(child(body)?),
            several => {
                let emitted = |body| Ok(Emitted { route: None, delta: child(body)? });
                Verdict::Emit(several.iter().map(emitted).collect::<Result<_, Fault>>()?)
            }
        })
    }

    /// The body as a value; null when nothing reads it.
    fn read_body(&self, message: &Message<'_>) -> Result<Val, Fault> {
        if !self.reads_body {
            return Ok(Val::Null);
        }
        if message.body_is_cut() {
            return Err(Fault::Large { length: message.body_len(), max: self.max_body });
        }
        let max = usize::try_from(self.max_body).unwrap_or(usize::MAX);
        Ok(jq::read(&content::read(message, max)?)?)
    }
}

fn level(source: Log) -> Level {
    match source {
        Log::Debug => Level::Debug,
        Log::Stderr => Level::Info,
    }
}

fn compile(source: &str) -> Result<Program, Vec<SettingError>> {
    if source.len() > MAX_PROGRAM {
        return Err(vec![SettingError::at("/jq", "the program is longer than 64 KiB")]);
    }
    Program::compile(source).map_err(|errors| {
        let placed = |error: CompileError| {
            SettingError::at("/jq", error.message).with_offset(error.offset as u32)
        };
        errors.into_iter().map(placed).collect()
    })
}
