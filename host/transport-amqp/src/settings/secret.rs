//! Secret: text that prints as `***`, and the file that it comes from.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

/// Most bytes of a secret file that are read: as many as when the settings are.
const FILE_MAX: u64 = 64 << 10;

/// The name by which the settings' reader knows that the file is wanted as well.
const WITH_FILE: &str = "SecretWithFile";

/// A text with a credential in it: a password, or a URL that may hold one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret {
    text: String,
    file: Option<PathBuf>,
    /// What the text is joined from, where it is several.
    several: Vec<Secret>,
}

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), file: None, several: Vec::new() }
    }

    /// One text of several, in which commas stand between them.
    fn joined(several: Vec<Self>) -> Self {
        let texts: Vec<_> = several.iter().map(Self::expose).collect();
        Self { text: texts.join(","), file: None, several }
    }

    /// The text itself, for what needs it and prints nothing.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The file that it was read from; the first one of several.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref().or_else(|| self.several.iter().find_map(Self::file))
    }

    /// The same with what its file holds now; as it was where that cannot be read.
    pub(crate) fn renewed(&self) -> Self {
        if !self.several.is_empty() {
            return Self::joined(self.several.iter().map(Self::renewed).collect());
        }
        let Some(file) = &self.file else { return self.clone() };
        match read(file) {
            Ok(text) => Self { text, ..self.clone() },
            Err(error) => {
                let file = file.display();
                tracing::warn!(%file, %error, "the secret file cannot be read, using what it held");
                self.clone()
            }
        }
    }
}

/// Reads a credential, without the line ends that editors put behind it.
fn read(path: &Path) -> io::Result<String> {
    // Asked first: opening a pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    File::open(path)?.take(FILE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        return Err(io::Error::other("it is larger than 64 KiB"));
    }
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// From a string; or, where the settings' reader knows a file, from a map of `text` and `file`.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WITH_FILE, Parts { several: false })
    }
}

/// A URL, or an array of them.
///
/// # Errors
/// Anything else.
pub(super) fn urls<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    from.deserialize_newtype_struct(WITH_FILE, Parts { several: true })
}

/// [`urls`] of a key that may be missing.
///
/// # Errors
/// As there.
pub(super) fn some_urls<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    urls(from).map(Some)
}

/// Reads what a secret is made of.
struct Parts {
    /// An array of them is one as well.
    several: bool,
}

impl<'de> Visitor<'de> for Parts {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.several { "a URL, or an array of URLs" } else { "a string" })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Secret, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::new(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Secret, A::Error> {
        if !self.several {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        }
        let mut several = Vec::new();
        while let Some(item) = items.next_element()? {
            several.push(item);
        }
        Ok(Secret::joined(several))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let (mut text, mut file) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "text" => text = Some(map.next_value::<String>()?),
                _ => file = Some(PathBuf::from(map.next_value::<String>()?)),
            }
        }
        let text = text.ok_or_else(|| A::Error::missing_field("text"))?;
        Ok(Secret { file, ..Secret::new(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_and_one_that_is_gone_is_remembered() {
        let path = std::env::temp_dir().join(format!("{}-secret", std::process::id()));
        std::fs::write(&path, "old\n").unwrap();
        let secret = Secret { file: Some(path.clone()), ..Secret::new("older") };
        let secret = secret.renewed();
        assert_eq!(secret.expose(), "old");
        std::fs::write(&path, "new\r\n").unwrap();
        let secret = secret.renewed();
        assert_eq!(secret.expose(), "new");
        std::fs::write(&path, "newer").unwrap();
        let several = Secret::joined(vec![Secret::new("first"), secret.clone()]);
        assert_eq!((several.expose(), several.file()), ("first,new", Some(&*path)));
        assert_eq!(several.renewed().expose(), "first,newer");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(secret.renewed().expose(), "new");
        assert_eq!(Secret::new("x").renewed().expose(), "x");
    }
}
