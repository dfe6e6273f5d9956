//! Lists the teams of a hub with what they have stored: the calls of an administrator.
//!
//! ```sh
//! MASV_HUB_URL=http://127.0.0.1:8090 MASV_HUB_KEY=... cargo run -p masv-client --example list_teams
//! ```

use std::error::Error;

use masv_client::admin::Admin;
use masv_client::{Cloud, CloudSettings};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("set {name}"));
    let settings = CloudSettings {
        base: variable("MASV_HUB_URL")?.parse()?,
        name: None,
        api_key: Some(variable("MASV_HUB_KEY")?.into()),
        team_id: None,
    };
    let hub = Admin::over(Cloud::new(settings)?);
    for team in hub.teams().await? {
        let usage = hub.team_usage(&team.id).await?;
        #[expect(clippy::print_stdout, reason = "the list is what the example is for")]
        {
            println!("{}  {}: {} bytes in {} packages", usage.id, usage.name, usage.stored, usage.packages);
        }
    }
    Ok(())
}
