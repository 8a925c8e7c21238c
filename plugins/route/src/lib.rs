//! The route plugin: sends messages to named routes by CEL rules.

mod otherwise;
mod settings;

use lockgate_plugin::{Delta, Description, Init, Message, Plugin, Reason, SettingError, Verdict};
use predicate::Predicates;

pub use otherwise::Otherwise;
pub use settings::{Match, Rule, Settings};

/// The positions of the reasons in the description.
const NO_RULE: Reason = Reason(1);
const PREDICATE_ERROR: Reason = Reason(2);

/// The plugin with its settings read.
pub struct Router {
    /// The conditions of the rules, in their order.
    when: Predicates,
    /// The routes of the rules, in their order.
    to: Vec<Vec<String>>,
    matching: Match,
    otherwise: Otherwise,
}

impl Plugin for Router {
    type Settings = Settings;

    const DESCRIPTION: Description = Description::new("route", env!("CARGO_PKG_VERSION"))
        .reasons(&["no_rule", "predicate_error"])
        .schema(include_str!("settings.schema.json"));

    fn init(settings: Settings) -> Result<(Self, Init), Vec<SettingError>> {
        let routes = settings.check()?;
        let Settings { rules, matching, otherwise } = settings;
        let when = Predicates::compile(rules.iter().map(|rule| rule.when.as_str()));
        let when = when.map_err(|errors| {
            let located = errors.into_iter().map(|(at, error)| {
                SettingError::at(format!("/rules/{at}/when"), error.message)
                    .with_offset(error.offset)
            });
            located.collect::<Vec<_>>()
        })?;
        let always = (0..rules.len()).any(|at| when.constant(at) == Some(true));
        let unrouted = matches!(otherwise, Otherwise::Pass) && !always;
        let mut needs = when.needs();
        content::need(&mut needs);
        let init = Init { needs, routes, unrouted };
        let to = rules.into_iter().map(|rule| rule.to).collect();
        Ok((Self { when, to, matching, otherwise }, init))
    }

    fn handle(&mut self, message: &Message<'_>) -> Verdict {
        let body = match content::read(message, content::MAX_CONTENT) {
            Ok(body) => body,
            Err(error) => return self.unmatched(Some(error.to_string())),
        };
        let message = message.with_body(&body);
        let on = self.when.on(&message);
        let mut routes: Vec<String> = Vec::new();
        let mut failed = None;
        for (at, to) in self.to.iter().enumerate() {
            match on.eval(at) {
                Ok(true) if self.matching == Match::First => return route(to.clone()),
                Ok(true) => {
                    let new = to.iter().filter(|name| !routes.contains(name));
                    let new: Vec<_> = new.cloned().collect();
                    routes.extend(new);
                }
                Ok(false) => {}
                Err(error) => failed = Some(error.to_string()),
            }
        }
        if !routes.is_empty() {
            return route(routes);
        }
        self.unmatched(failed)
    }
}

impl Router {
    /// What becomes of a message that no rule takes, or that the rules could not judge.
    fn unmatched(&self, failed: Option<String>) -> Verdict {
        let reason = if failed.is_some() { PREDICATE_ERROR } else { NO_RULE };
        match &self.otherwise {
            Otherwise::Pass => Verdict::Pass,
            Otherwise::Drop => Verdict::Drop(reason),
            Otherwise::Reject => {
                let text = failed.unwrap_or_else(|| "no rule matches".to_owned());
                Verdict::Reject { reason, text }
            }
            Otherwise::Routes(names) => route(names.clone()),
        }
    }
}

fn route(routes: Vec<String>) -> Verdict {
    Verdict::Route { routes, delta: Delta::new() }
}

lockgate_plugin::export!(Router);

#[cfg(test)]
mod tests;
