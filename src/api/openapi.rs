//! The router and its OpenAPI document, built together: a route cannot be in one and not in the other.
//!
//! **In**: handlers with a path, a method and a sentence. **Out**: axum's router, and the OpenAPI 3.1 document of
//! `masv-openapi`. The inputs and responses of a call are derived from the handler's type: each argument is an [`Input`], its result an
//! [`Answer`]. The operation id of a call is derived from its method and path by [`operation_id`].
//!
//! What a call refuses though the schemas allow it stands at the end of its description, after `400 if`.
//!
//! To add a route: `routes.get("/things/{id}", things::show, "A thing.")` in `routes/mod.rs`, types with `JsonSchema`,
//! and `UPDATE_DOCS=1 cargo test --lib api::` to regenerate docs/openapi.json.

use std::convert::Infallible;

use axum::extract::{Extension, FromRequestParts, Path, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::sse::Sse;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use axum::{Json, Router};
use masv_openapi::Document;
pub(super) use masv_openapi::{Operation, Schemas};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Value, json};

use super::ApiState;
use super::error::ApiError;
use super::guard::INTENT;
use super::types::ErrorBody;

/// Calls whose operation id is not derived from method and path.
const NAMES: &[(&str, &str, &str)] = &[
    ("POST", "/uploads/portal", "create_portal_upload"),
    ("POST", "/automations/portal_download", "create_download_automation"),
    ("POST", "/automations/upload", "create_upload_automation"),
    ("POST", "/automations/reload", "reload_automations"),
    ("GET", "/automations/explain", "explain_automations"),
    ("GET", "/automations/rules_file", "get_rules_file"),
    ("PUT", "/automations/rules_file", "save_rules_file"),
    ("POST", "/automations/check_rules", "check_rules"),
    ("POST", "/automations/{name}/mark_sent", "mark_automation_sent"),
    ("POST", "/uploads/{id}/resume_without_gone", "resume_upload_without_gone"),
    ("PUT", "/spools/{id}/{number}", "write_spool_file"),
    ("POST", "/login", "sign_in"),
    ("DELETE", "/login", "sign_out"),
    ("POST", "/server/backup", "back_up_server"),
    ("GET", "/events", "stream_events"),
    ("GET", "/openapi.json", "get_openapi"),
];

/// Routes, and their documentation.
pub(super) struct Routes {
    router: Router<ApiState>,
    below: &'static str,
    document: Document,
}

impl Routes {
    pub(super) fn new() -> Self {
        Self { router: Router::new(), below: "", document: Document::new() }
    }

    /// The routes that follow are below this path.
    pub(super) fn below(mut self, path: &'static str) -> Self {
        self.below = path;
        self
    }

    pub(super) fn get<H, T, A>(self, path: &str, handler: H, about: &str) -> Self
    where
        H: Handler<T, ApiState> + Described<A>,
        T: 'static,
    {
        self.on(&Method::GET, MethodFilter::GET, path, handler, about)
    }

    pub(super) fn post<H, T, A>(self, path: &str, handler: H, about: &str) -> Self
    where
        H: Handler<T, ApiState> + Described<A>,
        T: 'static,
    {
        self.on(&Method::POST, MethodFilter::POST, path, handler, about)
    }

    pub(super) fn patch<H, T, A>(self, path: &str, handler: H, about: &str) -> Self
    where
        H: Handler<T, ApiState> + Described<A>,
        T: 'static,
    {
        self.on(&Method::PATCH, MethodFilter::PATCH, path, handler, about)
    }

    pub(super) fn put<H, T, A>(self, path: &str, handler: H, about: &str) -> Self
    where
        H: Handler<T, ApiState> + Described<A>,
        T: 'static,
    {
        self.on(&Method::PUT, MethodFilter::PUT, path, handler, about)
    }

    pub(super) fn delete<H, T, A>(self, path: &str, handler: H, about: &str) -> Self
    where
        H: Handler<T, ApiState> + Described<A>,
        T: 'static,
    {
        self.on(&Method::DELETE, MethodFilter::DELETE, path, handler, about)
    }

