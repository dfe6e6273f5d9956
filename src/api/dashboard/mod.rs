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
    ("details.js", SCRIPT, include_str!("details.js")),
    ("dom.js", SCRIPT, include_str!("dom.js")),
    ("format.js", SCRIPT, include_str!("format.js")),
    ("history.js", SCRIPT, include_str!("history.js")),
    ("main.js", SCRIPT, include_str!("main.js")),
    ("rules.js", SCRIPT, include_str!("rules.js")),
    ("settings.js", SCRIPT, include_str!("settings.js")),
    ("transfers.js", SCRIPT, include_str!("transfers.js")),
    ("virtual.js", SCRIPT, include_str!("virtual.js")),
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
