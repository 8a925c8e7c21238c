//! The plugin sandbox; the only crate that names wasmtime
