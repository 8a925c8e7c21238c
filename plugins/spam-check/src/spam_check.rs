//! The plugin: from a message to its verdict.

use lockgate_plugin::{
    Delta, Description, Init, Message, Plugin, Reason, SettingError, Value, Verdict,
};

use crate::classifier::Model;
use crate::settings::{OnSpam, Settings};
use crate::source::Source;

/// The trained model; `trainer/` makes it.
const MODEL: &[u8] = include_bytes!("../model.bin");

const SPAM: Reason = Reason(1);

/// A model, and what to do with its scores.
pub struct SpamCheck {
    model: Model,
    source: Source,
    threshold: f64,
    on_spam: OnSpam,
    score_header: Option<String>,
}

impl Plugin for SpamCheck {
    type Settings = Settings;

    const DESCRIPTION: Description = Description::new("spam-check", env!("CARGO_PKG_VERSION"))
        .reasons(&["spam"])
        .schema(include_str!("settings.schema.json"));

    fn init(settings: Settings) -> Result<(Self, Init), Vec<SettingError>> {
        let mut errors = Vec::new();
        let mut keep = |error: SettingError| errors.push(error);
        let source = Source::parse(&settings.text).map_err(&mut keep);
        let on_spam = OnSpam::parse(&settings.on_spam).map_err(&mut keep);
        let score_header = settings.score_header.name().map_err(&mut keep);
        let model = Model::from_bytes(MODEL)
            .map_err(|error| keep(SettingError::at("", format!("the model shipped: {error}"))));
        // Not a number is outside as well.
        if !(settings.threshold > 0.0 && settings.threshold <= 1.0) {
            keep(SettingError::at("/threshold", "a number above 0, up to 1"));
        }
        if (&on_spam, &score_header) == (&Ok(OnSpam::Tag), &Ok(None)) {
            keep(SettingError::at("/score_header", "without it there is nothing to tag with"));
        }
        let (Ok(source), Ok(on_spam), Ok(score_header), Ok(model), true) =
            (source, on_spam, score_header, model, errors.is_empty())
        else {
            return Err(errors);
        };
        let routes = match &on_spam {
            OnSpam::Route(name) => vec![name.clone()],
            _ => Vec::new(),
        };
        let init = Init { needs: source.needs(), routes, unrouted: true };
        Ok((Self { model, source, threshold: settings.threshold, on_spam, score_header }, init))
    }

    fn handle(&mut self, message: &Message<'_>) -> Verdict {
        let Some(content) = self.source.content(message) else { return Verdict::Pass };
        let Some(text) = self.source.text(message, &content) else { return Verdict::Pass };
        // Four places: enough to tell scores apart, and what is compared is what is shown.
        let score = (f64::from(self.model.score(&text)) * 1e4).round() / 1e4;
        let spam = score >= self.threshold;
        let mut delta = Delta::new();
        if let Some(name) = &self.score_header {
            delta.header(name, Value::F64(score));
        }
        match &self.on_spam {
            OnSpam::Drop if spam => Verdict::Drop(SPAM),
            OnSpam::Reject if spam => {
                let text = format!("spam: score {score} of {}", self.threshold);
                Verdict::Reject { reason: SPAM, text }
            }
            OnSpam::Route(name) if spam => Verdict::Route { routes: vec![name.clone()], delta },
            _ if delta.is_empty() => Verdict::Pass,
            _ => Verdict::Modify(delta),
        }
    }
}
