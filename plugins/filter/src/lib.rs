//! The filter plugin: lets messages pass for which a CEL predicate is true.

mod settings;

use lockgate_plugin::{Delta, Description, Init, Message, Plugin, Reason, SettingError, Verdict};
use predicate::Predicate;

use settings::Action;
pub use settings::Settings;

/// The positions of the reasons in the description.
const PREDICATE_FALSE: Reason = Reason(1);
const PREDICATE_ERROR: Reason = Reason(2);

/// The plugin with its settings read.
pub struct Filter {
    when: Predicate,
    otherwise: Action,
    on_error: Action,
}

impl Plugin for Filter {
    type Settings = Settings;

    const DESCRIPTION: Description = Description::new("filter", env!("CARGO_PKG_VERSION"))
        .reasons(&["predicate_false", "predicate_error"])
        .schema(include_str!("settings.schema.json"));

    fn init(settings: Settings) -> Result<(Self, Init), Vec<SettingError>> {
        let mut errors = Vec::new();
        let when = Predicate::compile(&settings.when)
            .map_err(|error| {
                errors.push(SettingError::at("/when", error.message).with_offset(error.offset));
            })
            .ok();
        let otherwise = match settings.otherwise.as_deref() {
            None => Ok(Action::Drop),
            Some("pass") => Err("`pass` would let every message through".to_owned()),
            Some(text) => Action::parse(text),
        };
        let otherwise = otherwise.unwrap_or_else(|message| {
            errors.push(SettingError::at("/otherwise", message));
            Action::Drop
        });
        let on_error = match settings.on_error.as_deref() {
            None => Action::Reject,
            Some(text) => Action::parse(text).unwrap_or_else(|message| {
                errors.push(SettingError::at("/on_error", message));
                Action::Drop
            }),
        };
        let Some(when) = when.filter(|_| errors.is_empty()) else { return Err(errors) };
        let mut routes: Vec<_> =
            [&otherwise, &on_error].into_iter().filter_map(Action::route).cloned().collect();
        routes.dedup();
        let mut needs = when.needs();
        content::need(&mut needs);
        let init = Init { needs, routes, unrouted: true };
        Ok((Self { when, otherwise, on_error }, init))
    }

    fn handle(&mut self, message: &Message<'_>) -> Verdict {
        let body = match content::read(message, content::MAX_CONTENT) {
            Ok(body) => body,
            Err(error) => return act(&self.on_error, PREDICATE_ERROR, || error.to_string()),
        };
        match self.when.eval(&message.with_body(&body)) {
            Ok(true) => Verdict::Pass,
            Ok(false) => act(&self.otherwise, PREDICATE_FALSE, || "the predicate is false".into()),
            Err(error) => act(&self.on_error, PREDICATE_ERROR, || error.to_string()),
        }
    }
}

fn act(action: &Action, reason: Reason, text: impl FnOnce() -> String) -> Verdict {
    match action {
        Action::Pass => Verdict::Pass,
        Action::Drop => Verdict::Drop(reason),
        Action::Reject => Verdict::Reject { reason, text: text() },
        Action::Route(name) => Verdict::Route { routes: vec![name.clone()], delta: Delta::new() },
    }
}

lockgate_plugin::export!(Filter);
