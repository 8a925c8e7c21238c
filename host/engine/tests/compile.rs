//! Compiling in a child process and the cache. This binary is its own compiler: with `compile`
//! as its first argument it is the child, so it brings its own `main`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests stop at the first surprise"
)]

#[path = "engine/guests.rs"]
#[expect(dead_code, reason = "shared with the other test binary, which uses all of it")]
mod guests;

use std::ffi::OsString;
use std::fs::{Permissions, read_dir, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lockgate_engine::{
    Compiler, Engine, EngineConfig, Grants, Limits, LoadError, MEMORY_RESERVATION, compile_child,
    is_precompiled, precompile,
};
use lockgate_message::Verdict;
use serde_json::json;

use guests::{Guest, run};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some((_, rest)) = args.split_first().filter(|(first, _)| *first == "compile") {
        return compile_child(rest).into();
    }
    let tests: [(&str, fn()); 7] = [
        ("a_child_compiles", a_child_compiles),
        ("a_second_start_compiles_nothing", a_second_start_compiles_nothing),
        ("a_file_that_is_not_ours_is_not_loaded", a_file_that_is_not_ours_is_not_loaded),
        ("without_a_usable_directory_it_goes_on", without_a_usable_directory_it_goes_on),
        ("a_compile_bomb_ends_at_its_limits", a_compile_bomb_ends_at_its_limits),
        ("a_compiler_that_does_not_start", a_compiler_that_does_not_start),
        ("what_the_binary_carries_is_not_compiled", what_the_binary_carries_is_not_compiled),
    ];
    for (name, test) in tests {
        println!("test {name}");
        test();
    }
    ExitCode::SUCCESS
}

fn engine(cache_dir: Option<&Path>) -> Engine {
    let compiler =
        Compiler::Child { exe: std::env::current_exe().unwrap(), args: vec!["compile".into()] };
    Engine::new(EngineConfig {
        cache_dir: cache_dir.map(Path::to_owned),
        ..EngineConfig::new(compiler)
    })
    .unwrap()
}

/// Loads the guest, sees that it works, and says how many compilations that took.
fn compiles(cache_dir: Option<&Path>) -> u64 {
    let engine = engine(cache_dir);
    let wasm = Guest::default().wasm();
    let plugin = engine.load(&wasm, Grants::default(), &Limits::default()).unwrap();
    let configured = plugin.configure("stage", &json!({})).unwrap();
    let verdicts = run(&mut configured.open().unwrap(), &["p", "d"]);
    assert_eq!(verdicts.iter().map(Verdict::name).collect::<Vec<_>>(), ["pass", "drop"]);
    engine.compiles()
}

fn code_file(dir: &Path) -> PathBuf {
    let mut files = read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|end| end == "module")).unwrap()
}

fn a_child_compiles() {
    assert_eq!(compiles(None), 1);
}

fn a_second_start_compiles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("deep/cache");
    assert_eq!(compiles(Some(&dir)), 1);
    assert_eq!(compiles(Some(&dir)), 0);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("key")), mode(&code_file(&dir))), (0o700, 0o600, 0o600));
}

fn a_file_that_is_not_ours_is_not_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("cache");
    assert_eq!(compiles(Some(&dir)), 1);
    let file = code_file(&dir);
    let good = std::fs::read(&file).unwrap();
    let flip = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let tampered = [flip(0), flip(40), flip(good.len() - 1), good[..100].to_vec(), Vec::new()];
    for bytes in tampered {
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(compiles(Some(&dir)), 1);
        assert_eq!(std::fs::read(&file).unwrap().len(), good.len());
    }
    // Another installation's file has another key.
    let other = tempfile::tempdir().unwrap();
    let other = other.path().join("cache");
    assert_eq!(compiles(Some(&other)), 1);
    std::fs::copy(code_file(&other), &file).unwrap();
    assert_eq!(compiles(Some(&dir)), 1);
    // A link is not followed.
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
    assert_eq!(compiles(Some(&dir)), 1);
    // A broken key is replaced, and with it everything.
    std::fs::write(dir.join("key"), "short").unwrap();
    assert_eq!(compiles(Some(&dir)), 1);
    assert_eq!(compiles(Some(&dir)), 0);
}

