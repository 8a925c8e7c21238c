//! Action: what a setting says is to become of a message.

use lockgate_plugin::{Delta, Reason, Verdict};

/// What to do with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Next stage.
    Pass,
    /// Counted by reason.
    Drop,
    /// Dead letter.
    Reject,
    /// To this route.
    Route(String),
    /// Again later.
    Retry,
}

impl Action {
    /// `pass`, `drop`, `reject`, `retry` or `route:` and a name, as far as `allowed`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, allowed: &[&str]) -> Result<Self, String> {
        match (text, text.strip_prefix("route:")) {
            ("pass", _) if allowed.contains(&"pass") => Ok(Self::Pass),
            ("retry", _) if allowed.contains(&"retry") => Ok(Self::Retry),
            ("drop", _) => Ok(Self::Drop),
            ("reject", _) => Ok(Self::Reject),
            (_, Some("")) => Err("the name of the route is missing after `route:`".to_owned()),
            (_, Some(name)) if name.len() > 255 => {
                Err("the name of a route has at most 255 bytes".to_owned())
            }
            (_, Some(name)) => Ok(Self::Route(name.to_owned())),
            _ => {
                let words: String = allowed.iter().map(|word| format!("`{word}`, ")).collect();
                let message = format!("one of {words}`drop`, `reject` and `route:<name>`");
                Err(format!("unknown action `{text}`: {message}"))
            }
        }
    }

    /// The route it names.
    pub fn route(&self) -> Option<&String> {
        match self {
            Self::Route(name) => Some(name),
            _ => None,
        }
    }

    /// The verdict, with a reason and a text for people where it takes them.
    pub fn verdict(&self, reason: Reason, after_ms: u32, text: impl FnOnce() -> String) -> Verdict {
        match self {
            Self::Pass => Verdict::Pass,
            Self::Drop => Verdict::Drop(reason),
            Self::Reject => Verdict::Reject { reason, text: text() },
            Self::Route(name) => Verdict::Route { routes: vec![name.clone()], delta: Delta::new() },
            Self::Retry => Verdict::Retry { after_ms, text: text() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_words() {
        let check = |text, allowed: &[&str], expected: Result<Action, &str>| {
            assert_eq!(Action::parse(text, allowed), expected.map_err(str::to_owned));
        };
        check("drop", &[], Ok(Action::Drop));
        check("reject", &[], Ok(Action::Reject));
        check("route:a", &[], Ok(Action::Route("a".into())));
        check("pass", &["pass"], Ok(Action::Pass));
        check("retry", &["retry"], Ok(Action::Retry));
        check("route:", &[], Err("the name of the route is missing after `route:`"));
        check(
            "retry",
            &["pass"],
            Err("unknown action `retry`: one of `pass`, `drop`, `reject` and `route:<name>`"),
        );
        check(
            "pass",
            &[],
            Err("unknown action `pass`: one of `drop`, `reject` and `route:<name>`"),
        );
        let long = format!("route:{}", "x".repeat(256));
        assert!(Action::parse(&long, &[]).is_err());
    }
}
