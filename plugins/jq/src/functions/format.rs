//! Formats: `@csv`, `@base64` and the like.

use std::fmt::Write as _;

use super::Run;
use super::core::to_string;
use crate::error::{Res, type_error};
use crate::json::to_json;
use crate::value::Val;

pub(super) const FORMATS: &[(&str, Run)] = &[
    ("text", |_, input, _| Ok(to_string(input))),
    ("json", |_, input, _| Ok(Val::Str(to_json(input)))),
    ("csv", |_, input, _| {
        row(input, ",", "cannot be csv-formatted, only array", |text| {
            format!("\"{}\"", text.replace('"', "\"\""))
        })
    }),
    ("tsv", |_, input, _| {
        row(input, "\t", "cannot be tsv-formatted, only array", |text| {
            text.replace('\\', r"\\").replace('\t', r"\t").replace('\r', r"\r").replace('\n', r"\n")
        })
    }),
    ("html", |_, input, _| {
        Ok(each_char(input, |character, out| match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }))
    }),
    ("uri", |_, input, _| {
        Ok(each_char(input, |character, out| match character {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '_' | '.' | '~' => out.push(character),
            other => {
                for byte in other.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a string does not fail.
                    let _ = write!(out, "%{byte:02X}");
                }
            }
        }))
    }),
    ("urid", |_, input, _| from_uri(input)),
    ("sh", |_, input, _| shell(input)),
    ("base64", |_, input, _| Ok(encode(input, BASE64, 6, 4))),
    ("base64d", |_, input, _| decode(input, BASE64, 6, "base64")),
    ("base32", |_, input, _| Ok(encode(input, BASE32, 5, 8))),
    ("base32d", |_, input, _| decode(input, BASE32, 5, "base32")),
];

const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn text_of(input: &Val) -> std::rc::Rc<str> {
    match to_string(input) {
        Val::Str(text) => text,
        _ => "".into(),
    }
}

fn each_char(input: &Val, put: impl Fn(char, &mut String)) -> Val {
    let mut out = String::new();
    text_of(input).chars().for_each(|character| put(character, &mut out));
    Val::from(out)
}

fn row(input: &Val, separator: &str, not_a_row: &str, quote: impl Fn(&str) -> String) -> Res<Val> {
    let Val::Arr(cells) = input else { return type_error(input, not_a_row) };
    let mut out = String::new();
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.push_str(separator);
        }
        match cell {
            Val::Null => {}
            Val::Num(number) if number.is_nan() => {}
            Val::Bool(_) | Val::Num(_) => out.push_str(&to_json(cell)),
            Val::Str(text) => out.push_str(&quote(text)),
            _ => return type_error(cell, "is not valid in a csv row"),
        }
    }
    Ok(Val::from(out))
}

fn shell(input: &Val) -> Res<Val> {
    let words = match input {
        Val::Arr(words) => words.to_vec(),
        other => vec![other.clone()],
    };
    let mut out = Vec::new();
    for word in &words {
        out.push(match word {
            Val::Str(text) => format!("'{}'", text.replace('\'', r"'\''")),
            Val::Arr(_) | Val::Obj(_) => return type_error(word, "can not be escaped for shell"),
            other => to_json(other).to_string(),
        });
    }
    Ok(Val::from(out.join(" ")))
}

fn from_uri(input: &Val) -> Res<Val> {
    let text = text_of(input);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let [high, low, tail @ ..] = tail else {
            return type_error(input, "is not a valid uri encoding");
        };
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return type_error(input, "is not a valid uri encoding");
        };
        bytes.push((high * 16 + low) as u8);
        rest = tail;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Val::from(text)),
        Err(_) => type_error(input, "is not a valid uri encoding"),
    }
}

/// In groups of `width` bits, filled up with `=` to a multiple of `block` characters.
fn encode(input: &Val, alphabet: &[u8], width: u32, block: usize) -> Val {
    let text = text_of(input);
    let (mut out, mut bits, mut count) = (String::new(), 0_u32, 0);
    let put = |bits: u32, out: &mut String| {
        let at = usize::try_from(bits & ((1 << width) - 1)).unwrap_or(0);
        out.push(alphabet.get(at).copied().map_or('?', char::from));
    };
    for byte in text.bytes() {
        bits = bits << 8 | u32::from(byte);
        count += 8;
        while count >= width {
            count -= width;
            put(bits >> count, &mut out);
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        put(bits << (width - count), &mut out);
    }
    while out.len() % block != 0 {
        out.push('=');
    }
    Val::from(out)
}

/// What is decoded and no text has U+FFFD in it, as with jq.
fn decode(input: &Val, alphabet: &[u8], width: u32, name: &str) -> Res<Val> {
    let text = text_of(input);
    let (mut out, mut bits, mut count, mut read) = (Vec::new(), 0_u32, 0, 0);
    for byte in text.bytes().take_while(|byte| *byte != b'=') {
        let Some(value) = alphabet.iter().position(|letter| *letter == byte) else {
            return type_error(input, &format!("is not valid {name} data"));
        };
        bits = bits << width | u32::try_from(value).unwrap_or(0);
        count += width;
        read += 1;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
        bits &= (1 << count) - 1;
    }
    if width == 6 && read % 4 == 1 {
        return type_error(input, "trailing base64 byte found");
    }
    Ok(Val::from(String::from_utf8_lossy(&out).into_owned()))
}
