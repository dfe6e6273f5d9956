//! The files that make up a service, where they belong, and writing them.

use std::path::{Path, PathBuf};

use super::Which;
use crate::cli::error::CliError;
use masv_platform::{ServiceManager, change_owner, let_all_read, new_private_folder};

const SYSTEM_UNIT: &str = include_str!("../../../systemd/masv-agent.service");
const INSTANCE_UNIT: &str = include_str!("../../../systemd/masv-agent@.service");
const USER_UNIT: &str = include_str!("../../../systemd/user/masv-agent.service");
const HUB_UNIT: &str = include_str!("../../../systemd/masv-hub.service");
const HUB_SOCKET: &str = include_str!("../../../systemd/masv-hub.socket");
/// The hub's socket unit, for those who enable it.
pub(super) const HUB_SOCKET_FILE: &str = "/etc/systemd/system/masv-hub.socket";
const SYSUSERS: &str = include_str!("../../../systemd/masv-agent.sysusers");
const SETTINGS: &str = include_str!("../../../systemd/agent.yaml");
const AGENT_PLIST: &str = include_str!("../../../launchd/io.masv.agent.plist");
const HUB_PLIST: &str = include_str!("../../../launchd/io.masv.hub.plist");
/// The hub's placeholder user, which exists on no machine: an unedited copy does not run as root.
const HUB_USER: &str = "<string>_masvhub</string>";

/// A file to install.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) path: PathBuf,
    pub(super) content: String,
    /// Belongs to the user once written: neither overwritten nor removed.
    pub(super) keep: bool,
}

/// Where things are on this machine.
#[derive(Debug, Clone)]
pub(super) struct Place {
    binary: PathBuf,
    home: PathBuf,
    /// `$XDG_CONFIG_HOME`, or its default.
    config: PathBuf,
    pub(super) macos: bool,
    /// The user who called sudo: on macOS the daemon runs as that user, whose folders it watches.
    caller: Option<String>,
    /// Numeric user and group of the caller.
    owner: Option<(u32, u32)>,
}

/// What launchd does not create, and the service's user may not.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// The folder for its state.
    Folder(PathBuf),
    /// The file that its output is appended to.
    Log(PathBuf),
}

impl Place {
    pub(super) fn here() -> Result<Self, CliError> {
        let binary = std::env::current_exe().and_then(std::path::absolute);
        let binary =
            binary.map_err(|error| CliError::failed(format!("cannot find the path of the masv binary: {error}")))?;
        let home = std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
        let number = |name: &str| std::env::var(name).ok()?.parse().ok();
        let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        Ok(Self {
            binary,
            config: config.unwrap_or_else(|| home.join(".config")),
            home,
            macos: ServiceManager::OF_THIS_SYSTEM == ServiceManager::Launchd,
            caller: std::env::var("SUDO_USER").ok().filter(|name| !name.is_empty()),
            owner: number("SUDO_UID").zip(number("SUDO_GID")),
        })
    }
}

impl Which {
    /// Its name in the service manager.
    pub(super) fn name(&self, place: &Place) -> String {
        match (place.macos, self.hub, &self.instance) {
            (true, true, _) => "io.masv.hub".to_owned(),
            (true, false, _) => "io.masv.agent".to_owned(),
            (false, true, _) => "masv-hub.service".to_owned(),
            (false, false, None) => "masv-agent.service".to_owned(),
            (false, false, Some(instance)) => format!("masv-agent@{instance}.service"),
        }
    }

    pub(super) fn check(&self, place: &Place) -> Result<(), CliError> {
        let Some(instance) = &self.instance else { return Ok(()) };
        if place.macos {
            return Err(CliError::usage("--instance is supported only with systemd"));
        }
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if instance.is_empty() || !instance.bytes().all(fine) {
            return Err(CliError::usage("--instance: a name may contain only letters, digits, - and _"));
        }
        Ok(())
    }

    /// The sandbox of system units hides some folders: a program in one of them would not be found.
    pub(super) fn sees_its_program(&self, place: &Place) -> Result<(), CliError> {
        let hidden =
            ["/home", "/root", "/run/user", "/tmp", "/var/tmp"].iter().any(|top| place.binary.starts_with(top));
        if self.user || place.macos || !hidden {
            return Ok(());
        }
        let binary = place.binary.display();
        let said = format!("the service cannot see /home, /root and /tmp, and would not find {binary}");
        Err(CliError::failed(said).hint(format!(
            "install it elsewhere: `sudo install -m 755 {binary} /usr/local/bin/masv`, then `sudo masv service install`"
        )))
    }

