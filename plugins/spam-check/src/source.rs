//! Source: where in a message the text is.

use std::borrow::Cow;

use lockgate_plugin::{Body, Headers, Message, Needs, SettingError};

use crate::classifier::TEXT_LIMIT;
use crate::json;

/// Where the text is.
#[derive(Debug, PartialEq)]
pub(crate) enum Source {
    /// The body is the text.
    Body,
    /// The body is JSON: keys and element numbers from its root.
    Path(Vec<String>),
    /// A header is the text.
    Header(String),
}

impl Source {
    /// Reads the setting.
    pub(crate) fn parse(text: &str) -> Result<Self, SettingError> {
        if text == "body" {
            return Ok(Self::Body);
        }
        if let Some(path) = text.strip_prefix("body.")
            && path.split('.').all(|step| !step.is_empty())
        {
            return Ok(Self::Path(path.split('.').map(str::to_owned).collect()));
        }
        match text.strip_prefix("header:") {
            Some(name) if (1..=255).contains(&name.len()) => Ok(Self::Header(name.to_owned())),
            _ => Err(SettingError::at(
                "/text",
                format!("`{text}` is none of `body`, `body.<path>` and `header:<name>`"),
            )),
        }
    }

    /// What it reads.
    pub(crate) fn needs(&self) -> Needs {
        let mut needs = match self {
            Self::Body => Needs { body: Body::Prefix(TEXT_LIMIT as u32), ..Needs::default() },
            Self::Path(_) => Needs { body: Body::All, ..Needs::default() },
            Self::Header(name) => {
                Needs { headers: Headers::Names(vec![name.clone()]), ..Needs::default() }
            }
        };
        content::need(&mut needs);
        needs
    }

    /// The content that the text is in; none if it cannot be decoded.
    pub(crate) fn content<'m>(&self, message: &Message<'m>) -> Option<Cow<'m, [u8]>> {
        match self {
            Self::Body => Some(content::read_prefix(message, TEXT_LIMIT)),
            Self::Path(_) => content::read(message, content::MAX_CONTENT).ok(),
            Self::Header(_) => Some(Cow::Borrowed(&[])),
        }
    }

    /// The text of a message with its content; none if it is missing, not text, or blank.
    pub(crate) fn text<'m>(
        &self,
        message: &Message<'m>,
        content: &'m [u8],
    ) -> Option<Cow<'m, str>> {
        let text = match self {
            Self::Body => Cow::Borrowed(prefix_text(message, content)?),
            Self::Path(path) => match content::json(content) {
                Cow::Borrowed(json) => json::string_at(json, path)?,
                Cow::Owned(json) => Cow::Owned(json::string_at(&json, path)?.into_owned()),
            },
            Self::Header(name) => Cow::Borrowed(message.header(name)?.as_str()?),
        };
        (!text.trim().is_empty()).then_some(text)
    }
}

/// The content as text; where it was cut, less a character cut in two. A byte order mark before it is
/// no part of it.
fn prefix_text<'m>(message: &Message<'_>, content: &'m [u8]) -> Option<&'m str> {
    let body = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    match str::from_utf8(body) {
        Ok(text) => Some(text),
        Err(error) if message.body_is_cut() && error.error_len().is_none() => {
            str::from_utf8(body.get(..error.valid_up_to())?).ok()
        }
        Err(_) => None,
    }
}
