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

/// Case: the units' bounds on memory and tasks, and what the user's unit may reach.
/// Case: the agent as the package installs it, another user than the writers, has `CAP_LEASE` and nothing else.
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
        ("Service", "SystemCallFilter", "@system-service"),
        ("Service", "StateDirectoryMode", "0700"),
        ("Install", "WantedBy", "multi-user.target"),
    ];
    for unit in ["systemd/masv-agent.service", "systemd/masv-agent@.service"] {
        assert_has(unit, &agent);
        assert_has(unit, &system);
        assert_has(unit, &[("Service", "User", "masv-agent")]);
        // One, and no other: to see who writes into the folders.
        assert_has(unit, &[("Service", "CapabilityBoundingSet", "CAP_LEASE")]);
        assert_has(unit, &[("Service", "AmbientCapabilities", "CAP_LEASE")]);
        assert!(read(unit).contains("#LoadCredential=api-key:"), "{unit}");
    }
    // What a user's agent makes is for that user, and what goes wrong in it is bounded.
    let bounds = [("Service", "MemoryMax", "50%"), ("Service", "TasksMax", "2048")];
    for unit in ["systemd/user/masv-agent.service", "systemd/masv-agent.service", "systemd/masv-agent@.service"] {
        assert_has(unit, &bounds);
    }
    assert_has(
        "systemd/user/masv-agent.service",
        &[("Service", "UMask", "0077"), ("Service", "RestrictNamespaces", "yes")],
    );
    assert_has("systemd/masv-agent.service", &[("Service", "StateDirectory", "masv-agent")]);
    assert_has("systemd/masv-agent@.service", &[("Service", "StateDirectory", "masv-agent-%i")]);
    assert_has("systemd/user/masv-agent.service", &agent);
    assert_has("systemd/user/masv-agent.service", &[("Install", "WantedBy", "default.target")]);
    assert_has("systemd/masv-hub.service", &agent);
    assert_has("systemd/masv-hub.service", &system);
    assert_has("systemd/masv-hub.service", &[("Service", "CapabilityBoundingSet", "")]);
    assert_has("systemd/masv-hub.service", &[("Service", "ProcSubset", "pid"), ("Service", "PrivateUsers", "yes")]);
    for unit in ["systemd/masv-agent.service", "systemd/masv-agent@.service", "systemd/masv-hub.service"] {
        assert_has(unit, &[("Service", "TasksMax", "2048"), ("Service", "UMask", "0027")]);
        // Whose files are and who calls is asked of the machine's own users, and the limit of watches of /proc/sys.
        let agent = unit.contains("agent");
        assert!(
            !agent
                || !directives(&read(unit)).iter().any(|(_, key, _)| matches!(&**key, "ProcSubset" | "PrivateUsers"))
        );
    }
    assert_has(
        "systemd/masv-hub.service",
        &[("Service", "User", "masv-hub"), ("Service", "StateDirectory", "masv-hub")],
    );
    assert_has("systemd/masv-hub.socket", &[("Socket", "ListenStream", "127.0.0.1:8090")]);
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