    /// The service file itself first.
    pub(super) fn files(&self, place: &Place) -> Vec<Wanted> {
        let below = |path: PathBuf| match &self.root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(&path)),
            None => path,
        };
        let wanted = |path: PathBuf, content: String, keep| Wanted { path: below(path), content, keep };
        let binary = place.binary.display().to_string();
        let mut files = Vec::new();
        if place.macos {
            let settings = self.settings(place);
            let text = if self.hub { HUB_PLIST } else { AGENT_PLIST };
            let mut text = text
                .replace("/usr/local/bin/masv", &xml(&binary))
                .replace("/usr/local/etc/masv-agent/agent.yaml", &xml(&settings.display().to_string()));
            if self.user {
                let logs = place.home.join("Library/Logs");
                text = text.replace("/usr/local/var/log", &xml(&logs.display().to_string()));
            } else if let Some(caller) = place.caller.as_ref().filter(|_| self.hub) {
                text = text.replace(HUB_USER, &format!("<string>{}</string>", xml(caller)));
            } else if let Some(caller) = place.caller.as_ref().filter(|_| !self.hub) {
                let user = format!("  <key>UserName</key>\n  <string>{}</string>\n</dict>\n</plist>", xml(caller));
                text = text.replace("</dict>\n</plist>", &user);
            }
            files.push(wanted(self.service_file(place), text, false));
            if !self.hub {
                files.push(wanted(settings, SETTINGS.to_owned(), true));
            }
            return files;
        }
        let unit = match (self.hub, self.user, &self.instance) {
            (true, ..) => HUB_UNIT,
            (_, true, _) => USER_UNIT,
            (.., Some(_)) => INSTANCE_UNIT,
            _ => SYSTEM_UNIT,
        };
        // % and \ in a path have to be doubled; spaces need quotes.
        let escaped = binary.replace('%', "%%").replace('\\', "\\\\").replace('"', "\\\"");
        let command = format!("ExecStart=\"{escaped}\" ");
        files.push(wanted(self.service_file(place), unit.replace("ExecStart=/usr/bin/masv ", &command), false));
        if self.hub {
            // Written but not enabled: those who enable it have an address to set in it.
            files.push(wanted(HUB_SOCKET_FILE.into(), HUB_SOCKET.to_owned(), false));
        }
        if !self.user {
            files.push(wanted("/etc/sysusers.d/masv-agent.conf".into(), SYSUSERS.to_owned(), true));
        }
        if !self.hub {
            files.push(wanted(self.settings(place), SETTINGS.to_owned(), true));
        }
        files
    }

    /// What has to exist before launchd starts it; systemd creates such things itself.
    pub(super) fn ground(&self, place: &Place) -> Vec<Ground> {
        if !place.macos {
            return Vec::new();
        }
        let below = |path: &Path| match &self.root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        };
        let logs = if self.user { place.home.join("Library/Logs") } else { PathBuf::from("/usr/local/var/log") };
        let logs = logs.join(if self.hub { "masv-hub" } else { "masv-agent" });
        // A folder of its own: a full log file is renamed, which takes the right to write to the folder.
        let mut ground = vec![Ground::Folder(below(&logs)), Ground::Log(below(&logs.join("stderr.log")))];
        if self.hub {
            ground.push(Ground::Folder(below(Path::new("/usr/local/var/masv-hub"))));
        }
        ground
    }

    pub(super) fn service_file(&self, place: &Place) -> PathBuf {
        match (place.macos, self.user) {
            (true, true) => place.home.join("Library/LaunchAgents").join(format!("{}.plist", self.name(place))),
            (true, false) => PathBuf::from("/Library/LaunchDaemons").join(format!("{}.plist", self.name(place))),
            (false, true) => place.config.join("systemd/user/masv-agent.service"),
            (false, false) if self.instance.is_some() => PathBuf::from("/etc/systemd/system/masv-agent@.service"),
            (false, false) => PathBuf::from("/etc/systemd/system").join(self.name(place)),
        }
    }

    fn settings(&self, place: &Place) -> PathBuf {
        let folder = match (place.macos, self.user) {
            (_, true) => place.config.join("masv-agent"),
            (true, false) => PathBuf::from("/usr/local/etc/masv-agent"),
            (false, false) => PathBuf::from("/etc/masv-agent"),
        };
        folder.join(format!("{}.yaml", self.instance.as_deref().unwrap_or("agent")))
    }
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What was done: the file is `wrote`, `kept` or `unchanged`.
pub(super) fn write(file: &Wanted) -> std::io::Result<&'static str> {
    match std::fs::read_to_string(&file.path) {
        Ok(there) if there == file.content => return Ok("unchanged"),
        Ok(_) if file.keep => return Ok("kept"),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let folder = file.path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    // Written to a temporary file and renamed: a service file is never incomplete.
    let temporary = tempfile::NamedTempFile::new_in(folder)?;
    std::fs::write(temporary.path(), &file.content)?;
    let_all_read(temporary.path())?;
    temporary.persist(&file.path).map_err(|error| error.error)?;
    Ok("wrote")
}

