//! Normalised text: what spelling tricks cost nothing to undo, so that one n-gram stands for
//! its variants.

/// Bytes of a text that count; what follows is not looked at.
pub const TEXT_LIMIT: usize = 4096;

/// Writes a text's characters into `out`: lower case, every run of white space and control
/// characters as one space, and one space before and after. At most [`TEXT_LIMIT`] bytes of
/// the text are read.
pub(crate) fn normalise(text: &str, out: &mut Vec<u32>) {
    out.clear();
    out.push(SPACE);
    for character in head(text).chars() {
        if character.is_ascii_graphic() {
            out.push(u32::from(character.to_ascii_lowercase()));
        } else if character.is_whitespace() || character.is_control() {
            if out.last() != Some(&SPACE) {
                out.push(SPACE);
            }
        } else {
            out.extend(character.to_lowercase().map(u32::from));
        }
    }
    if out.last() != Some(&SPACE) {
        out.push(SPACE);
    }
}

const SPACE: u32 = 0x20;

/// The text's first [`TEXT_LIMIT`] bytes, less a character cut in two.
fn head(text: &str) -> &str {
    let mut end = TEXT_LIMIT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}
