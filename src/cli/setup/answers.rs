//! The decisions for a setup: taken from flags, or from a person's answers.

use std::io::{BufRead, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

use crate::cli::error::{CliError, Exit};
use crate::cli::password;
use masv_protocol::EmailAddress;
use masv_rules::own_hub::{OwnHub, Smtp, base_url, mail_server, network, sender};

/// The default port of the embedded hub.
const PORT: u16 = 8090;
/// The MASV service.
const SERVICE: &str = "https://api.massive.app";
/// The default watch folder.
const WATCH: &str = "./drop";

/// The values given as flags.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Given {
    /// The folder to watch; it is created if it is missing [default: ./drop]
    #[arg(long, value_name = "DIR")]
    watch: Option<String>,
    /// Mail the link of each package to these addresses [default: links only]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    email: Vec<EmailAddress>,
    /// Send to this cloud or hub [default: the embedded hub]
    #[arg(long, value_name = "URL", conflicts_with_all = ["listen", "public_url", "smtp_url"], value_parser = base_url)]
    cloud_url: Option<Url>,
    /// File with the API key for the cloud.
    #[arg(long, value_name = "FILE", requires = "cloud_url")]
    api_key_file: Option<PathBuf>,
    /// Address on which the embedded hub listens for recipients, such as 192.168.1.20:8090 [default: this machine only]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// URL at which recipients reach the embedded hub [default: the address in --listen]
    #[arg(long, value_name = "URL", requires = "listen", value_parser = base_url)]
    public_url: Option<Url>,
    /// Proxy in front of the embedded hub, such as 127.0.0.1.
    #[arg(long, value_name = "NETWORK", requires = "public_url", value_parser = network)]
    trusted_proxy: Option<IpNet>,
    /// Mail server: smtps://HOST:465, smtp://HOST:587?tls=required (STARTTLS), smtp://HOST:25 (no encryption)
    #[arg(long, value_name = "URL", requires = "mail_from", value_parser = mail_server)]
    smtp_url: Option<Url>,
    /// User name for the mail server.
    #[arg(long, value_name = "NAME", requires_all = ["smtp_url", "smtp_password_file"])]
    smtp_user: Option<String>,
    /// File with the password for the mail server.
    #[arg(long, value_name = "FILE", requires = "smtp_user")]
    smtp_password_file: Option<PathBuf>,
    /// PEM file with the CA certificate of the mail server [default: the system's CAs]
    #[arg(long, value_name = "FILE", requires = "smtp_url")]
    smtp_ca: Option<PathBuf>,
    /// Sender of the e-mails: 'Name <address>'
    #[arg(long, value_name = "SENDER", requires = "smtp_url", value_parser = sender)]
    mail_from: Option<String>,
}

/// A secret, and where it is stored.
#[derive(Debug, Clone)]
pub(super) enum Secret {
    /// In an existing file.
    File(PathBuf, SecretString),
    /// To be written into a file.
    Typed(SecretString),
}

impl Secret {
    pub(super) fn value(&self) -> &SecretString {
        match self {
            Self::File(_, secret) | Self::Typed(secret) => secret,
        }
    }

    fn read(flag: &str, path: PathBuf) -> Result<Self, CliError> {
        let secret = crate::agent::read_secret_file(&path)
            .map_err(|problem| CliError::usage(format!("{flag} {}: {problem}", path.display())))?;
        let path = std::path::absolute(&path).map_err(|error| CliError::usage(format!("{flag}: {error}")))?;
        Ok(Self::File(path, secret))
    }
}

/// The destination of packages.
#[derive(Debug, Clone)]
pub(super) enum Destination {
    /// The embedded hub, with the password of its mail server.
    OwnHub(Box<OwnHub>, Option<Secret>),
    /// A cloud, or a hub on another machine.
    Cloud { url: Url, key: Option<Secret> },
}

/// All decisions.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    pub destination: Destination,
    pub watch: String,
    pub emails: Vec<EmailAddress>,
}