/// Creates it if it is missing and gives it to the service's user; returns whether anything was missing.
pub(super) fn make(ground: &Ground, place: &Place) -> std::io::Result<bool> {
    let (Ground::Folder(path) | Ground::Log(path)) = ground;
    if path.exists() {
        return Ok(false);
    }
    match ground {
        Ground::Folder(path) => {
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            new_private_folder(path)?;
        }
        Ground::Log(path) => {
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        }
    }
    if let Some((user, group)) = place.owner {
        change_owner(path, user, group)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn which(root: &Path) -> Which {
        Which { user: false, hub: false, instance: None, root: Some(root.to_owned()) }
    }

    fn place(macos: bool) -> Place {
        Place {
            binary: "/opt/my tools/masv".into(),
            home: "/home/ann".into(),
            config: "/home/ann/.config".into(),
            macos,
            caller: Some("ann".into()),
            owner: None,
        }
    }

    /// Case: a backslash, a quote or a percent sign in the path of the program is escaped in the unit.
    #[test]
    fn a_unit_names_this_binary_and_installing_again_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let which = which(root.path());
        let files = which.files(&place(false));
        assert!(files[0].content.contains("ExecStart=\"/opt/my tools/masv\" server start --config /etc/masv-agent/"));
        let odd = Place { binary: r#"/opt/a\b "c" %d/masv"#.into(), ..place(false) };
        assert!(which.files(&odd)[0].content.contains(r#"ExecStart="/opt/a\\b \"c\" %%d/masv" server"#));
        let first: Vec<_> = files.iter().map(|file| write(file).unwrap()).collect();
        let again: Vec<_> = files.iter().map(|file| write(file).unwrap()).collect();
        assert_eq!((first, again), (vec!["wrote"; 3], vec!["unchanged"; 3]));
        std::fs::write(&files[0].path, "old").unwrap();
        std::fs::write(&files[2].path, "rules: /srv/rules.yaml\n").unwrap();
        let outcome: Vec<_> = files.iter().map(|file| write(file).unwrap()).collect();
        assert_eq!(outcome, ["wrote", "unchanged", "kept"]);
    }

    #[test]
    fn the_hub_comes_with_its_socket_which_is_for_who_wants_it() {
        let root = tempfile::tempdir().unwrap();
        let names = |macos| {
            let files = Which { hub: true, ..which(root.path()) }.files(&place(macos));
            files.iter().map(|file| file.path.file_name().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(false), ["masv-hub.service", "masv-hub.socket", "masv-agent.conf"]);
        assert_eq!(names(true), ["io.masv.hub.plist"]);
    }

    #[test]
    fn a_daemon_of_macos_runs_as_who_installed_it() {
        let root = tempfile::tempdir().unwrap();
        let daemon = which(root.path()).files(&place(true));
        assert!(daemon[0].content.contains("<string>ann</string>"), "{}", daemon[0].content);
        let hub = Which { hub: true, ..which(root.path()) }.files(&place(true));
        let name = "<key>UserName</key>\n  <string>ann</string>";
        assert!(hub[0].content.contains(name) && !hub[0].content.contains(HUB_USER), "{}", hub[0].content);
        assert_eq!(hub[0].content.matches("UserName").count(), 1);
        let own = Which { user: true, ..which(root.path()) }.files(&place(true));
        assert!(own[0].content.contains("<string>/home/ann/Library/Logs/masv-agent/agent.log</string>"));
        assert!(own[0].path.ends_with("home/ann/Library/LaunchAgents/io.masv.agent.plist"));
    }

    #[test]
    fn what_launchd_does_not_make_is_made_once() {
        let root = tempfile::tempdir().unwrap();
        let hub = Which { hub: true, ..which(root.path()) };
        assert!(hub.ground(&place(false)).is_empty());
        let ground = hub.ground(&place(true));
        for made in [true, false] {
            assert!(ground.iter().all(|ground| make(ground, &place(true)).unwrap() == made));
        }
        // The property list names exactly what was created.
        let list = &hub.files(&place(true))[0].content;
        for path in ["/usr/local/var/log/masv-hub/stderr.log", "/usr/local/var/masv-hub"] {
            assert!(
                root.path().join(&path[1..]).exists() && list.contains(&format!("<string>{path}</string>")),
                "{path}"
            );
        }
    }

    #[test]
    fn a_program_that_the_service_would_not_see_is_refused() {
        let whose = |user| Which { user, hub: false, instance: None, root: None };
        for (binary, user, sees) in [
            ("/usr/local/bin/masv", false, true),
            ("/home/ann/.cargo/bin/masv", false, false),
            ("/tmp/masv", false, false),
            ("/home/ann/.cargo/bin/masv", true, true),
        ] {
            let place = Place { binary: binary.into(), ..place(false) };
            let answer = whose(user).sees_its_program(&place);
            assert_eq!(answer.is_ok(), sees, "{binary}");
            assert!(answer.err().is_none_or(|error| error.hint.unwrap().contains(binary)));
        }
    }

    #[test]
    fn an_instance_has_settings_of_its_own_and_a_name_that_is_one() {
        let root = tempfile::tempdir().unwrap();
        let instance = |name: &str| Which { instance: Some(name.into()), ..which(root.path()) };
        assert!(instance("studio-b").settings(&place(false)).ends_with("studio-b.yaml"));
        assert!(instance("studio-b").check(&place(false)).is_ok());
        for name in ["", "a/b", "a b", "../x"] {
            assert!(instance(name).check(&place(false)).is_err(), "{name}");
        }
    }
}
