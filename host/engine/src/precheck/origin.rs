//! Origin: what a module was made for that is no plugin, guessed from the names it imports and
//! exports, for the one who gave it.

use super::Import;
use crate::text::clean;

/// Interfaces or exports that a text lists.
const LISTED: usize = 6;

/// What a core module without our exports is.
pub(super) fn core(imports: &[Import], exports: &[String], sections: &[String]) -> String {
    let from = |prefix: &str| imports.iter().any(|import| import.module.starts_with(prefix));
    let import = |name: &str| imports.iter().any(|import| import.name == name);
    let has = |name: &str| exports.iter().any(|export| export == name);
    let section = |part: &str| sections.iter().any(|section| section.contains(part));
    let wasi = from("wasi_snapshot_preview1") || from("wasi_unstable");
    // TinyGo exports its allocator; C does so only when asked, and never with these four.
    let tiny_go = ["malloc", "free", "calloc", "realloc"].iter().all(|name| has(name));
    let text = if from("extism:") || imports.iter().any(|it| it.name.starts_with("extism_")) {
        "an Extism plug-in (it imports Extism's host functions)"
    } else if section("wasm_bindgen") || from("wbg") || from("__wbindgen") || from("./") {
        "a module for browsers and JavaScript (wasm-bindgen)"
    } else if from("gojs") || from("go") && import("runtime.wasmExit") {
        "a Go program for browsers (GOOS=js), which needs `wasm_exec.js`"
    } else if from("env") && imports.iter().any(|it| it.name.starts_with("emscripten_")) {
        "a module for browsers and JavaScript (Emscripten)"
    } else if from("env") && import("abort") && (has("__new") || has("__pin") || has("memory")) {
        "an AssemblyScript module for JavaScript"
    } else if imports.iter().any(|it| it.name.starts_with("proxy_"))
        || exports.iter().any(|name| name.starts_with("proxy_on_"))
    {
        "a Proxy-Wasm filter, for Envoy and its like"
    } else if has("_start") && tiny_go {
        "a command of TinyGo (`_start`), which runs once from begin to end"
    } else if has("_start") && wasi {
        "a plain WASI command (`_start`), which runs once from begin to end"
    } else if has("_initialize") && tiny_go {
        "a WASI reactor of TinyGo, without the functions of the plugin contract"
    } else if has("_initialize") && wasi {
        "a WASI reactor, without the functions of the plugin contract"
    } else if exports.is_empty() {
        "a core module that exports nothing"
    } else {
        return format!("a core module of its own kind; it exports {}", list(exports.iter()));
    };
    text.to_owned()
}

/// What a component without our exports is.
pub(super) fn component(imports: &[Import], exports: &[String]) -> String {
    let has = |part: &str| exports.iter().any(|export| export.starts_with(part));
    let text = if has("wasi:http/incoming-handler") {
        "a component that answers HTTP requests (the world `wasi:http/proxy`)"
    } else if has("wasi:cli/run") {
        "a command as a component (the world `wasi:cli/command`), which runs once from begin to end"
    } else if exports.is_empty() {
        "a component that exports nothing"
    } else {
        return format!("a component of another world; it exports {}", list(exports.iter()));
    };
    match imports.iter().any(|import| import.module.starts_with("wasi:")) {
        true => format!("{text}, and it imports WASI, which no component gets here"),
        false => text.to_owned(),
    }
}

/// What bytes are that are no WebAssembly.
pub(super) fn not_wasm(bytes: &[u8]) -> &'static str {
    let starts = |text: &[u8]| {
        bytes
            .trim_ascii_start()
            .get(..text.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(text))
    };
    match bytes {
        [] => "it is empty",
        [0x7f, b'E', b'L', b'F', ..] => {
            "it is machine code; precompiled modules are never loaded, give the .wasm"
        }
        [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            "it is packed (gzip, zip or zstd); unpack it first"
        }
        [b'#', b'!', ..] => "it is a script",
        _ if starts(b"(") || starts(b";;") => "it looks like WebAssembly text; assemble it first",
        _ if starts(b"<!doctype") || starts(b"<html") || starts(b"<?xml") => {
            "it is a web page; a download that failed, perhaps"
        }
        _ if starts(b"version https://git-lfs") => {
            "it is the place-holder of a file in Git LFS; `git lfs pull` fetches the file"
        }
        _ => "it does not start with the bytes `\\0asm`",
    }
}

