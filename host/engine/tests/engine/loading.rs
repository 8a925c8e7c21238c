//! Loading: what is refused, and in which words.

use lockgate_engine::{Capability, ConfigureError, Door, Grants, Limits, LoadError, inspect};
use serde_json::json;

use crate::guests::{Guest, engine};

#[track_caller]
fn refused(bytes: &[u8], part: &str) {
    match engine().load(bytes, Grants::default(), &Limits::default()) {
        Ok(plugin) => panic!("{plugin:?} was loaded"),
        Err(error) => {
            let text = format!("{error}; {}", error.way_out());
            assert!(text.contains(part), "{text}");
        }
    }
}

#[track_caller]
fn refused_guest(guest: &Guest<'_>, part: &str) {
    refused(&guest.wasm(), part);
}

#[track_caller]
fn refused_text(text: &str, part: &str) {
    refused(&wat::parse_str(text).unwrap(), part);
}

#[test]
fn what_is_not_wasm() {
    refused(b"", "it is empty");
    refused(b"not wasm", "does not start with");
    refused(b"(module)", "looks like WebAssembly text");
    refused(b"\x7fELF....", "precompiled modules are never loaded");
    refused(b"\0asm\x01\0\0\0\xff\xff", "not valid");
    let wasm = Guest::default().wasm();
    for cut in (8..wasm.len()).step_by(97) {
        let cut = &wasm[..cut];
        engine().load(cut, Grants::default(), &Limits::default()).unwrap_err();
    }
}

#[test]
fn what_has_no_door() {
    refused_text(
        "(module)",
        "it is a core module that exports nothing; it lacks the exports memory",
    );
    refused_text(
        r#"(module (memory (export "memory") 1)
            (func (export "lockgate_abi") (result i32) (i32.const 1)))"#,
        "it is a core module plugin that is not complete; it lacks the exports lockgate_buffer, \
         lockgate_describe, lockgate_init, lockgate_batch",
    );
    refused_text(
        "(component)",
        "it lacks `handle-batch` or `handle`, and the exports describe, init",
    );
}

#[test]
fn exports_of_another_type() {
    let code = "(func $batch (param i32) (result i32) (i32.const 0))";
    refused_guest(&Guest { code, ..Guest::default() }, "the export `lockgate_batch` is missing or");
}

#[test]
fn what_the_sandbox_does_not_have() {
    refused_text("(module (memory i64 1))", "64-bit memory");
    refused_text("(module (memory 1 2 shared))", "no threads");
    refused_text("(module (memory 1) (memory 1))", "not valid");
    refused_guest(
        &Guest { imports: r#"(import "env" "open" (func))"#, ..Guest::default() },
        "`env.open`",
    );
    refused_guest(
        &Guest { imports: r#"(import "env" "memory2" (global i32))"#, ..Guest::default() },
        "is not a function",
    );
}

#[test]
fn what_was_not_granted() {
    let imports = r#"(import "lockgate_v0" "clock_now" (func (result i64)))
        (import "lockgate_v0" "random" (func (param i32 i32)))"#;
    let guest = Guest { imports, ..Guest::default() };
    refused_guest(&guest, "`lockgate_v0.clock_now` (capability `clock`)");
    refused_guest(&guest, "(capability `random`); write `grant = [\"clock\", \"random\"]`");
    let grants = Grants::default().with(Capability::Clock).with(Capability::Random);
    guest.load(grants, &Limits::default()).unwrap();

    let mut guest = Guest::default();
    guest.describe["capabilities"] = json!(["log", "kv"]);
    refused_guest(&guest, "capability `kv`; write `grant = [\"kv\"]` in this stage");
    guest.describe["capabilities"] = json!(["kv", "http"]);
    refused_guest(&guest, "capability `http`; this host does not have it");
}

#[test]
fn another_contract() {
    for section in [true, false] {
        let mut guest = Guest { section, ..Guest::default() };
        guest.describe["contract"] = json!("0.7");
        refused_guest(&guest, "the plugin speaks contract 0.7, this host speaks 0.1");
    }
}

#[test]
fn a_description_that_is_wrong() {
    let mut guest = Guest::default();
    guest.describe["version"] = json!("");
    refused_guest(&guest, "`version`");
}

/// A plugin whose `needs` was ignored saw no header, and dropped every message.
#[test]
fn a_slip_in_what_a_plugin_says_is_refused_with_the_nearest_key() {
    for section in [true, false] {
        let mut guest = Guest { section, ..Guest::default() };
        guest.describe["max_bach"] = json!(8);
        refused_guest(
            &guest,
            "plugin `guest`: the key `max_bach` is unknown; did you mean `max_batch`?",
        );
    }
    let init = json!({ "ok": { "need": { "body": true } } });
    let plugin = Guest { init, ..Guest::default() }.load(Grants::default(), &Limits::default());
    let error = plugin.unwrap().configure("s", &json!({})).unwrap_err();
    assert!(matches!(error, ConfigureError::Result { .. }), "{error}");
    let said = "plugin `guest`: its init result is wrong: the key `ok.need` is unknown; did you mean `needs`?";
    assert_eq!(error.to_string(), said);
    // Of a contract that this host does not speak, that it does not is the error, not the key.
    let mut guest = Guest::default();
    guest.describe["contract"] = json!("0.9");
    guest.describe["lease"] = json!(8);
    refused_guest(&guest, "the plugin speaks contract 0.9, this host speaks 0.1");
    let mut guest = Guest::default();
    guest.describe["samples"] = json!([{ "bodi": "p" }]);
    let plugin = guest.load(Grants::default(), &Limits::default()).unwrap();
    let error = plugin.configure("s", &json!({})).unwrap_err().to_string();
    assert!(error.contains("did you mean `body`?"), "{error}");
}

#[test]
fn bombs_are_refused_before_they_are_compiled() {
    let deep = format!("(module (func {} {}))", "block ".repeat(6000), "end ".repeat(6000));
    refused_text(&deep, "blocks in blocks");
    refused_text(&format!("(module (func (local {})))", "i64 ".repeat(30_000)), "locals");
    let engine = engine();
    let too_large = vec![0; lockgate_engine::MAX_MODULE + 1];
    let error = engine.load(&too_large, Grants::default(), &Limits::default()).unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { .. }), "{error}");
    assert_eq!(engine.compiles(), 0);
}