    fn on<H, T, A>(mut self, method: &Method, filter: MethodFilter, path: &str, handler: H, about: &str) -> Self
    where
        H: Handler<T, ApiState> + Described<A>,
        T: 'static,
    {
        let below = path;
        let path = format!("{}{below}", self.below);
        let tag = below.split('/').find(|word| !word.is_empty()).filter(|_| !self.below.is_empty()).unwrap_or("agent");
        let id = operation_id(method.as_str(), below);
        let mut operation = Operation::new(&path, &id, tag, about);
        if method == Method::DELETE {
            operation.header(INTENT, "string", true, "Any value: confirms that the request is intended.");
        }
        H::describe(&mut operation, &mut self.document.schemas);
        if let Some((_, when)) = about.split_once("400 if ") {
            operation.refuses::<ErrorBody>(400, &format!("If {when}"), &mut self.document.schemas);
        }
        self.document.insert(method.as_str(), &path, operation);
        self.router = self.router.route(&path, on(filter, handler));
        self
    }

    /// A page for people, not in the document.
    pub(super) fn page<H, T>(mut self, path: &str, handler: H) -> Self
    where
        H: Handler<T, ApiState>,
        T: 'static,
    {
        self.router = self.router.route(&format!("{}{path}", self.below), on(MethodFilter::GET, handler));
        self
    }

    /// The router and the document.
    pub(super) fn finish(self) -> (Router<ApiState>, Value) {
        let document = self.document.finish(json!({
            "info": {
                "title": "masv-agent",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "The local API of the agent. Answers are JSON; bodies must be, with that content type. The \
                    `Host` must be a loopback name where the agent listens on loopback, and a foreign `Origin` is refused. \
                    An order without fields has the body `{}`, or no body and the header `X-Masv` with any value. Callers \
                    other than the agent's own user and root bring its token with every call but `/healthz` and `/readyz`.",
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "servers": [{ "url": "http://localhost:8080" }],
            "security": [{}, { "token": [] }],
            "components": {
                "securitySchemes": { "token": {
                    "type": "http", "scheme": "bearer", "description": "The content of --token-file, or else of api.token in the agent's data directory.",
                } },
            },
        }));
        (self.router, document)
    }
}

/// The operation id of a call, such as `list_uploads`, `get_upload`, `pause_upload`, `set_workers`.
fn operation_id(method: &str, path: &str) -> String {
    if let Some((.., name)) = NAMES.iter().find(|(one, other, _)| (*one, *other) == (method, path)) {
        return (*name).to_owned();
    }
    let (of_settings, below) = path.strip_prefix("/settings").map_or((false, path), |below| (true, below));
    let words: Vec<&str> = below.split('/').filter(|word| !word.is_empty()).collect();
    let (nouns, one): (Vec<&str>, bool) =
        (words.iter().copied().filter(|word| !word.starts_with('{')).collect(), path.contains('{'));
    let (first, rest) = nouns.split_first().map_or(("", &[][..]), |(first, rest)| (*first, rest));
    let singular = |noun: &str| noun.strip_suffix('s').unwrap_or(noun).to_owned();
    let what = if one { singular(first) } else { first.to_owned() };
    match (method, rest) {
        ("GET", []) if one || !first.ends_with('s') || of_settings || matches!(first, "metrics") => {
            format!("get_{what}")
        }
        ("GET", []) => format!("list_{what}"),
        ("GET", rest) => format!("get_{what}_{}", rest.join("_")),
        ("POST", []) if of_settings => format!("set_{what}"),
        ("POST", []) => format!("create_{}", singular(first)),
        ("POST", [more]) if more.ends_with('s') => format!("create_{what}_{}", singular(more)),
        ("POST", rest) => format!("{}_{what}", rest.join("_")),
        ("PATCH", _) => format!("change_{what}"),
        ("DELETE", _) => format!("remove_{what}"),
        (method, _) => format!("{}_{}", method.to_lowercase(), nouns.join("_")),
    }
}

/// A handler that can be documented.
pub(super) trait Described<A> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas);
}

