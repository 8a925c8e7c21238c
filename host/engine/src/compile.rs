//! Compiling: from a module's bytes to code, in this process or in a child under limits.

mod child;

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) use child::MAX_CODE;
pub use child::compile_child;

use crate::doors::Door;
use crate::error::LoadError;

/// Where modules are compiled.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// In a child process under limits of time and memory: `exe args…` with four more
    /// arguments, which it must hand to [`compile_child`]. For modules of others.
    Child { exe: PathBuf, args: Vec<OsString> },
    /// Here, without limits: for tests, and for embedders that trust their modules.
    InProcess,
}

/// What to compile: a core module or a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Module,
    Component,
}

impl Kind {
    /// Of what is called by this door.
    pub(crate) fn of(door: Door) -> Self {
        if door == Door::Core { Self::Module } else { Self::Component }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Component => "component",
        }
    }

    /// Compiles with this engine's settings, to the bytes that it loads again.
    pub(crate) fn compile(
        self,
        engine: &wasmtime::Engine,
        bytes: &[u8],
    ) -> wasmtime::Result<Vec<u8>> {
        match self {
            Self::Module => engine.precompile_module(bytes),
            Self::Component => engine.precompile_component(bytes),
        }
    }
}

impl Compiler {
    /// Compiles a module that passed the pre-check.
    pub(crate) fn compile(
        &self,
        engine: &wasmtime::Engine,
        memory_reservation: u64,
        kind: Kind,
        bytes: &[u8],
    ) -> Result<Vec<u8>, LoadError> {
        match self {
            Self::Child { exe, args } => child::run(exe, args, memory_reservation, kind, bytes),
            Self::InProcess => kind
                .compile(engine, bytes)
                .map_err(|error| LoadError::of(&error, LoadError::CompileFailed)),
        }
    }
}
