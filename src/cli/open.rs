//! `masv open`: the dashboard in a browser, with the agent's token where the browser needs one.
//!
//! **Guarantees.** The token appears in no process list: a browser that needs it is sent through a page in the agent's data
//! directory, which only its user can read. The dashboard keeps it for its tab and removes it from the address.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use secrecy::ExposeSecret;
use serde_json::json;
use url::Url;

use super::client::Client;
use super::error::{CliError, Exit};
use super::output::Output;
use super::transfers::{find, one};
use crate::api::types::{Server, Upload};

/// The page that redirects the browser.
const PAGE: &str = "open.html";

#[derive(Debug, Args)]
pub(super) struct Open {
    /// An upload whose link to open (its id, the end of its id, or its name); by default, the dashboard is opened.
    id: Option<String>,
    /// Print the address instead of opening a browser. Anyone who has the address has full control of the agent.
    #[arg(long)]
    print: bool,
}

pub(super) async fn run(options: Open, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    let (url, what) = match &options.id {
        Some(id) => (link(id, client).await?, "link"),
        None => (dashboard(client).await?, "dashboard"),
    };
    let browser = if options.print || !std::io::stdout().is_terminal() { None } else { masv_platform::page_opener() };
    let opened = browser.is_some_and(|browser| open(browser, &url, client.data_dir()));
    output.json(&json!({ "url": url.as_str(), "opened": opened }));
    if opened {
        output.line(&format!("Opening the {what} in your browser."));
    } else {
        output.line(url.as_str());
    }
    Ok(ExitCode::SUCCESS)
}

/// The dashboard's address, with the token where the browser needs one.
async fn dashboard(client: &Client) -> Result<Url, CliError> {
    // Whether it is running, and whether this user may call it.
    client.get::<Server>("/server").await?;
    let page = page_of(client.address())?;
    Ok(if needs_token(client).await? { with_token(page, client) } else { page })
}

/// The link of an upload.
async fn link(typed: &str, client: &Client) -> Result<Url, CliError> {
    let id = find::<Upload>(typed, client).await?;
    let upload: Upload = client.get(&one::<Upload>(&id, "")).await?;
    let link = upload.links.first().ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("{} has no link", upload.name))
            .hint(format!("`masv upload link {id}` creates one once its package is there"))
    })?;
    Url::parse(&link.url).map_err(|_| CliError::failed(format!("{:?} is not a valid address", link.url)))
}

/// The dashboard's address for a browser on this machine.
fn page_of(address: &str) -> Result<Url, CliError> {
    if address.starts_with("unix://") {
        return Err(CliError::failed("the agent listens on a Unix socket, which a browser cannot open")
            .hint("start it with --listen http://127.0.0.1:8080"));
    }
    let wrong = || CliError::failed(format!("{address:?} is not a valid address"));
    let mut page = Url::parse(&format!("{address}/")).map_err(|_| wrong())?;
    let everywhere = match page.host() {
        Some(url::Host::Ipv4(host)) => host.is_unspecified(),
        Some(url::Host::Ipv6(host)) => host.is_unspecified(),
        _ => false,
    };
    if everywhere {
        page.set_host(Some("localhost")).map_err(|_| wrong())?;
    }
    Ok(page)
}

/// This user's browser has this user's access. Commands run by root are mostly run with sudo by someone whose browser is not
/// root's.
async fn needs_token(client: &Client) -> Result<bool, CliError> {
    match client.without_token().get::<Server>("/server").await {
        Ok(_) => Ok(masv_platform::own_user() == 0),
        Err(error) if error.exit == Exit::NotAllowed => Ok(true),
        Err(error) => Err(error),
    }
}

fn with_token(mut page: Url, client: &Client) -> Url {
    if let Some(token) = client.token() {
        page.set_fragment(Some(&format!("token={}", token.expose_secret())));
    }
    page
}

/// Whether the browser was started. If the page cannot be written, the browser gets the address without the token, which the
/// dashboard then asks for.
fn open(browser: &str, url: &Url, data_dir: Option<&Path>) -> bool {
    let target = match (url.fragment(), data_dir) {
        (None, _) => url.to_string(),
        (Some(_), Some(folder)) => match hand_over(url, folder) {
            Ok(page) => page.display().to_string(),
            Err(_) => bare(url),
        },
        (Some(_), None) => bare(url),
    };
    let mut command = Command::new(browser);
    command.arg(target).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn bare(url: &Url) -> String {
    let mut url = url.clone();
    url.set_fragment(None);
    url.into()
}

/// Writes the page that sends the browser to the address with the token.
fn hand_over(url: &Url, folder: &Path) -> std::io::Result<PathBuf> {
    let path = folder.join(PAGE);
    let mut page = tempfile::NamedTempFile::new_in(folder)?;
    masv_platform::close_to_others(page.path())?;
    let address = url.as_str().replace('&', "&amp;").replace('"', "&quot;");
    writeln!(page, "<!doctype html><meta http-equiv=\"refresh\" content=\"0;url={address}\"><title>masv</title>")?;
    page.persist(&path).map_err(|error| error.error)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_page_is_where_a_browser_of_this_machine_finds_it() {
        for (address, page) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("http://0.0.0.0:8080", "http://localhost:8080/"),
            ("http://[::]:8080", "http://localhost:8080/"),
            ("https://agent.example/masv", "https://agent.example/masv/"),
        ] {
            assert_eq!(page_of(address).unwrap().as_str(), page);
        }
        assert!(page_of("unix:///run/masv.sock").is_err());
    }

    /// Case: the file by which a browser gets the token is for its user only.
    #[test]
    fn the_page_with_the_token_is_readable_to_its_user_only() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::parse("http://127.0.0.1:1/#token=sesame").unwrap();
        let page = hand_over(&url, folder.path()).unwrap();
        assert_eq!(std::fs::metadata(&page).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(std::fs::read_to_string(page).unwrap().contains("url=http://127.0.0.1:1/#token=sesame\""));
        assert_eq!(bare(&url), "http://127.0.0.1:1/");
    }
}
