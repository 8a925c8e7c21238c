//! Guest: the plugin behind the door, without the door: init and batch over plain bytes.

use serde::Serialize;

use crate::output::Output;
use crate::verdict::{Failure, Verdict};
use crate::{Batch, Init, Malformed, Plugin, SettingError, settings};

/// A plugin and the output that it writes again and again.
pub(crate) struct Guest<P> {
    plugin: P,
    output: Vec<u8>,
}

impl<P: Plugin> Guest<P> {
    /// Opens the plugin with its settings as JSON.
    ///
    /// # Errors
    /// What is wrong with the settings; at least one entry.
    pub(crate) fn open(json: &[u8]) -> Result<(Self, Init), Vec<SettingError>> {
        let json = str::from_utf8(json)
            .map_err(|_| vec![SettingError::at("", "settings are not UTF-8")])?;
        let settings = settings::read(json).map_err(|error| vec![error])?;
        match P::init(settings) {
            Ok((plugin, init)) => Ok((Self { plugin, output: Vec::new() }, init)),
            Err(errors) if errors.is_empty() => {
                Err(vec![SettingError::at("", "the plugin refused its settings")])
            }
            Err(errors) => Err(errors),
        }
    }

    /// Judges a batch; the output stays valid until the next call.
    ///
    /// # Errors
    /// The batch as a whole cannot be read. A single frame that cannot is answered with a
    /// failure.
    pub(crate) fn batch(&mut self, bytes: &[u8]) -> Result<&[u8], Malformed> {
        let batch = Batch::read(bytes)?;
        let mut output = Output::new(&mut self.output, P::DESCRIPTION.reasons.len());
        for message in batch.messages() {
            match message {
                Ok(message) => output.push(message.index(), &self.plugin.handle(&message)),
                Err(bad) => {
                    let (failure, text) = (Failure::BadMessage, bad.what.to_owned());
                    output.push(bad.index, &Verdict::Fail { failure, text });
                }
            }
        }
        output.finish().ok_or(Malformed("the output is 4 GiB or longer"))?;
        Ok(&self.output)
    }
}

/// The init result as the JSON that the host reads.
pub(crate) fn init_json(result: &Result<Init, Vec<SettingError>>) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "lowercase")]
    enum Outcome<'a> {
        Ok(&'a Init),
        Err(&'a [SettingError]),
    }
    let outcome = match result {
        Ok(init) => Outcome::Ok(init),
        Err(errors) => Outcome::Err(errors),
    };
    serde_json::to_vec(&outcome).unwrap_or_else(|error| {
        format!(r#"{{"err":[{{"pointer":"","message":"init result: {error:?}"}}]}}"#).into_bytes()
    })
}
