//! How an operator names a bucket: `s3://bucket/prefix?endpoint=…&region=…&path_style=…&public_endpoint=…`.

use rusty_s3::UrlStyle;
use url::Url;

use super::S3Credentials;

/// The region of servers that know none.
const DEFAULT_REGION: &str = "us-east-1";

/// The bucket, its address, and the credentials.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// Its name.
    pub bucket: String,
    /// What the keys of all objects begin with; empty, or with a slash at its end.
    pub prefix: String,
    /// Its region.
    pub region: String,
    /// Where the hub reaches the storage.
    pub endpoint: Url,
    /// Where senders and recipients reach it, when that is another address.
    pub public_endpoint: Option<Url>,
    /// `https://host/bucket/key` instead of `https://bucket.host/key`.
    pub path_style: bool,
    /// Whether recipients read files through the hub, which sees what is delivered then, instead of from the storage itself.
    pub downloads_through_hub: bool,
    /// The right to use it.
    pub credentials: S3Credentials,
}

/// What is wrong with the setting of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum S3ConfigError {
    /// It is not the address of a bucket.
    #[error("{0:?} does not name a bucket: write s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION")]
    Address(String),
    /// A part of it that there is not.
    #[error(
        "{0:?} is not a setting of a bucket: the settings are endpoint, public_endpoint, region, path_style and downloads"
    )]
    Unknown(String),
    /// A part of it that makes no sense.
    #[error("{setting} of the bucket: {problem}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// Why.
        problem: String,
    },
    /// No credentials, or ones that cannot be read.
    #[error("{0}")]
    Credentials(String),
    /// No HTTP client can be set up.
    #[error("cannot set up the connection to the bucket: {0}")]
    Client(String),
}

impl S3Config {
    /// Reads the address of a bucket.
    ///
    /// # Errors
    /// [`S3ConfigError`] with the part that makes no sense.
    pub fn parse(address: &str, credentials: S3Credentials) -> Result<Self, S3ConfigError> {
        let wrong = || S3ConfigError::Address(address.to_owned());
        let url = Url::parse(address).map_err(|_| wrong())?;
        let bucket = url.host_str().unwrap_or_default().to_owned();
        let plain = url.username().is_empty() && url.password().is_none() && url.port().is_none();
        if url.scheme() != "s3" || bucket.is_empty() || !plain || url.fragment().is_some() {
            return Err(wrong());
        }
        let prefix: Vec<&str> = url.path().split('/').filter(|name| !name.is_empty()).collect();
        if prefix.iter().any(|name| *name == "." || *name == ".." || name.contains('%')) {
            return Err(S3ConfigError::Setting { setting: "prefix", problem: "plain names only".to_owned() });
        }
        let prefix = prefix.iter().fold(String::new(), |all, name| all + name + "/");
        let (mut endpoint, mut public_endpoint, mut region, mut path_style) = (None, None, None, None);
        let mut downloads_through_hub = false;
        for (name, value) in url.query_pairs() {
            match &*name {
                "endpoint" => endpoint = Some(server("endpoint", &value)?),
                "public_endpoint" => public_endpoint = Some(server("public_endpoint", &value)?),
                "region" => region = Some(value.into_owned()),
                "path_style" => path_style = Some(yes_or_no("path_style", &value)?),
                "downloads" => downloads_through_hub = through_hub(&value)?,
                other => return Err(S3ConfigError::Unknown(other.to_owned())),
            }
        }
        let region = region.filter(|region| !region.is_empty()).unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let amazon = endpoint.is_none();
        let endpoint = match endpoint {
            Some(endpoint) => endpoint,
            None => server("region", &format!("https://s3.{region}.amazonaws.com"))?,
        };
        let config = Self {
            bucket,
            prefix,
            region,
            path_style: path_style.unwrap_or(!amazon),
            endpoint,
            public_endpoint,
            downloads_through_hub,
            credentials,
        };
        config.bucket_at(&config.endpoint)?;
        Ok(config)
    }

    /// The bucket's URL at that server.
    pub(super) fn bucket_at(&self, endpoint: &Url) -> Result<rusty_s3::Bucket, S3ConfigError> {
        let style = if self.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        rusty_s3::Bucket::new(endpoint.clone(), style, self.bucket.clone(), self.region.clone())
            .map_err(|error| S3ConfigError::Setting { setting: "endpoint", problem: error.to_string() })
    }
}

fn server(setting: &'static str, text: &str) -> Result<Url, S3ConfigError> {
    let problem = |problem: String| S3ConfigError::Setting { setting, problem };
    let url = Url::parse(text).map_err(|error| problem(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || url.query().is_some() {
        return Err(problem(format!("{text:?} is not the URL of a server")));
    }
    Ok(url)
}

/// Whether downloads pass through the hub.
fn through_hub(text: &str) -> Result<bool, S3ConfigError> {
    match text {
        "bucket" => Ok(false),
        "hub" => Ok(true),
        _ => {
            Err(S3ConfigError::Setting { setting: "downloads", problem: format!("{text:?} is neither bucket nor hub") })
        }
    }
}

fn yes_or_no(setting: &'static str, text: &str) -> Result<bool, S3ConfigError> {
    match text {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        other => Err(S3ConfigError::Setting { setting, problem: format!("{other:?} is neither true nor false") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(address: &str) -> Result<S3Config, S3ConfigError> {
        S3Config::parse(address, S3Credentials::new("key", "secret", None))
    }

    #[test]
    fn a_bucket_of_amazon_needs_its_region_only() {
        let config = parse("s3://media?region=eu-west-1").unwrap();
        assert_eq!((config.prefix.as_str(), config.path_style), ("", false));
        assert_eq!(
            config.bucket_at(&config.endpoint).unwrap().base_url().as_str(),
            "https://media.s3.eu-west-1.amazonaws.com/"
        );
    }

    #[test]
    fn other_servers_are_reached_by_path_unless_told_otherwise() {
        let config = parse("s3://media/hub//one/?endpoint=http://10.0.0.1:9000&public_endpoint=https://s3.example.com");
        let config = config.unwrap();
        assert_eq!(
            (config.prefix.as_str(), config.path_style, config.region.as_str()),
            ("hub/one/", true, "us-east-1")
        );
        let public = config.bucket_at(config.public_endpoint.as_ref().unwrap()).unwrap();
        assert_eq!(public.base_url().as_str(), "https://s3.example.com/media/");
        assert!(!parse("s3://media?endpoint=https://s3.example.com&path_style=no").unwrap().path_style);
        let through_hub = |more| parse(&format!("s3://media{more}")).unwrap().downloads_through_hub;
        assert!(!through_hub("") && !through_hub("?downloads=bucket") && through_hub("?downloads=hub"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_name() {
        let cases = [
            ("media", "does not name a bucket"),
            ("https://media", "does not name a bucket"),
            ("s3:///media", "does not name a bucket"),
            ("s3://key:secret@media", "does not name a bucket"),
            ("s3://media?regoin=x", "\"regoin\" is not a setting"),
            ("s3://media?downloads=proxy", "downloads of the bucket: \"proxy\" is neither bucket nor hub"),
            ("s3://media?endpoint=minio:9000", "endpoint of the bucket"),
            ("s3://media?endpoint=http://10.0.0.1&path_style=maybe", "neither true nor false"),
            ("s3://media?endpoint=http://10.0.0.1&path_style=no", "endpoint of the bucket"),
            ("s3://media/a%2Fb", "plain names"),
        ];
        for (address, expected) in cases {
            let error = parse(address).unwrap_err().to_string();
            assert!(error.contains(expected), "{address}: {error}");
        }
    }
}
