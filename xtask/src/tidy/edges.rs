//! Which crate may depend on what: ARCHITECTURE.md's layers, read off the manifests.
//!
//! `cargo deny` guards the same for dependencies of dependencies, where it is installed.

use super::Text;

/// A dependency and the only manifests that may name it. A dependency of tests alone is free.
const ONLY: [(&str, &[&str]); 5] = [
    ("wasmtime", &["host/engine"]),
    ("lapin", &["host/transport-amqp"]),
    ("redb", &["host/state"]),
    ("redis", &["host/state"]),
    ("anyhow", &["host/daemon", "xtask", "tests", "plugins/spam-check/trainer", "fuzz"]),
];

/// Crates that know neither how a plugin is run nor how a broker speaks.
const PURE: [&str; 4] = ["host/message", "host/config", "host/transport", "host/pipeline"];

/// What those crates may not name.
const IMPURE: [&str; 4] =
    ["lockgate-engine", "lockgate-state", "lockgate-transport-amqp", "lockgate-daemon"];

pub(super) fn check(text: &Text) -> Vec<String> {
    let Some(folder) = text.path.to_str().and_then(|path| path.strip_suffix("/Cargo.toml")) else {
        return Vec::new();
    };
    let mut wrong = Vec::new();
    for name in dependencies(&text.content) {
        let allowed = ONLY.iter().find(|(only, _)| *only == name);
        if allowed.is_some_and(|(_, folders)| !folders.contains(&folder)) {
            wrong.push(format!("may not depend on `{name}`"));
        }
        if PURE.contains(&folder) && IMPURE.contains(&name) {
            wrong.push(format!("may not depend on `{name}`: it knows no engine and no broker"));
        }
    }
    wrong
}

/// Names under `[dependencies]` and `[build-dependencies]`, in either notation.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            let (_, name) = table.split_once("dependencies").unwrap_or((table, "-"));
            let tests = table.contains("dev-dependencies");
            inside = name.is_empty() && !tests;
            if let Some(name) = name.strip_prefix('.').filter(|_| !tests) {
                names.push(name);
            }
        } else if inside && let Some((name, _)) = line.split_once(['.', '=']) {
            names.push(name.trim());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::{Text, check};

    #[test]
    fn only_the_allowed_edges_pass() {
        let cases = [
            ("host/engine", "[dependencies]\nwasmtime.workspace = true\n", 0),
            ("host/daemon", "[dependencies]\nwasmtime = \"48\"\n", 1),
            ("host/daemon", "[dependencies.lapin]\nversion = \"4\"\n", 1),
            ("host/daemon", "[build-dependencies]\nlapin = \"4\"\n", 1),
            ("host/config", "[dependencies]\nanyhow = \"1\"\n", 1),
            ("host/config", "[dev-dependencies]\nanyhow = \"1\"\n[features]\nlapin = []\n", 0),
            ("host/pipeline", "[dependencies]\nlockgate-engine.workspace = true\n", 1),
        ];
        for (folder, manifest, expected) in cases {
            let text =
                Text { path: format!("{folder}/Cargo.toml").into(), content: manifest.into() };
            assert_eq!(check(&text).len(), expected, "{folder}: {manifest}");
        }
    }
}