#[test]
fn a_guest_that_does_not_start() {
    let start = r#"(start $start) (func $start (loop $l (br $l)))"#;
    let code = format!("{start} {}", crate::guests::CHAMELEON);
    let guest = Guest { code: &code, ..Guest::default() };
    let limits = Limits { init_time: std::time::Duration::from_millis(10), ..Limits::default() };
    let error = guest.load(Grants::default(), &limits).unwrap_err();
    assert!(error.to_string().contains("does not start: deadline"), "{error}");

    let limits = Limits { memory: 65536, ..Limits::default() };
    let error = Guest::default().load(Grants::default(), &limits).unwrap_err();
    assert!(error.to_string().contains("does not start: memory"), "{error}");
}

#[test]
fn the_same_module_twice_is_compiled_once() {
    let engine = engine();
    let wasm = Guest::default().wasm();
    let load = || engine.load(&wasm, Grants::default(), &Limits::default()).unwrap();
    let (one, two) = (load(), load());
    assert_eq!((engine.compiles(), one.digest()), (1, two.digest()));
}

#[test]
fn a_module_is_inspected_without_running_it() {
    let start = "(start $start) (func $start (unreachable))";
    let code = format!("{start} {}", crate::guests::CHAMELEON);
    let imports = r#"(import "lockgate_v0" "clock_now" (func (result i64)))"#;
    let guest = Guest { section: true, imports, code: &code, ..Guest::default() };
    let wasm = guest.wasm();
    let inspection = inspect(&wasm).unwrap();
    assert_eq!((inspection.door, inspection.size), (Door::Core, wasm.len()));
    assert_eq!(inspection.imports, ["lockgate_v0.clock_now"]);
    assert_eq!(inspection.grant.as_deref(), Some("grant = [\"clock\"]"));
    let description = inspection.description.unwrap();
    assert_eq!((description.name.as_str(), description.reasons.len()), ("guest", 2));
    assert_eq!(inspect(&Guest::default().wasm()).unwrap().description, None);
    assert_eq!(inspect(&Guest::default().wasm()).unwrap().grant, None);
    inspect(b"nothing").unwrap_err();
    // What no plugin gets is said, as by loading it.
    let foreign = Guest { imports: r#"(import "env" "open" (func))"#, ..Guest::default() };
    assert!(matches!(inspect(&foreign.wasm()), Err(LoadError::UnknownImports { .. })));
    let mut later = Guest { section: true, ..Guest::default() };
    later.describe["contract"] = json!("0.9");
    assert!(matches!(inspect(&later.wasm()), Err(LoadError::ContractVersion { .. })));
}

#[test]
fn samples_are_run_before_a_plugin_goes_live() {
    let mut guest = Guest::default();
    guest.describe["samples"] = json!([{ "body": "p", "headers": { "n": 1 } }, { "body": "d" }]);
    guest.configured(&Limits::default());
    guest.describe["samples"] = json!([{ "body": "p" }, { "body": "t" }]);
    let plugin = guest.load(Grants::default(), &Limits::default()).unwrap();
    let error = plugin.configure("s", &json!({})).unwrap_err();
    assert!(matches!(error, ConfigureError::Sample { index: 1, .. }), "{error}");
}
