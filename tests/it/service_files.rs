//! The service files: they say what they must, and the service manager's own tools accept them where they are.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use quick_xml::events::Event;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(name)).unwrap()
}

/// The directives of a unit that are not comments, by section.
fn directives(unit: &str) -> Vec<(String, String, String)> {
    let (mut section, mut found) = (String::new(), Vec::new());
    for line in unit.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else {
            let (key, value) = line.split_once('=').unwrap();
            found.push((section.clone(), key.to_owned(), value.to_owned()));
        }
    }
    found
}

fn assert_has(unit: &str, wanted: &[(&str, &str, &str)]) {
    let found = directives(&read(unit));
    for (section, key, value) in wanted {
        let there = found.iter().any(|(s, k, v)| (s.as_str(), k.as_str(), v.as_str()) == (*section, *key, *value));
        assert!(there, "{unit}: [{section}] {key}={value}");
    }
}

#[test]
fn units_say_what_a_service_needs() {
    let agent = [
        ("Service", "Type", "notify"),
        ("Service", "NotifyAccess", "main"),
        ("Service", "ExecReload", "/bin/kill -HUP $MAINPID"),
        ("Service", "Restart", "on-failure"),
        ("Service", "RestartPreventExitStatus", "2"),
        ("Service", "WatchdogSec", "60s"),
        ("Service", "KillMode", "mixed"),
        ("Service", "NoNewPrivileges", "yes"),
    ];
    let system = [
        ("Service", "ProtectSystem", "strict"),
        ("Service", "ProtectHome", "tmpfs"),
        ("Service", "CapabilityBoundingSet", ""),
        ("Service", "SystemCallFilter", "@system-service"),
        ("Service", "StateDirectoryMode", "0700"),
        ("Install", "WantedBy", "multi-user.target"),
    ];
    for unit in ["systemd/masv-agent.service", "systemd/masv-agent@.service"] {
        assert_has(unit, &agent);
        assert_has(unit, &system);
        assert_has(unit, &[("Service", "User", "masv-agent")]);
        assert!(read(unit).contains("#LoadCredential=api-key:"), "{unit}");
    }
    assert_has("systemd/masv-agent.service", &[("Service", "StateDirectory", "masv-agent")]);
    assert_has("systemd/masv-agent@.service", &[("Service", "StateDirectory", "masv-agent-%i")]);
    assert_has("systemd/user/masv-agent.service", &agent);
    assert_has("systemd/user/masv-agent.service", &[("Install", "WantedBy", "default.target")]);
    assert_has("systemd/masv-hub.service", &system);
    assert_has(
        "systemd/masv-hub.service",
        &[("Service", "User", "masv-hub"), ("Service", "StateDirectory", "masv-hub")],
    );
}

/// The top keys of a property list with their values, arrays and dictionaries in one line.
fn plist(text: &str) -> BTreeMap<String, String> {
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut tags, mut key, mut found) = (Vec::<String>::new(), String::new(), BTreeMap::<String, String>::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) => tags.push(tag.name().as_ref().to_owned()),
            Event::End(tag) => assert_eq!(tags.pop().unwrap(), tag.name().as_ref()),
            Event::Empty(tag) => {
                found.entry(key.clone()).or_default().push_str(tag.name().as_ref());
            }
            Event::Text(text) => {
                let text = text.trim().to_owned();
                if tags.len() == 3 && tags[2] == "key" {
                    key = text;
                } else if !text.is_empty() {
                    let value = found.entry(key.clone()).or_default();
                    value.push_str(&text);
                    value.push(' ');
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(tags.is_empty(), "left open: {tags:?}");
    found
}

#[test]
fn property_lists_have_the_right_keys() {
    for (name, command) in [("agent", "server start --config "), ("hub", "hub start --data-dir ")] {
        let list = plist(&read(&format!("launchd/io.masv.{name}.plist")));
        assert_eq!(list["Label"].trim(), format!("io.masv.{name}"));
        assert!(list["ProgramArguments"].starts_with(&format!("/usr/local/bin/masv {command}")), "{list:?}");
        assert_eq!(list["RunAtLoad"], "true");
        assert_eq!(list["KeepAlive"], "SuccessfulExit false");
        assert_eq!(list["Umask"].trim().parse::<u32>().unwrap(), 0o027);
        for key in ["ThrottleInterval", "ExitTimeOut", "ProcessType", "SoftResourceLimits", "StandardErrorPath"] {
            assert!(list.contains_key(key), "{name}: {key}");
        }
    }
}

#[test]
fn the_settings_file_is_one_that_the_agent_takes() {
    let commented = read("systemd/agent.yaml");
    let lines = commented.lines().filter_map(|line| line.strip_prefix("# "));
    let settings: String = lines.filter(|line| line.contains(": ") && line.starts_with(char::is_lowercase)).fold(
        String::new(),
        |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        },
    );
    let written: masv_agent::agent::Written = serde_yaml::from_str(&settings).unwrap();
    assert!(written.rules.is_some() && written.listen.is_some() && !written.allow_root.is_empty(), "{settings}");
}

#[test]
fn systemd_accepts_the_units_and_finds_them_well_guarded() {
    if !Command::new("systemd-analyze").arg("--version").output().is_ok_and(|said| said.status.success()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for (from, to) in [
        ("masv-agent.service", "masv-agent.service"),
        ("masv-agent@.service", "masv-agent@one.service"),
        ("masv-hub.service", "masv-hub.service"),
    ] {
        // It looks whether the program is there; of an instance it wants the template beside it.
        let unit = read(&format!("systemd/{from}")).replace("/usr/bin/masv ", "/bin/true ");
        std::fs::write(folder.path().join(from), &unit).unwrap();
        std::fs::write(folder.path().join(to), unit).unwrap();
        units.push(folder.path().join(to));
    }
    let said = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units).output().unwrap();
    let complaints = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && !complaints.contains("masv-"), "{complaints}");
    for unit in units {
        let security = ["security", "--offline=true", "--threshold=20", "--no-pager"];
        let said = Command::new("systemd-analyze").args(security).arg(&unit).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    }
}

/// The real agent under a service manager that is a socket: what it says, in which order.
#[cfg(target_os = "linux")]
#[test]
fn the_agent_tells_the_service_manager_how_it_goes() {
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut agent = Command::new(env!("CARGO_BIN_EXE_masv"))
        .args(["server", "start", "--listen", "http://127.0.0.1:0", "--data-dir"])
        .arg(folder.path().join("data"))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000")
        .env_remove("WATCHDOG_PID")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let until = |wanted: &str| {
        let mut buffer = [0; 1024];
        loop {
            let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{wanted}: {error}"));
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if said.contains(wanted) {
                return said;
            }
        }
    };
    let signal = |name: &str| {
        let pid = agent.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    assert!(until("READY=1").contains("STATUS=0 rules"));
    until("WATCHDOG=1");
    signal("-HUP");
    assert!(until("RELOADING=1").contains("MONOTONIC_USEC="), "without it the reload counts as failed");
    until("READY=1");
    signal("-TERM");
    until("STOPPING=1");
    assert!(agent.wait().unwrap().success());
}