fn without_a_usable_directory_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let open = dir.path().join("open");
    std::fs::create_dir(&open).unwrap();
    set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for unusable in [&open, &file, &file.join("below")] {
        assert_eq!(compiles(Some(unusable)), 1);
        assert_eq!(compiles(Some(unusable)), 1);
    }
    // A directory that goes away later.
    let gone = dir.path().join("gone");
    let engine = engine(Some(&gone));
    std::fs::remove_dir_all(&gone).unwrap();
    engine.load(&Guest::default().wasm(), Grants::default(), &Limits::default()).unwrap();
}

/// Register allocation over many values that all live to the end is what makes it explode.
fn a_compile_bomb_ends_at_its_limits() {
    let bomb = bomb();
    let engine = engine(None);
    let started = std::time::Instant::now();
    let error = engine.load(&bomb, Grants::default(), &Limits::default()).unwrap_err();
    println!("  {} bytes, {:?}: {error}", bomb.len(), started.elapsed());
    assert!(matches!(error, LoadError::CompileLimits(_)), "{error}");
}

/// A small module that costs Cranelift minutes.
fn bomb() -> Vec<u8> {
    let locals = "i32 ".repeat(10_000);
    let mut body = String::new();
    for n in 0..3_000 {
        let (a, b) = (n * 7 % 10_000, n * 13 % 10_000);
        body.push_str(&format!(
            "(if (i32.load8_u (local.get {a})) (then (local.set {b} (i32.add (local.get {a}) (local.get {b})))))\n"
        ));
    }
    let code = format!(
        "(func (local {locals}) (loop $again {body} (br_if $again (local.get 5)))) {}",
        guests::CHAMELEON
    );
    Guest { code: &code, ..Guest::default() }.wasm()
}

fn a_compiler_that_does_not_start() {
    let compiler = Compiler::Child { exe: "/nowhere/compiler".into(), args: Vec::new() };
    let engine = Engine::new(EngineConfig::new(compiler)).unwrap();
    let wasm = Guest::default().wasm();
    let error = engine.load(&wasm, Grants::default(), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("does not start"), "{error}");
}

fn what_the_binary_carries_is_not_compiled() {
    let wasm = Guest::default().wasm();
    let mut other = Guest::default();
    other.describe["version"] = json!("9");
    let other = other.wasm();
    let code: &[u8] = precompile(&wasm).unwrap().leak();
    assert!(is_precompiled(code, &wasm) && !is_precompiled(code, &other));
    let compiles = |code: &'static [u8], wasm: &[u8], memory_reservation| {
        let carried: &'static [&'static [u8]] = vec![code].leak();
        let config = EngineConfig::new(Compiler::InProcess);
        let engine = Engine::new(EngineConfig { carried, memory_reservation, ..config }).unwrap();
        let plugin = engine.load(wasm, Grants::default(), &Limits::default()).unwrap();
        let configured = plugin.configure("stage", &json!({})).unwrap();
        assert_eq!(run(&mut configured.open().unwrap(), &["p"]), [Verdict::Pass]);
        engine.compiles()
    };
    assert_eq!(compiles(code, &wasm, MEMORY_RESERVATION), 0);
    // Of another module, for another reservation, cut, or of another version of the format.
    assert_eq!(compiles(code, &other, MEMORY_RESERVATION), 1);
    assert_eq!(compiles(code, &wasm, 64 << 20), 1);
    assert_eq!(compiles(&code[..code.len() / 2], &wasm, MEMORY_RESERVATION), 1);
    assert_eq!(compiles(&code[1..], &wasm, MEMORY_RESERVATION), 1);
}