/// The values of the flags, and the defaults for everything else.
pub(super) fn from_flags(given: Given) -> Result<Answers, CliError> {
    let destination = match given.cloud_url {
        Some(url) => {
            let key = given.api_key_file.map(|path| Secret::read("--api-key-file", path)).transpose()?;
            Destination::Cloud { url, key }
        }
        None => {
            let password =
                given.smtp_password_file.map(|path| Secret::read("--smtp-password-file", path)).transpose()?;
            let login = given.smtp_user.zip(password.as_ref().map(|secret| secret.value().clone()));
            let hub = OwnHub {
                listen: given.listen,
                public_url: given.public_url,
                trusted_proxies: given.trusted_proxy.into_iter().collect(),
                tls: None,
                smtp: given.smtp_url.map(|url| Smtp { url, login, authority: given.smtp_ca }),
                mail_from: given.mail_from,
            };
            hub.reached_at().map_err(|problem| CliError::usage(format!("--listen: {problem}")))?;
            Destination::OwnHub(Box::new(hub), password)
        }
    };
    Ok(Answers { destination, watch: given.watch.unwrap_or_else(|| WATCH.to_owned()), emails: given.email })
}

/// Asks a person.
pub(super) struct Questions<'a> {
    input: &'a mut dyn BufRead,
    screen: &'a mut dyn Write,
}

impl<'a> Questions<'a> {
    pub(super) fn new(input: &'a mut dyn BufRead, screen: &'a mut dyn Write) -> Self {
        Self { input, screen }
    }

    /// Asks for everything; values given as flags are suggested as answers.
    pub(super) async fn ask(&mut self, given: &Given) -> Result<Answers, CliError> {
        self.say(
            "This creates a rules file. Nothing is written until the last question is answered; press Ctrl-C to quit.",
        )?;
        let cloud = self.choose(
            "Where should packages be sent?",
            &["to a hub embedded in this agent", "to the MASV cloud, or to another hub"],
            usize::from(given.cloud_url.is_some()),
        )?;
        let destination = match cloud {
            0 => self.own_hub(given).await?,
            _ => self.cloud(given).await?,
        };
        let watch = self.text("Which folder should be watched?", given.watch.as_deref().unwrap_or(WATCH))?;
        let emails = self.emails(given, &destination)?;
        Ok(Answers { destination, watch, emails })
    }

    /// Shows the problems found; returns whether the questions are to be asked again.
    pub(super) fn again(&mut self, problems: &[CliError]) -> Result<bool, CliError> {
        for problem in problems {
            self.say(&format!("\nProblem: {}", problem.message))?;
            if let Some(hint) = &problem.hint {
                self.say(&format!("  {hint}"))?;
            }
        }
        Ok(self.choose("How do you want to continue?", &["change the answers", "write the file anyway"], 0)? == 0)
    }

    async fn own_hub(&mut self, given: &Given) -> Result<Destination, CliError> {
        let network = network_address();
        let here = network.map_or_else(|| "this network".to_owned(), |address| format!("this network, at {address}"));
        let usual = match (&given.listen, &given.public_url) {
            (None, _) => 1,
            (Some(listen), _) if listen.ip().is_loopback() => 2,
            _ => 1,
        };
        let reach = self.choose(
            "Who should be able to open the links?",
            &[
                "this machine only, to try it out",
                &here,
                "anyone, at a public address that is forwarded to this machine",
            ],
            usual,
        )?;
        let mut hub = OwnHub::default();
        match reach {
            0 => {}
            1 => {
                let usual = network.map_or_else(String::new, |address| address.to_string());
                let address = self.parsed::<IpAddr>("Address of this machine in that network?", &usual)?;
                let port =
                    self.parsed::<u16>("Port?", &given.listen.map_or(PORT, |listen| listen.port()).to_string())?;
                hub.listen = Some(SocketAddr::new(address, port));
            }
            _ => {
                let usual = given.public_url.as_ref().map_or("https://send.example.com", Url::as_str);
                hub.public_url = Some(self.checked("Public URL?", usual, base_url)?);
                let proxy = self.choose(
                    "How do requests to it reach this machine?",
                    &[
                        "through an HTTPS proxy on this machine (nginx, Caddy)",
                        "through a router or a proxy on another machine",
                    ],
                    0,
                )?;
                let port = self.parsed::<u16>("Port on which the hub accepts its connections?", &PORT.to_string())?;
                let address = match proxy {
                    0 => IpAddr::from([127, 0, 0, 1]),
                    _ => IpAddr::from([0, 0, 0, 0]),
                };
                hub.listen = Some(SocketAddr::new(address, port));
                hub.trusted_proxies = self.networks(if proxy == 0 { "127.0.0.1" } else { "" })?;
            }
        }
        let password = self.mail(given, &mut hub).await?;
        Ok(Destination::OwnHub(Box::new(hub), password))
    }

