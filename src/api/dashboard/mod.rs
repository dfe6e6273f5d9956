//! The dashboard: one page that uses the same API as any client.
//!
//! **In**: GET `/` and the files it references. **Out**: the files in this folder, embedded; nothing is built and no other host is
//! contacted. **Guarantees.** The page runs only its own scripts and sends nothing elsewhere (Content-Security-Policy);
//! names of files and people enter it only as text. It contains no secret, so it is served without a token, which it
//! then asks for.
//!
//! One concern per file: `main.js` assembles the views, `api.js` makes calls and follows events, `virtual.js` keeps only
//! visible rows in the page.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::ApiError;

/// The path of the page's files.
pub(super) const FOLDER: &str = "/dashboard/";

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: &[(&str, &str, &str)] = &[
    ("dashboard.css", "text/css; charset=utf-8", include_str!("dashboard.css")),
    ("icon.svg", "image/svg+xml", include_str!("icon.svg")),
    ("api.js", SCRIPT, include_str!("api.js")),
    ("chooser.js", SCRIPT, include_str!("chooser.js")),
    ("csv.js", SCRIPT, include_str!("csv.js")),
    ("details.js", SCRIPT, include_str!("details.js")),
    ("dom.js", SCRIPT, include_str!("dom.js")),
    ("edit.js", SCRIPT, include_str!("edit.js")),
    ("format.js", SCRIPT, include_str!("format.js")),
    ("history.js", SCRIPT, include_str!("history.js")),
    ("keys.js", SCRIPT, include_str!("keys.js")),
    ("known.js", SCRIPT, include_str!("known.js")),
    ("main.js", SCRIPT, include_str!("main.js")),
    ("notices.js", SCRIPT, include_str!("notices.js")),
    ("orders.js", SCRIPT, include_str!("orders.js")),
    ("qr.js", SCRIPT, include_str!("qr.js")),
    ("reader.js", SCRIPT, include_str!("reader.js")),
    ("row.js", SCRIPT, include_str!("row.js")),
    ("rules.js", SCRIPT, include_str!("rules.js")),
    ("selection.js", SCRIPT, include_str!("selection.js")),
    ("send.js", SCRIPT, include_str!("send.js")),
    ("settings.js", SCRIPT, include_str!("settings.js")),
    ("transfer.js", SCRIPT, include_str!("transfer.js")),
    ("transfers.js", SCRIPT, include_str!("transfers.js")),
    ("spool.js", SCRIPT, include_str!("spool.js")),
    ("trouble.js", SCRIPT, include_str!("trouble.js")),
    ("virtual.js", SCRIPT, include_str!("virtual.js")),
];

/// The documentation, for machines without a connection to anything else.
const DOCUMENTS: &[(&str, &str)] = &[
    ("README.md", include_str!("../../../docs/README.md")),
    ("architecture.md", include_str!("../../../docs/architecture.md")),
    ("backup.md", include_str!("../../../docs/backup.md")),
    ("cli.md", include_str!("../../../docs/cli.md")),
    ("cloud.md", include_str!("../../../docs/cloud.md")),
    ("dashboard.md", include_str!("../../../docs/dashboard.md")),
    ("downloads.md", include_str!("../../../docs/downloads.md")),
    ("errors.md", include_str!("../../../docs/errors.md")),
    ("fleet.md", include_str!("../../../docs/fleet.md")),
    ("hub-scale.md", include_str!("../../../docs/hub-scale.md")),
    ("hub.md", include_str!("../../../docs/hub.md")),
    ("install.md", include_str!("../../../docs/install.md")),
    ("migration.md", include_str!("../../../docs/migration.md")),
    ("monitoring.md", include_str!("../../../docs/monitoring.md")),
    ("performance.md", include_str!("../../../docs/performance.md")),
    ("protocol.md", include_str!("../../../docs/protocol.md")),
    ("receive-from-a-portal.md", include_str!("../../../docs/receive-from-a-portal.md")),
    ("reliability.md", include_str!("../../../docs/reliability.md")),
    ("rest.md", include_str!("../../../docs/rest.md")),
    ("rules.md", include_str!("../../../docs/rules.md")),
    ("s3.md", include_str!("../../../docs/s3.md")),
    ("security.md", include_str!("../../../docs/security.md")),
    ("service.md", include_str!("../../../docs/service.md")),
    ("settings.md", include_str!("../../../docs/settings.md")),
    ("shares.md", include_str!("../../../docs/shares.md")),
    ("tutorial.md", include_str!("../../../docs/tutorial.md")),
    ("uploads.md", include_str!("../../../docs/uploads.md")),
    ("web-app.md", include_str!("../../../docs/web-app.md")),
    ("webhooks.md", include_str!("../../../docs/webhooks.md")),
];

/// A file of the page.
pub(super) struct Asset {
    kind: &'static str,
    text: &'static str,
}

impl IntoResponse for Asset {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            // An upgraded agent has a new page.
            (header::CACHE_CONTROL, "no-cache"),
        ];
        (headers, self.text).into_response()
    }
}

pub(super) async fn page() -> Asset {
    Asset { kind: "text/html; charset=utf-8", text: include_str!("index.html") }
}

pub(super) async fn file(Path(name): Path<String>) -> Result<Asset, ApiError> {
    let found = FILES.iter().find(|(known, ..)| *known == name);
    found
        .map(|&(_, kind, text)| Asset { kind, text })
        .ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "the dashboard has no such file"))
}

/// A page of the documentation, or the list of all of them.
pub(super) async fn document(Path(name): Path<String>) -> Result<Asset, ApiError> {
    let found = DOCUMENTS.iter().find(|(known, _)| *known == name);
    found
        .map(|&(_, text)| Asset { kind: "text/markdown; charset=utf-8", text })
        .ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "the documentation has no such page"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_given_and_none_names_another_host() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/dashboard");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".rs") || name == "index.html" {
                continue;
            }
            assert!(FILES.iter().any(|(known, ..)| *known == name), "{name} is not in FILES");
        }
        let all = FILES.iter().map(|(.., text)| *text).chain([include_str!("index.html")]);
        for text in all {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("://") && !text.contains("innerHTML") && !text.contains("style=\""));
        }
    }
}
