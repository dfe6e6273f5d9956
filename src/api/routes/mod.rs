//! The routes of the API, one file per noun.

mod automations;
mod confined;
mod downloads;
mod events;
mod folders;
mod once;
mod rules_file;
mod rules_text;
mod server;
mod session;
mod settings;
mod spools;
mod transfers;
mod uploads;

pub use server::examine;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::error::ApiError;
use super::guard::{Access, guard, harden};
use super::openapi::{Input, Operation, Routes, Schemas, takes};
use super::{ApiState, dashboard, metrics};

/// The largest body, bytes: a hundred thousand paths.
const LARGEST_BODY: usize = 32 << 20;

/// Every route with its description. A new one needs nothing else except a test in tests/it/openapi.rs.
fn routes() -> Routes {
    Routes::new()
        .below("/api/v1")
        .get("/uploads", transfers::list::<uploads::Uploads>, "Uploads, newest first.")
        .post("/uploads", uploads::create, "Sends files and folders by e-mail, or by link if there are no recipients.\n400 if a path is not absolute, does not exist or cannot be read, a pattern matches nothing or is not valid, or there would be no file, if an address or a size is not valid, or if the team is not known.")
        .delete("/uploads", transfers::remove_many::<uploads::Uploads>, "Removes all uploads in the given states.")
        .post("/uploads/portal", uploads::create_portal, "Sends files and folders to a portal; needs no session.\n400 if a path is not absolute, does not exist or cannot be read, a pattern matches nothing or is not valid, or there would be no file, if an address, a size or the portal's name is not valid.")
        .post("/uploads/pause", transfers::pause_all::<uploads::Uploads>, "Pauses all uploads that are transferring.")
        .post("/uploads/resume", transfers::resume_all::<uploads::Uploads>, "Resumes all paused and failed uploads.")
        .get("/uploads/{id}", transfers::show::<uploads::Uploads>, "One upload, with its files if requested.")
        .patch("/uploads/{id}", uploads::change, "Changes priority, position in the queue, or whether it is finalized automatically.\n400 if nothing is changed.")
        .delete("/uploads/{id}", transfers::remove::<uploads::Uploads>, "Removes an upload.\nAn upload that is not complete is cancelled and its package removed from the cloud; a complete one is removed from the list. Local files are never touched.")
        .post("/uploads/{id}/files", uploads::add_files, "Adds files to an upload that is not complete.\n400 if a path is not absolute, does not exist or cannot be read, a pattern matches nothing or is not valid, or there would be no file.")
        .post("/uploads/{id}/finalize", uploads::finalize, "Finalizes the package: its recipients are notified.\nFinalizing a complete upload changes nothing.")
        .post("/uploads/{id}/pause", transfers::pause::<uploads::Uploads>, "Pauses an upload.")
        .post("/uploads/{id}/resume", transfers::resume::<uploads::Uploads>, "Resumes a paused or failed upload.")
        .post("/uploads/{id}/resume_without_gone", uploads::resume_without_gone, "Resumes a paused or failed upload without the files that no longer exist.\nThey are left out of the package. 400 if no file would be left.")
        .post("/uploads/{id}/links", uploads::create_link, "Creates another link to the package, with a password or e-mailed if requested.\n400 if the address is not valid.")
        .get("/downloads", transfers::list::<downloads::Downloads>, "Downloads, newest first.")
        .post("/downloads", downloads::create, "Downloads the package of a link into a folder.\n400 if the URL is not a link to a package, the folder is not absolute or contains `..`, or the owner cannot be set.")
        .delete("/downloads", transfers::remove_many::<downloads::Downloads>, "Removes all downloads in the given states.")
        .post("/downloads/pause", transfers::pause_all::<downloads::Downloads>, "Pauses all downloads that are transferring.")
        .post("/downloads/resume", transfers::resume_all::<downloads::Downloads>, "Resumes all paused and failed downloads.")
        .get("/downloads/{id}", transfers::show::<downloads::Downloads>, "One download, with its files if requested.")
        .patch("/downloads/{id}", downloads::change, "Changes the priority.")
        .delete("/downloads/{id}", transfers::remove::<downloads::Downloads>, "Removes a download; complete files on disk are kept.")
        .post("/downloads/{id}/pause", transfers::pause::<downloads::Downloads>, "Pauses a download.")
        .post("/downloads/{id}/resume", transfers::resume::<downloads::Downloads>, "Resumes a paused or failed download.")
        .get("/automations", automations::list, "The active rules.")
        .post("/automations/portal_download", rules_file::add_download, "Adds a download rule to the rules file and starts it.\nThe file's comments are kept. 400 if the folder is not absolute or contains `..`, if neither a portal nor `all_portals` is given, or if a value is not valid in a rules file.")
        .post("/automations/upload", rules_file::add_upload, "Adds an upload rule to the rules file and starts it.\nThe file's comments are kept. 400 if the folder is not absolute or contains `..`, or if a value is not valid in a rules file.")
        .post("/automations/reload", automations::reload, "Reloads the rules file.\nAn invalid file is refused with its errors, and the previous rules stay active.")
        .get("/automations/rules_file", rules_text::show, "The text of the rules file, with placeholders for its secrets.")
        .put("/automations/rules_file", rules_text::save, "Saves a changed text as the rules file, comments included, and loads it.\n400 if the text has errors, with their positions; 409 if the file has changed since that version. Variables, programs, `cloud`, `hub` and `template_env` can only be changed in the file itself.")
        .post("/automations/check_rules", rules_text::check, "Checks a changed text of the rules file, without saving it.")
        .get("/automations/explain", automations::explain, "Explains why a file is or is not sent, or a package is or is not downloaded: every test of every relevant rule.\n400 if neither or both of `path` and `package` are given.")
        .post("/automations/dry_run", automations::dry_run, "What would be sent if all files were complete now; nothing is sent.\n400 if the path is not absolute, or is not a rules file that can be used.")
        .get("/automations/{name}", automations::show, "One active rule.")
        .patch("/automations/{name}", rules_file::change, "Changes a rule in the rules file: whether it is enabled, its priority, and for a download rule where packages come from and go.\nThe file's comments are kept, and the change takes effect at once. 400 if nothing is changed, if the rule has no such field, or if a value is not valid in a rules file.")
        .delete("/automations/{name}", rules_file::remove, "Removes a rule from the rules file.\nIts comments are removed with it, and it ends at once. The record of what it transferred is kept.")
        .put("/automations/portal_download/{name}", rules_file::change, "Changes a download rule in the rules file; omitted fields stay as they are.\nThe same as PATCH of the rule. 400 if nothing is changed, if the rule has no such field, or if a value is not valid in a rules file.")
        .post("/automations/{name}/run", automations::run, "Packages what is ready now, regardless of the schedule; a download rule checks the whole inbox.")
        .post("/automations/{name}/pause", automations::pause, "Pauses a rule, or `all`.")
        .post("/automations/{name}/resume", automations::resume, "Resumes a paused rule, or `all`.")
        .post("/automations/{name}/accept_folder", automations::accept_folder, "Accepts what is at the path of an upload rule's folder as the rule's own, although it is on another file system than before.\nFiles that were there before and are not there now count as removed. 400 if it is a download rule.")
        .get("/automations/{name}/history", automations::history, "Uploads or downloads that a rule created, newest first.")
        .post("/automations/{name}/forget", automations::forget, "Forgets that a path, a package, or everything was transferred: what is still there is transferred again.\n400 if not exactly one of `path` (for a download rule, `package`) and `all` is given, or if the path is not in the rule's folder.")
        .post("/automations/{name}/mark_sent", automations::mark_sent, "Marks a path, a package, or everything as transferred.\n400 if not exactly one of `path` (for a download rule, `package`) and `all` is given, or if the path is not in the rule's folder.")
        .get("/login", session::show, "Who is signed in.")
        .post("/login", session::sign_in, "Signs in to the cloud.")
        .delete("/login", session::sign_out, "Signs out.")
        .get("/teams", session::teams, "The teams of the signed-in user.")
        .get("/settings/upload_rate_limit", settings::rate_limit, "The bandwidth limit shared by all uploads.")
        .post("/settings/upload_rate_limit", settings::set_rate_limit, "Sets the bandwidth limit shared by all uploads.\n400 if it is enabled without a rate, or if a time of the schedule is not valid.")
        .get("/settings/download_rate_limit", settings::download_rate_limit, "The bandwidth limit shared by all downloads.")
        .post("/settings/download_rate_limit", settings::set_download_rate_limit, "Sets the bandwidth limit shared by all downloads.\n400 if it is enabled without a rate, or if a time of the schedule is not valid.")
        .get("/settings/workers", settings::workers, "How many parts may be in flight at once.")
        .post("/settings/workers", settings::set_workers, "Sets how many parts may be in flight at once.\n400 if nothing is named that is changed: `auto: false` alone needs a number.")
        .get("/settings/open_files", settings::open_files, "How many files may be read at once, across all uploads.")
        .post("/settings/open_files", settings::set_open_files, "Sets how many files may be read at once.")
        .get("/settings/disk_readers", settings::disk_readers, "How many parts may be read at once from each disk.")
        .post("/settings/disk_readers", settings::set_disk_readers, "Sets how many parts may be read at once from each disk.")
        .get("/settings/fifo_mode", settings::fifo_mode, "How many uploads and downloads run at once.")
        .post("/settings/fifo_mode", settings::set_fifo_mode, "Sets how many uploads or downloads run at once.\n400 if nothing is named, or if counts are given with `enabled: false`.")
        .post("/spools", spools::begin, "Announces files that are to be received from a browser; nothing is sent before they are ordered as an upload.\n400 if a path is not relative, or there are too many files; 507 if there is no room for them.")
        .get("/spools/{id}", spools::show, "What was received of announced files, to go on after a lost connection.")
        .put("/spools/{id}/{number}", spools::write, "Adds a piece to a file that is being received, of at most 32 MiB.\n400 if the file would get larger than announced; 409 if the piece does not begin where the file ends.")
        .delete("/spools/{id}", spools::remove, "Removes what was received, unless its upload was ordered.")
        .get("/folders", folders::list, "Files and folders of the agent's machine below the allowed roots, to choose from; without a path, the folders to begin at.\n400 if the path is not absolute, cannot be read, or is outside the allowed roots.")
        .get("/events", events::stream, "Events as they happen, as server-sent events.\nEach has an id to resume from, a kind such as `upload.complete`, and as data `{\"at\", \"upload_id\", \"rule\", \"data\"}`.")
        .get("/server", server::status, "The agent's version, process, cloud and rules file.")
        .post("/server/stop", server::stop, "Stops the agent; transfers in flight resume at the next start.")
        .get("/server/settings", server::settings, "The settings in force, each with its source.")
        .post("/server/backup", server::backup, "Copies the agent's state to a new file.\nThe agent writes it, as its own user. 400 if the path is not absolute, or cannot be written.")
        .get("/doctor", server::doctor, "Checks for problems that keep the agent from working.")
        .get("/openapi.json", document, "This document.")
        .below("")
        .get("/healthz", alive, "Whether the process is running. Needs no token.")
        .page("/", dashboard::page)
        .page("/dashboard/{file}", dashboard::file)
        .page("/dashboard/docs/{file}", dashboard::document)
        .get("/readyz", server::ready, "Whether the agent can work. Needs no token.")
        .get("/metrics", metrics::show, "Metrics in the OpenMetrics format.")
}