/// Case: the hub's property list names a user, so that it does not run as root.
#[test]
fn property_lists_have_the_right_keys() {
    for (name, command) in [("agent", "server start --config "), ("hub", "hub start --data-dir ")] {
        let list = plist(&read(&format!("launchd/io.masv.{name}.plist")));
        assert_eq!(list["Label"].trim(), format!("io.masv.{name}"));
        assert!(list["ProgramArguments"].starts_with(&format!("/usr/local/bin/masv {command}")), "{list:?}");
        assert_eq!(list["RunAtLoad"], "true");
        assert_eq!(list["KeepAlive"], "SuccessfulExit false");
        // Copied by hand, it must not run as root.
        assert!(name == "agent" || list["UserName"].trim() == "_masvhub", "{list:?}");
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

/// Case: systemd rates the units as well guarded.
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
        // It checks that the program exists; an instance needs the template beside it.
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
    until("STATUS=0 rules, 0 uploads in flight, 0 failed");
    signal("-HUP");
    assert!(until("RELOADING=1").contains("MONOTONIC_USEC="), "without it the reload counts as failed");
    until("READY=1");
    signal("-TERM");
    until("STOPPING=1");
    assert!(agent.wait().unwrap().success());
}

/// Fake `systemctl` and similar commands that record their arguments; the service is active once it was started.
#[cfg(target_os = "linux")]
fn fake_service_manager(folder: &Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let programs = folder.join("bin");
    std::fs::create_dir(&programs).unwrap();
    let script = "#!/bin/sh\necho \"$*\" >>\"$CALLS\"\ncase \"$*\" in\n*is-active*) [ -f \"$CALLS.on\" ] && echo active || \
                  { echo inactive; exit 3; } ;;\n*restart*) touch \"$CALLS.on\" ;;\n*disable*) rm -f \"$CALLS.on\" ;;\nesac\n";
    std::fs::write(programs.join("systemctl"), script).unwrap();
    std::fs::set_permissions(programs.join("systemctl"), std::fs::Permissions::from_mode(0o755)).unwrap();
    programs
}

#[cfg(target_os = "linux")]
#[test]
fn a_service_is_installed_once_and_taken_away_again() {
    let folder = tempfile::tempdir().unwrap();
    let programs = fake_service_manager(folder.path());
    let calls = folder.path().join("calls");
    let run = |word: &str| {
        let _ = std::fs::remove_file(&calls);
        let said = crate::process::command(folder.path(), &["service", word, "--user", "--output", "text"])
            .env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()))
            .env("CALLS", &calls)
            .env("XDG_CONFIG_HOME", folder.path().join("config"))
            .output()
            .unwrap();
        let told = std::fs::read_to_string(&calls).unwrap_or_default();
        (said.status.code().unwrap(), String::from_utf8(said.stdout).unwrap(), told)
    };
    let unit = folder.path().join("config/systemd/user/masv-agent.service");
    let (code, said, told) = run("install");
    assert!(code == 0 && said.contains("wrote") && said.contains("started masv-agent.service"), "{said}");
    for order in ["--user daemon-reload", "--user enable masv-agent.service", "--user restart masv-agent.service"] {
        assert!(told.contains(order), "{order}: {told}");
    }
    assert!(std::fs::read_to_string(&unit).unwrap().contains(env!("CARGO_BIN_EXE_masv")));
    let (code, said, told) = run("install");
    assert!(code == 0 && said.contains("unchanged") && said.contains("is already running"), "{said}");
    assert!(!told.contains("restart"), "nothing changed, nothing is disturbed: {told}");
    assert_eq!(run("status").0, 0);
    std::fs::write(&unit, "[Unit]\n").unwrap();
    let (_, said, told) = run("install");
    assert!(said.contains("wrote") && told.contains("restart"), "a unit that was changed is put right: {said}");
    let (code, said, told) = run("uninstall");
    assert!(code == 0 && said.contains("removed") && told.contains("disable --now"), "{said}");
    assert!(!unit.exists() && folder.path().join("config/masv-agent/agent.yaml").exists());
    let (code, said, _) = run("uninstall");
    assert!(code == 0 && said.contains("nothing was installed"), "{said}");
    assert_eq!(run("status").0, 3);
}

/// Where there is Python, its parser of property lists has the last word.
#[test]
fn property_lists_are_read_by_a_real_parser() {
    let program =
        "import plistlib, sys\nfor name in sys.argv[1:]:\n    plistlib.load(open(name, 'rb'))['ProgramArguments'][0]\n";
    let lists = ["agent", "hub"].map(|name| Path::new(ROOT).join(format!("launchd/io.masv.{name}.plist")));
    match Command::new("python3").args(["-c", program]).args(lists).output() {
        Ok(said) => assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr)),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}
