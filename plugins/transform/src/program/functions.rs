//! The functions that jq programs can call: jaq's own, less what a sandbox has not, and ours in
//! place of some.

use jaq_core::RunPtr;
use jaq_core::native::{Filter, Fun, bome, run, v};
use jaq_json::Val;
use lockgate_plugin::host::{Level, log};

use super::Jq;

/// There is no environment and no local time here; the others are replaced.
const NOT_JAQS: [&str; 6] =
    ["env", "localtime", "strflocaltime", "now", "debug_empty", "stderr_empty"];

/// The native functions.
pub(super) fn functions() -> impl Iterator<Item = Fun<Jq>> {
    jaq_core::funs()
        .chain(jaq_std::funs())
        .chain(jaq_json::funs())
        .filter(|(name, _, _)| !NOT_JAQS.contains(name))
        .chain(own().into_iter().map(run::<Jq>))
}

fn own() -> [Filter<RunPtr<Jq>>; 3] {
    [
        // When the host received the message: a rerun of the same batch has the same time.
        ("now", v(0), |cv| bome(Ok(Val::from(cv.0.data().received_micros as f64 / 1e6)))),
        ("debug_empty", v(0), |cv| {
            log(Level::Debug, &cv.1.to_string());
            Box::new(std::iter::empty())
        }),
        ("stderr_empty", v(0), |cv| {
            log(Level::Info, &cv.1.to_string());
            Box::new(std::iter::empty())
        }),
    ]
}