    fn networks(&mut self, usual: &str) -> Result<Vec<IpNet>, CliError> {
        loop {
            match self
                .text_or_none("Address of the proxy whose forwarded client addresses to trust?", usual)?
                .map(|text| network(&text))
            {
                None => return Ok(Vec::new()),
                Some(Ok(network)) => return Ok(vec![network]),
                Some(Err(problem)) => self.say(&format!("  {problem}"))?,
            }
        }
    }

    async fn mail(&mut self, given: &Given, hub: &mut OwnHub) -> Result<Option<Secret>, CliError> {
        self.say(
            "\nSending links to recipients by e-mail requires a mail server: smtps://HOST:465, or smtp://HOST:587?tls=required.",
        )?;
        let usual = given.smtp_url.as_ref().map_or("", Url::as_str);
        let Some(url) = self.checked_or_none("Mail server? (empty for none)", usual, mail_server)? else {
            return Ok(None);
        };
        let user = self.text_or_none("User name? (empty for none)", given.smtp_user.as_deref().unwrap_or(""))?;
        let password = match &user {
            None => None,
            Some(_) => Some(password::ask("Password").await?),
        };
        let usual = given.mail_from.clone().or_else(|| user.clone().filter(|user| user.contains('@')));
        let usual = usual.as_deref().unwrap_or("");
        hub.mail_from = Some(self.checked("Sender of the e-mails? ('Name <address>')", usual, sender)?);
        let login = user.zip(password.clone());
        hub.smtp = Some(Smtp { url, login, authority: given.smtp_ca.clone() });
        Ok(password.map(Secret::Typed))
    }

    async fn cloud(&mut self, given: &Given) -> Result<Destination, CliError> {
        let usual = given.cloud_url.as_ref().map_or(SERVICE, Url::as_str);
        let url = self.checked("URL of the cloud or hub?", usual, base_url)?;
        let key = password::ask("API key (empty to sign in later with `masv user login`)").await?;
        let empty = secrecy::ExposeSecret::expose_secret(&key).is_empty();
        Ok(Destination::Cloud { url, key: (!empty).then_some(Secret::Typed(key)) })
    }

    fn emails(&mut self, given: &Given, destination: &Destination) -> Result<Vec<EmailAddress>, CliError> {
        if matches!(destination, Destination::OwnHub(hub, _) if hub.smtp.is_none()) {
            return Ok(Vec::new());
        }
        let usual = given.email.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        loop {
            let text = self
                .text_or_none("Recipients of the links? (e-mail addresses; empty for none)", &usual)?
                .unwrap_or_default();
            let addresses = text.split([',', ' ', ';']).filter(|part| !part.is_empty());
            match addresses.map(|text| text.parse().map_err(|_| text.to_owned())).collect() {
                Ok(emails) => return Ok(emails),
                Err(wrong) => self.say(&format!("  {wrong} is not an e-mail address"))?,
            }
        }
    }

    fn choose(&mut self, question: &str, options: &[&str], usual: usize) -> Result<usize, CliError> {
        self.say(&format!("\n{question}"))?;
        for (index, option) in options.iter().enumerate() {
            self.say(&format!("  {}  {option}", index + 1))?;
        }
        loop {
            let chosen = self.line(&format!("[{}] > ", usual + 1))?;
            match chosen.as_str() {
                "" => return Ok(usual),
                number => match number.parse::<usize>() {
                    Ok(number) if (1..=options.len()).contains(&number) => return Ok(number - 1),
                    _ => self.say(&format!("  enter a number from 1 to {}", options.len()))?,
                },
            }
        }
    }

