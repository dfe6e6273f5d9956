//! The router and the document of it, made in one go: a route can not be in one and not in the other.
//!
//! **In**: handlers with a path, a method and a sentence. **Out**: axum's router, and the OpenAPI 3.1 document. What a
//! call takes and answers is read off the handler's type: each argument is an [`Input`], its result an [`Answer`].
//!
//! To add a route: `routes.get("/things/{id}", things::show, "A thing.")` in `routes/mod.rs`, types with `JsonSchema`,
//! and `UPDATE_DOCS=1 cargo test --lib api::` to write docs/openapi.json anew.

use std::collections::BTreeSet;
use std::convert::Infallible;

use axum::extract::{Extension, FromRequestParts, Path, Query, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::sse::Sse;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use axum::{Json, Router};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::ApiState;
use super::error::ApiError;
use super::guard::INTENT;
use super::types::ErrorBody;

/// Where the document keeps the schemas that have a name.
const SCHEMAS: &str = "/components/schemas";

/// Routes, and what is told of them.
pub(super) struct Routes {
    router: Router<ApiState>,
    below: &'static str,
    paths: Map<String, Value>,
    schemas: Schemas,
}

impl Routes {
    pub(super) fn new() -> Self {
        Self { router: Router::new(), below: "", paths: Map::new(), schemas: Schemas::new() }
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
        let path = format!("{}{path}", self.below);
        let mut operation = Operation::new(method, &path, about);
        H::describe(&mut operation, &mut self.schemas);
        let item = self.paths.entry(path.clone()).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(method.as_str().to_lowercase(), operation.finish());
        }
        self.router = self.router.route(&path, on(filter, handler));
        self
    }

    /// The router and the document.
    pub(super) fn finish(self) -> (Router<ApiState>, Value) {
        let document = json!({
            "openapi": "3.1.0",
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
            "paths": self.paths,
            "components": {
                "schemas": self.schemas.finish(),
                "securitySchemes": { "token": {
                    "type": "http", "scheme": "bearer", "description": "What --token-file holds, or else api.token in the agent's data directory.",
                } },
            },
        });
        (self.router, document)
    }
}

/// Schemas by name. What is taken and what is answered are kept apart: a field with a default may be absent from the
/// one and is always in the other.
pub(super) struct Schemas {
    taken: SchemaGenerator,
    answered: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = SCHEMAS.into();
                settings.meta_schema = None;
            })
        };
        let taken = settings().with(|settings| settings.inline_subschemas = true).for_deserialize();
        Self { taken: taken.into_generator(), answered: settings().for_serialize().into_generator() }
    }

    fn finish(mut self) -> Map<String, Value> {
        self.answered.take_definitions(true)
    }
}

/// What is told of one route.
pub(super) struct Operation {
    told: Map<String, Value>,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
}

impl Operation {
    fn new(method: &Method, path: &str, about: &str) -> Self {
        let words = path.trim_start_matches("/api/v1").split('/').filter(|word| !word.is_empty());
        let words: Vec<&str> = words.map(|word| word.trim_matches(['{', '}'])).collect();
        let id = [&[method.as_str()], words.as_slice()].concat().join("_").replace('.', "_").to_lowercase();
        let tag = if path.starts_with("/api/v1") { words.first().copied().unwrap_or("agent") } else { "agent" };
        let (summary, more) = about.split_once('\n').unwrap_or((about, ""));
        let mut told = Map::from_iter([
            ("operationId".to_owned(), json!(id)),
            ("tags".to_owned(), json!([tag])),
            ("summary".to_owned(), json!(summary)),
        ]);
        if !more.is_empty() {
            told.insert("description".to_owned(), json!(more.trim()));
        }
        let holes = path.split('/').filter_map(|word| word.strip_prefix('{')?.strip_suffix('}'));
        let parameters =
            holes.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
        let mut operation = Self { told, parameters: parameters.collect(), responses: Map::new() };
        if method == Method::DELETE {
            operation.header(INTENT, "string", true, "Any value: says that the order is meant.");
        }
        operation
    }

    fn header(&mut self, name: &str, kind: &str, required: bool, about: &str) {
        let mut header = json!({ "name": name, "in": "header", "schema": { "type": kind }, "description": about });
        if required {
            header["required"] = json!(true);
        }
        self.parameters.push(header);
    }

    pub(super) fn answers(&mut self, status: StatusCode, content: Option<(&str, Value)>) {
        let about = status.canonical_reason().unwrap_or_default();
        let mut response = json!({ "description": about });
        if let Some((kind, schema)) = content {
            response["content"] = json!({ kind: { "schema": schema } });
        }
        self.responses.insert(status.as_u16().to_string(), response);
    }

    fn finish(mut self) -> Value {
        if !self.parameters.is_empty() {
            self.told.insert("parameters".to_owned(), Value::Array(self.parameters));
        }
        self.told.insert("responses".to_owned(), Value::Object(self.responses));
        Value::Object(self.told)
    }
}

/// A handler that can be told of.
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

impl<T: JsonSchema> Input for Query<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let schema = schemas.taken.subschema_for::<T>().to_value();
        let required: BTreeSet<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let mut property = property.clone();
            let about = property.as_object_mut().and_then(|property| property.remove("description"));
            let mut parameter = json!({ "name": name, "in": "query", "schema": property });
            if let Some(about) = about {
                parameter["description"] = about;
            }
            if required.contains(name.as_str()) {
                parameter["required"] = json!(true);
            }
            operation.parameters.push(parameter);
        }
    }
}

/// Tells of a JSON body that may have no fields but these.
pub(super) fn takes<T: JsonSchema>(operation: &mut Operation, schemas: &mut Schemas) {
    let mut schema: Schema = schemas.taken.subschema_for::<T>();
    if schema.get("properties").is_some() {
        schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    operation.told.insert("requestBody".to_owned(), json!({ "content": { "application/json": { "schema": schema } } }));
}

/// The header by which a reader of events goes on where it stopped.
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
        let about = "Go on after this event; without it, with those that come.";
        operation.header("Last-Event-ID", "integer", false, about);
    }
}

impl<T: JsonSchema> Answer for Json<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let schema = schemas.answered.subschema_for::<T>();
        operation.answers(StatusCode::OK, Some(("application/json", schema.to_value())));
    }
}

/// 201: something new, and what it is called.
pub(super) struct Created<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

impl<T: JsonSchema> Answer for Created<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        let schema = schemas.answered.subschema_for::<T>();
        operation.answers(StatusCode::CREATED, Some(("application/json", schema.to_value())));
    }
}

/// 204: done, and nothing to say.
pub(super) struct Done;

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl Answer for Done {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answers(StatusCode::NO_CONTENT, None);
    }
}

/// 202: it will be done.
pub(super) struct Begun;

impl IntoResponse for Begun {
    fn into_response(self) -> Response {
        StatusCode::ACCEPTED.into_response()
    }
}

impl Answer for Begun {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answers(StatusCode::ACCEPTED, None);
    }
}

impl Answer for &'static str {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answers(StatusCode::OK, Some(("text/plain", json!({ "type": "string" }))));
    }
}

impl<S> Answer for Sse<S> {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answers(StatusCode::OK, Some(("text/event-stream", json!({ "type": "string" }))));
    }
}

impl<A: Answer> Answer for Result<A, ApiError> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        A::describe(operation, schemas);
        let schema = schemas.answered.subschema_for::<ErrorBody>();
        operation.responses.insert(
            "default".to_owned(),
            json!({ "description": "No success", "content": { "application/json": { "schema": schema } } }),
        );
    }
}