pub(super) fn router(state: ApiState, access: Access, stop: &CancellationToken) -> Router {
    let (router, document) = routes().finish();
    router
        .fallback(|| async { ApiError::new(StatusCode::NOT_FOUND, "there is no such route") })
        .method_not_allowed_fallback(|| async { ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed") })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn_with_state(access, guard))
        .layer(from_fn(harden))
        .layer(Extension(stop.clone()))
        // As text: as a value it needs six times the memory, and hardly anybody asks for it.
        .layer(Extension(DocumentText(document.to_string().into())))
        .with_state(state)
}

async fn alive() -> &'static str {
    "ok\n"
}

/// The document of the API.
#[derive(Clone)]
struct DocumentText(Arc<str>);

async fn document(Extension(DocumentText(document)): Extension<DocumentText>) -> Json<Value> {
    // It was a value before it was a text.
    Json(serde_json::from_str(&document).unwrap_or_default())
}

/// A JSON body in which unknown fields are errors: a misspelt `password` must not send a package without one.
/// Errors are in the API's own format.
struct Body<T>(T);

impl<S: Send + Sync, T: DeserializeOwned + JsonSchema> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(|rejection| {
            ApiError::new(rejection.status(), "the body cannot be read, or is too large").into_response()
        })?;
        read(&bytes).map(Self).map_err(IntoResponse::into_response)
    }
}

