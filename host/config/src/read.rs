//! Reading a whole text file within a limit.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Why a text could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    Io(io::Error),
    NotAFile,
    /// The limit, in bytes.
    TooLarge(u64),
    /// The first byte that is wrong and the line it is on, both from 1, and what the text may be
    /// instead.
    NotUtf8 {
        byte: usize,
        line: usize,
        guess: &'static str,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::NotAFile => f.write_str("it is not a regular file"),
            Self::TooLarge(limit) => write!(f, "it is larger than {} KiB", limit / 1024),
            Self::NotUtf8 { byte, line, guess } => {
                write!(f, "it is not UTF-8 text (line {line}, byte {byte} of the file); {guess}")
            }
        }
    }
}

/// Reads a regular file, links followed, of at most `limit` bytes.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, ReadError> {
    // Asked first: opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(ReadError::Io)?.is_file() {
        return Err(ReadError::NotAFile);
    }
    let file = File::open(path).map_err(ReadError::Io)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(ReadError::Io)?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLarge(limit));
    }
    if is_utf16(&bytes) {
        let guess = "it looks like UTF-16";
        return Err(ReadError::NotUtf8 { byte: 1, line: 1, guess });
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        // In Latin-1 and Windows-1252 a letter with an accent is one byte, and stands among plain ones.
        let guess = match error.as_bytes().get(at) {
            Some(0xa0..) => "it may be Latin-1 (ISO 8859-1) or Windows-1252",
            Some(_) => "it may be Windows-1252",
            None => "its last character is cut off",
        };
        let cut = error.utf8_error().error_len().is_none();
        let guess = if cut { "its last character is cut off" } else { guess };
        ReadError::NotUtf8 { byte: at + 1, line, guess }
    })
}

/// Whether bytes are text as Windows tools save it for "Unicode": with its mark, or with every second
/// byte zero.
fn is_utf16(bytes: &[u8]) -> bool {
    let start = bytes.get(..64.min(bytes.len()) & !1).unwrap_or_default();
    let halves = |half: usize| start.iter().skip(half).step_by(2).all(|byte| *byte == 0);
    matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
        || (!start.is_empty() && (halves(0) != halves(1)))
}

/// Whether others than its owner and its group may read a file, links followed.
pub(crate) fn is_readable_by_others(path: &Path) -> bool {
    const OTHERS_READ: u32 = 0o004;
    std::fs::metadata(path).is_ok_and(|about| about.permissions().mode() & OTHERS_READ != 0)
}
