//! Exit codes, as the README and `--help` promise them.

use std::process::ExitCode;

/// Done, or drained cleanly after a signal.
pub(crate) const OK: ExitCode = ExitCode::SUCCESS;

/// Something failed on the way.
pub(crate) fn failed() -> ExitCode {
    ExitCode::from(1)
}

/// Bad usage or configuration: nothing was started.
pub(crate) fn bad_input() -> ExitCode {
    ExitCode::from(2)
}
