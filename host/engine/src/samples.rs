//! Samples: messages that a plugin's author embedded, run before the plugin goes live. Any
//! verdict will do; a fault will not.

use bytes::Bytes;
use lockgate_message::{Head, Input, Message, Reason, Value, Verdict};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::capabilities::clock::now_us;
use crate::doors::Call;
use crate::fault::Crash;
use crate::frame::encode;
use crate::limits::Limits;
use crate::needs::Needs;
use crate::sandbox::Sandbox;

const KEYS: [&str; 4] = ["exchange", "routing_key", "headers", "body"];

/// One sample as it stands in a description. Everything is optional.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Sample {
    exchange: String,
    routing_key: String,
    /// Texts, numbers and booleans by name.
    headers: serde_json::Map<String, Json>,
    /// Text as it is, anything else as JSON.
    body: Json,
}

impl Sample {
    fn read(sample: &Json) -> Result<Self, String> {
        let keys = sample.as_object().into_iter().flat_map(|fields| fields.keys());
        match keys.into_iter().find(|key| !KEYS.contains(&key.as_str())) {
            Some(key) => Err(crate::json::unknown("", key, &KEYS)),
            None => serde_json::from_value(sample.clone()).map_err(|error| error.to_string()),
        }
    }

    fn message(self) -> Message {
        let headers = self.headers.into_iter().map(|(name, value)| {
            let value = match value {
                Json::Bool(value) => Value::Bool(value),
                Json::Number(number) => match number.as_i64() {
                    Some(value) => Value::I64(value),
                    None => Value::F64(number.as_f64().unwrap_or_default()),
                },
                Json::String(text) => Value::text(text),
                other => Value::text(other.to_string()),
            };
            (name, value)
        });
        let head = Head {
            exchange: self.exchange,
            routing_key: self.routing_key,
            headers: headers.collect(),
            ..Head::default()
        };
        let body = match self.body {
            Json::Null => Bytes::new(),
            Json::String(text) => text.into(),
            other => other.to_string().into(),
        };
        Message::new(head, body)
    }
}

/// Runs one sample, without state: it is no message. An error says what went wrong with it.
pub(crate) fn run(
    sample: &Json,
    sandbox: &mut Sandbox,
    needs: &Needs,
    reasons: &[Reason],
    limits: &Limits,
) -> Result<(), Crash> {
    let sample = Sample::read(sample).map_err(Crash::bad)?;
    let message = sample.message();
    let input = Input { message: &message, redelivered: false, attempt: 1 };
    let size = encode::measure(&input, needs).map_err(|unfit| Crash::bad(unfit.text()))?;
    let mut slot = [None];
    let mut call = Call {
        inputs: &[input],
        sizes: &[u32::try_from(size).unwrap_or(u32::MAX)],
        needs,
        received_us: now_us(),
        reasons,
        limits,
        slots: &mut slot,
    };
    let called = sandbox.call(&mut call, limits.time, &mut None);
    called.map_err(|crash| Crash { text: crash.to_string(), ..crash })?;
    match slot {
        [Some(Verdict::Fault(fault))] => Err(Crash::bad(fault.to_string())),
        [Some(_)] => Ok(()),
        [None] => Err(Crash::bad("no verdict")),
    }
}
