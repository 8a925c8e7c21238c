//! Secret: text that prints as `***`.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// A text with a credential in it: a password, or a URL that may hold one.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for what needs it and prints nothing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A URL, or an array of them: one text, in which commas stand between them.
///
/// # Errors
/// Anything else.
pub(super) fn urls<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a URL, or an array of URLs")]
    enum Urls {
        One(Secret),
        Several(Vec<Secret>),
    }
    Ok(match Urls::deserialize(from)? {
        Urls::One(url) => url,
        Urls::Several(urls) => {
            let urls: Vec<_> = urls.iter().map(Secret::expose).collect();
            Secret::new(urls.join(","))
        }
    })
}

/// [`urls`] of a key that may be missing.
///
/// # Errors
/// As there.
pub(super) fn some_urls<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    urls(from).map(Some)
}