impl<T: JsonSchema> Input for Body<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        takes::<T>(operation, schemas);
    }
}

/// The query parameters of a call. A repeated key is the same as a comma-separated one, as generated clients send lists; errors are
/// in the API's own format.
struct Query<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        read_query(parts.uri.query().unwrap_or_default()).map(Self).map_err(IntoResponse::into_response)
    }
}

impl<T: JsonSchema> Input for Query<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        operation.query::<T>(schemas);
    }
}

fn read_query<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        values
            .entry(name.into_owned())
            .and_modify(|known| *known += &format!(",{value}"))
            .or_insert(value.into_owned());
    }
    let joined = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(values).finish();
    let wrong = |error: &dyn std::fmt::Display| ApiError::bad(format!("the query is not valid: {error}"));
    let uri: Uri = format!("/?{joined}").parse().map_err(|error| wrong(&error))?;
    let read = axum::extract::Query::try_from_uri(&uri).map_err(|rejection| wrong(&rejection.body_text()))?;
    Ok(read.0)
}

/// The body of a request that has no fields: `{}`, or none.
struct NoFields;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Empty {}

impl<S: Send + Sync> FromRequest<S> for NoFields {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        Body::<Empty>::from_request(request, state).await.map(|_| Self)
    }
}

impl Input for NoFields {
    fn describe(operation: &mut Operation, schemas: &mut Schemas) {
        takes::<Empty>(operation, schemas);
    }
}

