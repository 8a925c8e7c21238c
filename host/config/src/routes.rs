//! Routes: what the stages may do against what the pipeline declares. Only the plugins know the
//! former, once they have read their settings.

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::{OnError, PipelineSpec};
use crate::suggest::way_out;

/// What a stage's plugin says about its settings.
#[derive(Clone, Debug, Default)]
pub struct StageRoutes {
    /// The routes that it may name.
    pub routes: Vec<String>,
    /// Whether a message can come out of it to the next stage.
    pub unrouted: bool,
}

/// The route for messages that come out of the last stage.
const DEFAULT: &str = "default";

/// Judges the routes of a pipeline. `stages` are in the order of `spec.stages`.
pub fn validate_routes(spec: &PipelineSpec, stages: &[StageRoutes]) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    // Whether a message can get to the stage at hand, and at last out of the chain.
    let mut reachable = true;
    let mut used: Vec<&str> = Vec::new();
    for (stage, says) in spec.stages.iter().zip(stages) {
        if !reachable {
            let message = format!("no message reaches the stage `{}`", stage.name);
            let help = "every message leaves the chain at a stage before it";
            diagnostics
                .push(stage.section.diagnostic(Code::UnreachableStage, "name", message).help(help));
        }
        for route in &says.routes {
            used.push(route);
            if spec.route(route).is_none() {
                diagnostics.push(undeclared(spec, stage, route));
            }
        }
        reachable &= says.unrouted || stage.on_error == OnError::Pass;
    }
    if reachable {
        used.push(DEFAULT);
        if spec.route(DEFAULT).is_none() {
            diagnostics.push(unrouted(spec));
        }
    }
    for route in spec.routes.iter().filter(|route| !used.contains(&route.name.as_str())) {
        let message = format!("no message reaches the route `{}`", route.name);
        diagnostics.push(Diagnostic::new(Code::UnusedRoute, message).at(route.place.clone()));
    }
    Diagnostic::sort(&mut diagnostics);
    diagnostics
}

fn undeclared(spec: &PipelineSpec, stage: &crate::StageSpec, route: &str) -> Diagnostic {
    let message =
        format!("stage `{}` names the route `{route}`, which is not declared", stage.name);
    let known = spec.routes.iter().map(|route| route.name.as_str());
    let help = if spec.routes.is_empty() {
        format!("declare it: `[route.{route}]`")
    } else {
        format!("declare it with `[route.{route}]`; {}", way_out(route, known))
    };
    Diagnostic::new(Code::UndeclaredRoute, message).at(stage.route_place(route)).help(help)
}

fn unrouted(spec: &PipelineSpec) -> Diagnostic {
    let message = match spec.stages.last() {
        Some(last) => {
            format!("a message can come out of the last stage, `{}`, with no route", last.name)
        }
        None => "there is no stage, so every message comes out with no route".to_owned(),
    };
    let place = match spec.stages.last() {
        Some(last) => last.section.place("name"),
        None => spec.section.place("name"),
    };
    Diagnostic::new(Code::MayLeaveUnrouted, message)
        .at(place)
        .help("declare where such a message goes: `[route.default]`")
}