    fn text(&mut self, question: &str, usual: &str) -> Result<String, CliError> {
        loop {
            if let Some(text) = self.text_or_none(question, usual)? {
                return Ok(text);
            }
        }
    }

    fn text_or_none(&mut self, question: &str, usual: &str) -> Result<Option<String>, CliError> {
        let shown = if usual.is_empty() { String::new() } else { format!(" [{usual}]") };
        let typed = self.line(&format!("{question}{shown} > "))?;
        let text = if typed.is_empty() { usual.to_owned() } else { typed };
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        question: &str,
        usual: &str,
    ) -> Result<T, CliError> {
        self.checked(question, usual, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    /// Asks until the answer is one that `check` accepts.
    fn checked<T>(
        &mut self,
        question: &str,
        usual: &str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, CliError> {
        loop {
            if let Some(value) = self.checked_or_none(question, usual, &check)? {
                return Ok(value);
            }
        }
    }

    fn checked_or_none<T>(
        &mut self,
        question: &str,
        usual: &str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, CliError> {
        loop {
            let Some(text) = self.text_or_none(question, usual)? else { return Ok(None) };
            match check(&text) {
                Ok(value) => return Ok(Some(value)),
                Err(problem) => self.say(&format!("  {text}: {problem}"))?,
            }
        }
    }

    fn line(&mut self, prompt: &str) -> Result<String, CliError> {
        let failed = |error: std::io::Error| CliError::failed(format!("cannot ask: {error}"));
        write!(self.screen, "{prompt}").and_then(|()| self.screen.flush()).map_err(failed)?;
        let mut line = String::new();
        if self.input.read_line(&mut line).map_err(failed)? == 0 {
            return Err(CliError::new(Exit::Interrupted, "nothing was written: end of input before the last answer"));
        }
        Ok(line.trim().to_owned())
    }

    fn say(&mut self, text: &str) -> Result<(), CliError> {
        writeln!(self.screen, "{text}").map_err(|error| CliError::failed(format!("cannot ask: {error}")))
    }
}

/// The address by which others in the network reach this machine: that of the default route. Nothing is sent.
fn network_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    // An address of the block that is kept for documentation (RFC 5737).
    socket.connect(("192.0.2.1", 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(answers: &str, given: Given) -> (Result<Answers, CliError>, String) {
        let mut screen = Vec::new();
        let mut input = answers.as_bytes();
        let answers = Questions::new(&mut input, &mut screen).ask(&given).await;
        (answers, String::from_utf8(screen).unwrap())
    }

    #[tokio::test]
    async fn enter_takes_what_is_proposed_and_a_wrong_answer_is_asked_again() {
        let given = Given { smtp_url: None, ..Given::default() };
        let (answers, screen) = asked("1\n2\nnowhere\n10.0.0.7\n99999\n8091\n\n/srv/drop\n", given).await;
        let answers = answers.unwrap();
        let Destination::OwnHub(hub, password) = answers.destination else { panic!("{screen}") };
        assert_eq!(hub.listen, Some("10.0.0.7:8091".parse().unwrap()));
        assert!(hub.smtp.is_none() && password.is_none() && answers.emails.is_empty());
        assert_eq!(answers.watch, "/srv/drop");
        assert!(screen.contains("nowhere: ") && screen.contains("99999: "), "{screen}");
    }

    #[tokio::test]
    async fn a_proxy_on_this_machine_is_believed() {
        let (answers, _) = asked("\n3\nhttps://send.example.com\n\n\n\n\n\n", Given::default()).await;
        let Destination::OwnHub(hub, _) = answers.unwrap().destination else { panic!() };
        assert_eq!(hub.listen, Some("127.0.0.1:8090".parse().unwrap()));
        assert_eq!(hub.public_url.unwrap().as_str(), "https://send.example.com/");
        assert_eq!(hub.trusted_proxies, ["127.0.0.1/32".parse::<IpNet>().unwrap()]);
    }

    #[tokio::test]
    async fn answers_that_end_early_are_no_answers() {
        let (answers, _) = asked("1\n1\n", Given::default()).await;
        assert_eq!(answers.unwrap_err().exit, Exit::Interrupted);
    }
}