/// An argument of a handler.
pub(super) trait Input {
    fn describe(_operation: &mut Operation, _schemas: &mut Schemas) {}
}

/// A handler's result.
pub(super) trait Answer {
    fn describe(operation: &mut Operation, schemas: &mut Schemas);
}

macro_rules! described {
    ($($argument:ident),*) => {
        impl<F, Future, $($argument),*> Described<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Future,
            Future: std::future::Future,
            Future::Output: Answer,
            $($argument: Input),*
        {
            fn describe(operation: &mut Operation, schemas: &mut Schemas) {
                $($argument::describe(operation, schemas);)*
                Future::Output::describe(operation, schemas);
            }
        }
    };
}
described!();
described!(A);
described!(A, B);
described!(A, B, C);
described!(A, B, C, D);

impl<T> Input for State<T> {}
impl<T> Input for Extension<T> {}
// Its name is in the path of the route.
impl<T> Input for Path<T> {}

/// Documents a JSON body without additional fields.
pub(super) fn takes<T: JsonSchema>(operation: &mut Operation, schemas: &mut Schemas) {
    let mut schema: Schema = schemas.taken::<T>();
    if schema.get("properties").is_some() {
        schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    operation.takes(schema);
}

/// The header by which a reader of events resumes where it stopped.
pub(super) struct LastEventId(pub(super) Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let value = parts.headers.get("last-event-id").and_then(|value| value.to_str().ok());
        Ok(Self(value.and_then(|text| text.parse().ok())))
    }
}

impl Input for LastEventId {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        let about = "Resume after this event; without it, only new events are sent.";
        operation.header("Last-Event-ID", "integer", false, about);
    }
}

impl<T: JsonSchema> Answer for Json<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let schema = schemas.answered::<T>();
        operation.answers(200, Some(("application/json", schema.to_value())));
    }
}

/// 201: the created object.
pub(super) struct Created<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

impl<T: JsonSchema> Answer for Created<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let schema = schemas.answered::<T>();
        operation.answers(201, Some(("application/json", schema.to_value())));
    }
}

/// 204: done, no content.
pub(super) struct Done;

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl Answer for Done {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answers(204, None);
    }
}

/// 202: accepted.
pub(super) struct Begun;

impl IntoResponse for Begun {
    fn into_response(self) -> Response {
        StatusCode::ACCEPTED.into_response()
    }
}

impl Answer for Begun {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answers(202, None);
    }
}

impl Answer for &'static str {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answers(200, Some(("text/plain", json!({ "type": "string" }))));
    }
}

impl<S> Answer for Sse<S> {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answers(200, Some(("text/event-stream", json!({ "type": "string" }))));
    }
}

impl<A: Answer> Answer for Result<A, ApiError> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        A::describe(operation, schemas);
        operation.fails_with::<ErrorBody>(schemas);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: the calls are named `list_uploads` and `get_upload`, not `get_uploads_id`.
    #[test]
    fn calls_have_the_names_that_somebody_would_give_them() {
        for (method, path, name) in [
            ("GET", "/uploads", "list_uploads"),
            ("POST", "/uploads", "create_upload"),
            ("DELETE", "/uploads", "remove_uploads"),
            ("GET", "/uploads/{id}", "get_upload"),
            ("PATCH", "/uploads/{id}", "change_upload"),
            ("POST", "/uploads/pause", "pause_uploads"),
            ("POST", "/uploads/{id}/pause", "pause_upload"),
            ("POST", "/uploads/{id}/files", "create_upload_file"),
            ("GET", "/automations/{name}/history", "get_automation_history"),
            ("GET", "/settings/workers", "get_workers"),
            ("POST", "/settings/workers", "set_workers"),
            ("POST", "/automations/reload", "reload_automations"),
            ("GET", "/server", "get_server"),
            ("GET", "/server/settings", "get_server_settings"),
            ("GET", "/healthz", "get_healthz"),
        ] {
            assert_eq!(operation_id(method, path), name, "{method} {path}");
        }
    }
}
