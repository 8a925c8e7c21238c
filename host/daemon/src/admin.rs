//! The admin listener: health, readiness, metrics and what is running.
//!
//! Loopback by default, where requests with a foreign Host or Origin are refused (a browser can
//! be made to send those); elsewhere a bearer token is required.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::app::App;

/// Who may ask.
pub(crate) struct Access {
    /// Required from everybody when set.
    pub(crate) token: Option<String>,
    pub(crate) loopback: bool,
}

/// What is answered, and to whom.
pub(crate) fn router(app: Arc<App>, access: Access) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/v1/pipelines", get(pipelines))
        .route("/v1/pipelines/{name}", get(pipeline))
        .route("/v1/plugins", get(plugins))
        .with_state(app)
        .layer(from_fn_with_state(Arc::new(access), admit))
}

async fn admit(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match refusal(&access, request.headers()) {
        None => next.run(request).await,
        Some((status, text)) => (status, format!("{text}\n")).into_response(),
    }
}

fn refusal(access: &Access, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    if let Some(token) = &access.token {
        let given = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        if !given.is_some_and(|given| same(given.as_bytes(), token.as_bytes())) {
            return Some((StatusCode::UNAUTHORIZED, "send the admin token as a bearer token"));
        }
    }
    if access.loopback {
        let host = text(header::HOST).map(without_port);
        if !host.is_some_and(is_local) {
            return Some((StatusCode::FORBIDDEN, "foreign Host"));
        }
        // One that is no text is somebody's all the same.
        let origin = headers.get(header::ORIGIN).map(|origin| {
            let origin = origin.to_str().unwrap_or_default();
            without_port(origin.split_once("://").map_or(origin, |(_, authority)| authority))
        });
        if origin.is_some_and(|origin| !is_local(origin)) {
            return Some((StatusCode::FORBIDDEN, "foreign Origin"));
        }
    }
    None
}

/// Compares in a time that does not tell how much is right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let waiting: Vec<String> = app.waiting();
    if waiting.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, waiting.join("\n") + "\n").into_response()
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    match crate::metrics::text(&app) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn pipelines(State(app): State<Arc<App>>) -> Response {
    let all: Vec<_> = app.entries().iter().map(|entry| entry.describe()).collect();
    Json(json!({ "pipelines": all })).into_response()
}

async fn pipeline(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    match app.entries().iter().find(|entry| entry.name == name) {
        Some(entry) => Json(entry.describe()).into_response(),
        None => {
            let error = json!({ "error": format!("no pipeline is named `{name}`") });
            (StatusCode::NOT_FOUND, Json(error)).into_response()
        }
    }
}

async fn plugins(State(app): State<Arc<App>>) -> Response {
    Json(json!({ "plugins": app.describe_plugins() })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(access: &Access, headers: &[(&str, &str)], expected: Option<u16>) {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                let name: header::HeaderName = name.parse().unwrap();
                (name, value.parse().unwrap())
            })
            .collect();
        let refused = refusal(access, &headers).map(|(status, _)| status.as_u16());
        assert_eq!(refused, expected, "{headers:?}");
    }

    #[test]
    fn a_loopback_listener_refuses_foreign_names() {
        let access = Access { token: None, loopback: true };
        check(&access, &[("host", "127.0.0.1:8642")], None);
        check(&access, &[("host", "localhost")], None);
        check(&access, &[("host", "[::1]:8642")], None);
        check(&access, &[("host", "evil.example:8642")], Some(403));
        check(&access, &[("host", "127.evil.example")], Some(403));
        check(&access, &[], Some(403));
        let foreign = [("host", "localhost"), ("origin", "https://evil.example")];
        check(&access, &foreign, Some(403));
        check(&access, &[("host", "localhost"), ("origin", "http://localhost:3000")], None);
    }

    #[test]
    fn an_origin_that_is_no_text_is_foreign() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, header::HeaderValue::from_static("localhost"));
        headers.insert(header::ORIGIN, header::HeaderValue::from_bytes(b"http://\xff").unwrap());
        let access = Access { token: None, loopback: true };
        let refused = refusal(&access, &headers).map(|(status, _)| status);
        assert_eq!(refused, Some(StatusCode::FORBIDDEN));
    }

    #[test]
    fn elsewhere_a_token_is_required() {
        let access = Access { token: Some("secret".into()), loopback: false };
        check(&access, &[("host", "example.com")], Some(401));
        check(&access, &[("authorization", "Bearer secrex")], Some(401));
        check(&access, &[("authorization", "Bearer secret")], None);
    }
}