fn read<T: DeserializeOwned + JsonSchema>(bytes: &[u8]) -> Result<T, ApiError> {
    let wrong = |error: serde_json::Error| ApiError::bad(format!("the body is not valid: {error}"));
    let text: &[u8] = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { bytes };
    let mut body: Value = serde_json::from_slice(text).map_err(wrong)?;
    whole_numbers(&mut body);
    let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
    let schema = generator.into_root_schema_for::<T>();
    if let (Some(body), Some(known)) = (body.as_object(), schema.get("properties").and_then(Value::as_object)) {
        let unknown = body.keys().filter(|key| !known.contains_key(*key));
        let unknown: BTreeMap<String, String> =
            unknown.map(|key| (key.clone(), "there is no such field".to_owned())).collect();
        if !unknown.is_empty() {
            return Err(ApiError::fields(unknown));
        }
    }
    serde_json::from_value(body).map_err(wrong)
}

/// In JSON, `3.0` and `3` are the same number, and some clients write the one for the other.
fn whole_numbers(value: &mut Value) {
    /// Above this, a floating-point number does not say which whole number is meant.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|_| number.is_f64())
                && float.fract() == 0.0
                && float.abs() <= EXACT
                && let Ok(whole) = format!("{float:.0}").parse::<i64>()
            {
                *value = whole.into();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::{NewUpload, OpenFiles};

    #[test]
    fn the_document_is_in_docs() {
        let (_, document) = routes().finish();
        let text = format!("{document:#}\n");
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == text, "docs/openapi.json is old: run `UPDATE_DOCS=1 cargo test --lib api::`");
    }

    /// Case: nothing in the document is of a kind that generators of clients do not understand.
    #[test]
    fn generators_of_clients_understand_the_document() {
        assert_eq!(masv_openapi::problems(&routes().finish().1), Vec::<String>::new());
    }

    /// Case: a query that is not valid is refused in the form of every refusal.
    #[test]
    fn a_query_is_read_however_a_list_is_written_and_refused_in_our_words() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Given {
            #[serde(default)]
            states: String,
            limit: Option<u32>,
        }
        let states = |query: &str| read_query::<Given>(query).unwrap().states;
        assert_eq!((states("states=a,b"), states("states=a&limit=1&states=b%26c")), ("a,b".into(), "a,b&c".into()));
        assert_eq!(states(""), "");
        let error = format!("{:?}", read_query::<Given>("limit=99999999999").unwrap_err());
        assert!(error.contains("the query is not valid"), "{error}");
    }

    #[test]
    fn no_route_goes_past_the_document() {
        for source in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/routes")).unwrap() {
            let source = source.unwrap().path();
            let text = std::fs::read_to_string(&source).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            assert!(
                !code.contains(".route(") && !code.contains(".nest("),
                "{}: add routes as `.get(\"/path\", noun::handler, \"What it is for.\")` to `routes()`, so that they are \
                 in the OpenAPI document too",
                source.display()
            );
        }
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        for text in ["3", "3.0", "3e0", "30e-1"] {
            let read = read::<OpenFiles>(format!(r#"{{"open_files": {text}}}"#).as_bytes());
            assert_eq!(read.unwrap().open_files, 3, "{text}");
        }
        for text in ["3.5", "-1.0", "1e300", "\"3\""] {
            assert!(read::<OpenFiles>(format!(r#"{{"open_files": {text}}}"#).as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_call_refuses_beyond_its_schemas_is_a_response_of_its_own() {
        let (_, document) = routes().finish();
        let refused =
            |path: &str, method: &str| document["paths"][path][method]["responses"]["400"]["description"].clone();
        assert_eq!(
            refused("/api/v1/settings/fifo_mode", "post"),
            "If nothing is named, or if counts are given with `enabled: false`."
        );
        assert_eq!(refused("/api/v1/settings/fifo_mode", "get"), Value::Null);
    }

    #[test]
    fn every_order_has_a_body() {
        let (_, document) = routes().finish();
        for (path, calls) in document["paths"].as_object().unwrap() {
            for (method, call) in calls.as_object().unwrap() {
                let order = matches!(method.as_str(), "post" | "put" | "patch");
                assert_eq!(
                    call["requestBody"]["required"] == true,
                    order,
                    "{method} {path}: an order takes a `Body`, or `NoFields`"
                );
            }
        }
    }

    #[test]
    fn a_query_has_no_null() {
        let (_, document) = routes().finish();
        let text = document.to_string();
        assert!(text.contains("\"in\":\"query\""));
        for (path, calls) in document["paths"].as_object().unwrap() {
            for parameter in calls
                .as_object()
                .unwrap()
                .values()
                .flat_map(|call| call["parameters"].as_array().cloned().unwrap_or_default())
            {
                assert!(!parameter["schema"].to_string().contains("null"), "{path}: {parameter}");
            }
        }
    }

    /// Case: an unknown field is refused by its name.
    #[test]
    fn a_field_that_would_be_passed_over_is_refused() {
        assert!(read::<NewUpload>(br#"{"paths": ["/a"], "password": "x"}"#).is_ok());
        let error = format!("{:?}", read::<NewUpload>(br#"{"paths": [], "pasword": "x", "team": 1}"#).unwrap_err());
        assert!(error.contains("pasword") && error.contains("team"), "{error}");
    }
}
