//! The plugin: from a message to its verdict.

use jaq_json::Val;
use lockgate_plugin::{
    Body, Delta, Description, Emitted, Headers, Init, Message, Needs, Plugin, SettingError, Verdict,
};

use crate::edits::Edits;
use crate::fault::{EMPTY_RESULT, Fault, REASONS};
use crate::json;
use crate::program::Program;
use crate::settings::{OnError, Settings};
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
        let reads_body = program.is_some() || edits.templates().any(Template::reads_body);
        let headers = edits.headers();
        let needs = Needs {
            origin: edits.templates().any(Template::reads_origin),
            properties: edits.templates().any(Template::reads_properties),
            headers: if headers.is_empty() { Headers::None } else { Headers::Names(headers) },
            body: if reads_body { Body::Prefix(settings.max_body) } else { Body::None },
        };
        let (max_body, on_error) = (settings.max_body, settings.on_error);
        let transform = Self { program, edits, reads_body, max_body, on_error };
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
        let results = program.run(body, message.received_micros())?;
        let mut bytes = 0;
        // A result is most often about as long as the body.
        let mut json = Vec::with_capacity(message.body().len() + 64);
        let mut child = |body: &Val| -> Result<Delta, Fault> {
            json.clear();
            json::write(body, &mut json)?;
            bytes += json.len();
            if bytes > MAX_RESULT_BYTES {
                return Err(Fault::Results { max: MAX_RESULT_BYTES });
            }
            let mut delta = Delta::new();
            self.edits.write(message, body, &mut delta)?;
            delta.body(&json);
            Ok(delta)
        };
        Ok(match results.as_slice() {
            [] => Verdict::Drop(EMPTY_RESULT),
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
        Ok(json::read(message.body())?)
    }
}

fn compile(source: &str) -> Result<Program, Vec<SettingError>> {
    if source.len() > MAX_PROGRAM {
        return Err(vec![SettingError::at("/jq", "the program is longer than 64 KiB")]);
    }
    Program::compile(source).map_err(|errors| {
        let placed = |error: crate::program::CompileError| {
            SettingError::at("/jq", error.message).with_offset(error.offset as u32)
        };
        errors.into_iter().map(placed).collect()
    })
}