fn list<'a>(names: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let shown: Vec<_> = names.take(LISTED).map(|name| format!("`{}`", clean(name, 64))).collect();
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan;

    #[track_caller]
    fn check(text: &str, parts: &[&str]) {
        let error = scan(&wat::parse_str(text).unwrap()).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
    }

    const LACKS: &str = "it lacks the exports memory, lockgate_abi, lockgate_buffer";

    #[test]
    fn a_module_of_another_kind_is_told_what_it_is_and_lacks() {
        let wasi = r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#;
        let with = |import: &str, names: &[&str]| {
            let exports: String =
                names.iter().map(|name| format!("(func (export {name:?}))")).collect();
            format!("(module {import} {exports})")
        };
        let go = ["malloc", "free", "calloc", "realloc"];
        check(&with(wasi, &["_start"]), &["a plain WASI command (`_start`)", LACKS]);
        check(&with(wasi, &["_initialize", "run"]), &["a WASI reactor, without", LACKS]);
        check(&with(wasi, &[&["_start"], &go[..]].concat()), &["a command of TinyGo", LACKS]);
        check(&with(wasi, &[&["_initialize"], &go[..]].concat()), &["reactor of TinyGo", LACKS]);
        let extism = r#"(import "extism:host/env" "input_length" (func (result i64)))"#;
        check(&with(extism, &["count_vowels"]), &["an Extism plug-in", LACKS]);
        let bindgen = r#"(import "wbg" "__wbindgen_throw" (func (param i32 i32)))"#;
        check(
            &with(bindgen, &["greet"]),
            &["a module for browsers and JavaScript (wasm-bindgen)", LACKS],
        );
        let go_js = r#"(import "gojs" "runtime.wasmExit" (func (param i32)))"#;
        check(&with(go_js, &["run"]), &["a Go program for browsers"]);
        let abort = r#"(import "env" "abort" (func (param i32 i32 i32 i32)))"#;
        check(&with(abort, &["__new"]), &["AssemblyScript module for JavaScript"]);
        // An import that is no function does not hide what it is.
        let emscripten =
            r#"(import "env" "memory" (memory 1)) (import "env" "emscripten_memcpy_js" (func))"#;
        check(&with(emscripten, &["run"]), &["(Emscripten)", "it lacks the exports"]);
        check("(module)", &["a core module that exports nothing", LACKS]);
        check(&with("", &["add", "sub"]), &["it exports `add`, `sub`", LACKS]);
        check(
            &with("", &["lockgate_abi"]),
            &[
                "a core module plugin that is not complete",
                "it lacks the exports memory, lockgate_buffer",
            ],
        );
    }

    #[test]
    fn a_component_of_another_world_is_told_what_it_is_and_lacks() {
        check(
            "(component)",
            &[
                "a component that exports nothing",
                "it lacks `handle-batch` or `handle`, and the exports describe, init",
            ],
        );
        check(
            r#"(component (instance $run) (export "wasi:cli/run@0.2.0" (instance $run)))"#,
            &["the world `wasi:cli/command`", "describe, init"],
        );
        check(
            r#"(component (import "wasi:io/poll@0.2.0" (instance)) (instance $h)
                (export "wasi:http/incoming-handler@0.2.0" (instance $h)))"#,
            &["answers HTTP requests", "imports WASI, which no component gets here"],
        );
        check(
            r#"(component (instance $a) (export "acme:shop/cart@1.0.0" (instance $a)))"#,
            &["a component of another world; it exports `acme:shop/cart@1.0.0`"],
        );
    }

    #[test]
    fn what_is_no_wasm() {
        for (bytes, part) in [
            (&b""[..], "it is empty"),
            (b"  (module)", "looks like WebAssembly text"),
            (b"\x1f\x8b\x08", "unpack it first"),
            (b"PK\x03\x04", "unpack it first"),
            (b"#!/bin/sh", "it is a script"),
            (b"<!DOCTYPE html><html>", "a web page"),
            (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
            (b"\x7fELF", "machine code"),
            (b"hello", "does not start with"),
        ] {
            assert!(scan(bytes).unwrap_err().to_string().contains(part), "{part}");
        }
    }
}
