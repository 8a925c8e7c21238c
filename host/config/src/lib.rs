//! Host and pipeline TOML: parse, validate, diagnose
