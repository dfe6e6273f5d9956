#!/usr/bin/env python3
"""Real programs write into watched folders, as another user than the agent's, and pause: no half file may be sent.

    python3 tests/real_writers.py target/release/masv

File servers (Samba, vsftpd, sshd, WebDAV by rclone), mounts of one (sshfs), download managers, recorders and copy programs of Debian run as root against an agent that runs
as nobody without any capability, and against one with CAP_LEASE, as the service has it. Pauses are three times the settle time. What
is sent is downloaded and compared with the file as it was in the end. Needs root; installs what is missing. Some three minutes.

It fails if anything half is sent of a file that was open all the time, if more than two of the eight writers that close a file and
open it again later get a half file sent, if content is lost with `after: delete` or `move`, or if whole files are sent too late.
"""
import datetime, hashlib, http.server, json, os, pathlib, shutil, signal, socket, statistics, subprocess, sys, tempfile
import threading, time, traceback, zipfile

SETTLE, STALL = 5, 16
MAY_BE_HALF = 2
PROGRAMS = {
    "smbd": "samba", "smbclient": "smbclient", "vsftpd": "vsftpd", "sshd": "openssh-server", "scp": "openssh-client",
    "rsync": "rsync", "ffmpeg": "ffmpeg", "sox": "sox", "aria2c": "aria2", "wget": "wget", "curl": "curl", "tar": "tar",
    "setpriv": "util-linux", "unzip": "unzip", "git": "git", "rclone": "rclone", "sshfs": "sshfs",
}
RULES = """version: 1
defaults: { settle: 5s, rescan: 1h, package: file, upload: { kind: link } }
rules:
  - { name: keep, watch: ../drop/keep }
  - { name: frames, watch: ../drop/frames, package: { per: folder, quiet: 5s } }
  - { name: folders, watch: ../drop/folders, package: { per: folder, quiet: 30s } }
"""
AFTER = """  - { name: delete, watch: ../drop/delete, after: delete }
  - { name: move, watch: ../drop/move, after: { complete: { move: ../moved } } }
"""
CONTENT = bytes(range(251)) * 12_000  # three megabytes that differ from piece to piece
HALF = len(CONTENT) // 2


def sha(data):
    return hashlib.sha256(data).hexdigest()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(what, condition, limit):
    deadline = time.time() + limit
    while not condition():
        if time.time() > deadline:
            raise RuntimeError(f"not within {limit} s: {what}")
        time.sleep(0.2)


class Agent:
    def __init__(self, work, name, capabilities, takes):
        """`takes`: it deletes and moves as well."""
        self.name, self.folder, self.takes = name, work / name, takes
        self.folder.mkdir()
        (self.folder / "rules.yaml").write_text(RULES + AFTER if takes else RULES)
        os.chown(self.folder, 65534, 65534)
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("MASV_")}
        self.env["MASV_DATA_DIR"] = str(self.folder / "data")
        self.masv = str(work / "masv")
        self.by = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *capabilities]
        self.process = None

    def can_run(self):
        return subprocess.run([*self.by, "true"], stderr=subprocess.DEVNULL).returncode == 0

    def start(self):
        flags = ["server", "start", "--rules", "rules.yaml", "--listen", "http://127.0.0.1:0"]
        self.process = subprocess.Popen([*self.by, self.masv, *flags], cwd=self.folder, env=self.env,
                                        stdout=subprocess.DEVNULL, stderr=open(self.folder / "log", "ab"))
        wait_for("the agent is up", lambda: self.run("server", "status") is not None, 30)
        wait_for("it watches", lambda: all(
            self.run("rule", "status", rule)["state"] == "watching" for rule in ("keep", "frames")), 30)

    def command(self, *arguments):
        return subprocess.run([*self.by, self.masv, *arguments], cwd=self.folder, env=self.env, capture_output=True)

    def run(self, *arguments):
        done = self.command(*arguments, "--output", "json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def uploads(self):
        return self.run("upload", "ls")["transfers"]

    def sent(self, upload):
        """SHA-256 of each file of a package, by its name, as a recipient gets them."""
        into = self.folder / "received" / upload["id"]
        if not into.exists():
            done = self.command("download", "start", "--wait", "--url", upload["links"][0]["url"], "--destination",
                                str(into), "--create-package-folder=false")
            assert done.returncode == 0, f"cannot download {upload['name']}: {done.stderr}"
        return {str(path.relative_to(into)): sha(path.read_bytes()) for path in into.rglob("*") if path.is_file()}


class Servers:
    """Samba, vsftpd, sshd, WebDAV and an HTTP server that pauses, on ports of their own."""

    def __init__(self, work):
        self.work, self.processes = work, []
        self.samba, self.ftp, self.ssh, self.http, self.dav = (free_port() for _ in range(5))
        drop, conf = work / "drop", work / "servers"
        conf.mkdir()
        (conf / "empty").mkdir()
        folders = "\n".join(f"  {name} directory = {conf}" for name in ("private", "lock", "state", "cache", "pid"))
        (conf / "smb.conf").write_text(
            f"[global]\n{folders}\n  smb ports = {self.samba}\n  interfaces = 127.0.0.1\n  bind interfaces only = yes\n"
            "  map to guest = bad user\n  guest account = daemon\n  disable spoolss = yes\n  load printers = no\n"
            f"[drop]\n  path = {drop}\n  guest ok = yes\n  read only = no\n  create mask = 0644\n")
        self.start("smbd", "-F", "--no-process-group", "-s", conf / "smb.conf", "-l", conf)
        (conf / "vsftpd.conf").write_text("\n".join([
            "listen=YES", "background=NO", f"listen_port={self.ftp}", "listen_address=127.0.0.1", "anonymous_enable=YES",
            "local_enable=NO", f"anon_root={drop}", "write_enable=YES", "anon_upload_enable=YES", "anon_umask=022",
            "anon_other_write_enable=YES", "no_anon_password=YES", f"secure_chroot_dir={conf / 'empty'}",
            "seccomp_sandbox=NO", "pasv_address=127.0.0.1", "chown_uploads=NO", ""]))
        self.start("vsftpd", conf / "vsftpd.conf")
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", conf / name], check=True)
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        (conf / "sshd.conf").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.ssh}\nHostKey {conf / 'host'}\nAuthorizedKeysFile {conf / 'user.pub'}\n"
            f"PermitRootLogin yes\nStrictModes no\nUsePAM no\nPidFile {conf / 'sshd.pid'}\n"
            "Subsystem sftp internal-sftp\n")
        self.start(shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f", conf / "sshd.conf")
        self.start("rclone", "serve", "webdav", drop, "--addr", f"127.0.0.1:{self.dav}", "--config", conf / "rclone.conf")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.http), SlowContent)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for port in (self.samba, self.ftp, self.ssh, self.dav):
            wait_for(f"port {port} answers", lambda: self.answers(port), 20)

    def start(self, *command):
        log = open(self.work / "servers" / "log", "ab")
        self.processes.append(subprocess.Popen([str(word) for word in command], stdout=log, stderr=log,
                                               stdin=subprocess.DEVNULL, start_new_session=True))

    @staticmethod
    def answers(port):
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0

    def stop(self):
        if (self.work / "mounted").is_mount():
            subprocess.run(["umount", "--lazy", self.work / "mounted"])
        for process in self.processes:
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass

    def smb(self, rule, name):
        return ["smbclient", "//127.0.0.1/drop", "-p", str(self.samba), "-N", "-D", rule, "-c", f"put - {name}"]

    def ftp_url(self, rule, name):
        return f"ftp://127.0.0.1:{self.ftp}/{rule}/{name}"

    def ssh_options(self):
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        options.append(f"IdentityFile={self.work / 'servers' / 'user'}")
        return [word for option in options for word in ("-o", option)]

    def scp(self, source, target):
        return ["scp", "-q", "-l", "16000", "-P", str(self.ssh), *self.ssh_options(), str(source), f"root@127.0.0.1:{target}"]

    def rclone(self, source, target):
        """Over SFTP."""
        key = self.work / "servers" / "user"
        remote = f":sftp,host=127.0.0.1,port={self.ssh},user=root,key_file={key},shell_type=none:{target}"
        return ["rclone", "copyto", "--bwlimit", "1M", "--config", self.work / "servers" / "rclone.conf",
                source, remote]

    def mount(self):
        """Mounts the watched folders by sshfs, as on another machine; whether that can be done here."""
        at = self.work / "mounted"
        at.mkdir()
        done = subprocess.run(["sshfs", "-p", str(self.ssh), *self.ssh_options(), f"root@127.0.0.1:{self.work / 'drop'}", at],
                              capture_output=True)
        return done.returncode == 0


class SlowContent(http.server.BaseHTTPRequestHandler):
    """Sends the content in two halves with a pause between; what is asked for from the middle on comes at once."""

    def do_GET(self):
        begin = int(self.headers.get("Range", "bytes=0-").split("=")[1].split("-")[0])
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(CONTENT) - begin))
        self.end_headers()
        try:
            if begin < HALF:
                self.wfile.write(CONTENT[begin:HALF])
                self.wfile.flush()
                time.sleep(STALL)
            self.wfile.write(CONTENT[max(begin, HALF):])
        except OSError:
            pass

    def log_message(self, *_):
        pass


def run(command):
    subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL)


def fed(command, pieces, pause):
    """A program that reads the pieces from its standard input, with pauses between."""
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    for number, piece in enumerate(pieces):
        if number:
            time.sleep(pause)
        process.stdin.write(piece)
        process.stdin.flush()
    process.stdin.close()
    assert process.wait() == 0, f"{command[0]}: exit {process.returncode}"


def stopped(command, after, pause):
    """A program that is stopped in the middle, and goes on."""
    process = subprocess.Popen([str(word) for word in command], start_new_session=True, stdin=subprocess.DEVNULL)
    time.sleep(after)
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(pause)
    os.killpg(process.pid, signal.SIGCONT)
    assert process.wait() == 0, f"{command[0]}: exit {process.returncode}"


def killed(command, after, data=b"", by=signal.SIGKILL):
    """A program that is killed in the middle."""
    process = subprocess.Popen([str(word) for word in command], start_new_session=True, stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process.stdin.write(data)
    process.stdin.flush()
    time.sleep(after)
    os.killpg(process.pid, by)
    process.wait()


HALVES = [CONTENT[:HALF], CONTENT[HALF:]]
RECORDED = [bytes(range(250)) * 160] * 3


class Writers:
    """Each writes one file; returns its final content where it is known beforehand."""

    def __init__(self, work, servers):
        self.work, self.servers = work, servers
        (work / "content").write_bytes(CONTENT)

    def path(self, rule, name):
        return self.work / "drop" / rule / name

    # Open all the time, with pauses.

    def samba(self, rule, name):
        fed(self.servers.smb(rule, name), HALVES, STALL)
        return CONTENT

    def samba_steady(self, rule, name):
        pieces = [CONTENT[at:at + HALF // 8] for at in range(0, len(CONTENT), HALF // 8)]
        fed(self.servers.smb(rule, name), pieces, 1)
        return CONTENT

    def ftp(self, rule, name):
        fed(["curl", "-sS", "-T", "-", self.servers.ftp_url(rule, name)], HALVES, STALL)
        return CONTENT

    def scp(self, rule, name):
        stopped(self.servers.scp(self.work / "content", self.path(rule, name)), 1, STALL)
        return CONTENT

    def webdav(self, rule, name):
        fed(["curl", "-sS", "-T", "-", f"http://127.0.0.1:{self.servers.dav}/{rule}/{name}"], HALVES, STALL)
        return CONTENT

    def rclone(self, rule, name):
        stopped(self.servers.rclone(self.work / "content", self.path(rule, name)), 1.5, STALL)
        return CONTENT

    def sshfs(self, rule, name):
        with open(self.work / "mounted" / rule / name, "wb", buffering=0) as file:
            file.write(CONTENT[:HALF])
            os.fsync(file.fileno())
            time.sleep(STALL)
            file.write(CONTENT[HALF:])
        return CONTENT

    def rsync_inplace(self, rule, name):
        path = self.path(rule, name)
        path.write_bytes(b"sent before" * 100_000)
        time.sleep(SETTLE + 3)
        source = self.work / "content"
        stopped(["rsync", "--inplace", "--whole-file", "--bwlimit=2000", source, path], 0.7, STALL)

    def wget(self, rule, name):
        run(["wget", "-q", "-O", self.path(rule, name), f"http://127.0.0.1:{self.servers.http}/"])

    def aria2(self, rule, name):
        run(self.aria2_command(rule, name))

    def aria2_command(self, rule, name):
        return ["aria2c", "-q", "-x1", "-s1", "--file-allocation=falloc", "--allow-overwrite=true", "-c", "-d",
                self.work / "drop" / rule, "-o", name, f"http://127.0.0.1:{self.servers.http}/"]

    def tar(self, rule, name):
        folder = self.work / ("tar-" + name)
        folder.mkdir()
        (folder / name).write_bytes(CONTENT)
        archive = subprocess.run(["tar", "c", "-C", folder, name], capture_output=True, check=True).stdout
        fed(["tar", "x", "-C", self.work / "drop" / rule], [archive[:HALF], archive[HALF:]], STALL)

    def ffmpeg_command(self, path):
        source = ["-f", "lavfi", "-i", "testsrc=size=320x240:rate=10", "-t", "14"]
        return ["-loglevel", "error", *source, "-c:v", "mpeg4", "-bitexact", "-movflags", "+faststart", "-f", "mp4", "-y", path]

    def ffmpeg(self, rule, name):
        run(["ffmpeg", "-nostdin", "-re", *self.ffmpeg_command(self.path(rule, name))])
        reference = self.work / ("reference-" + rule + name)
        run(["ffmpeg", "-nostdin", *self.ffmpeg_command(reference)])
        return reference.read_bytes()

    def sox(self, rule, name):
        sox = ["sox", "-t", "raw", "-r", "8000", "-b", "16", "-e", "signed", "-c", "1", "-", "-t", "wav"]
        fed([*sox, self.path(rule, name)], RECORDED, 8)
        reference = self.work / ("reference-" + rule + name)
        fed([*sox, reference], RECORDED, 0)
        return reference.read_bytes()

    def mapped(self, rule, name):
        run([sys.executable, "-c", "import mmap, os, sys, time\nfd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)\n"
             "os.ftruncate(fd, 500_000)\nmemory = mmap.mmap(fd, 500_000)\nos.close(fd)\nmemory[:9] = b'beginning'\n"
             f"time.sleep({STALL})\nmemory[-3:] = b'end'\n", self.path(rule, name)])

    def preallocated(self, rule, name):
        script = f'fallocate -l 600000 "$0"; exec 3<>"$0"; printf begin >&3; sleep {STALL}; printf more >&3'
        run(["sh", "-c", script, self.path(rule, name)])

    def shell(self, rule, name):
        run(["sh", "-c", f'exec 3>"$0"; printf one >&3; sleep {STALL}; printf two >&3; sleep {STALL}; printf three >&3',
             self.path(rule, name)])
        return b"onetwothree"

    def rsync_partial_dir(self, rule, name):
        copy = ["rsync", "--partial-dir=.partial", "--bwlimit=500", self.work / "content", self.path(rule, name)]
        killed(copy, 2, by=signal.SIGTERM)
        time.sleep(12)
        run(copy)

    # Folders, by programs that are stopped in the middle of a file or between two; `quiet` is longer than that.

    def unzip(self, rule, name):
        archive = self.work / (name + ".zip")
        with zipfile.ZipFile(archive, "w") as written:
            for number in range(3_000):
                entry = zipfile.ZipInfo(f"{number % 20:02}/{number:04}.mov", time.localtime()[:6])
                entry.external_attr = 0o644 << 16  # else it is closed to the agent's user
                written.writestr(entry, CONTENT[:8_000])
        stopped(["unzip", "-q", archive, "-d", self.path(rule, name)], 0.1, STALL)

    def git(self, rule, name):
        source = self.work / ("source-" + name)
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", source]
        source.mkdir()
        for number in range(1_000):
            (source / f"{number:04}.mov").write_bytes(CONTENT[number:number + 8_000])
        for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "frames"]):
            run([*git, *command])
        stopped(["git", "clone", "-q", "--no-hardlinks", source, self.path(rule, name)], 0.1, STALL)

    # Closed, and opened again later.

    def browser(self, rule, name):
        path = self.path(rule, name)
        path.touch()
        for piece in HALVES:
            with open(str(path) + ".part", "ab") as part:
                part.write(piece)
            time.sleep(STALL)
        os.rename(str(path) + ".part", path)

    def aria2_killed(self, rule, name):
        killed(self.aria2_command(rule, name), SETTLE)
        time.sleep(12)
        run(self.aria2_command(rule, name))

    def touched_first(self, rule, name):
        self.path(rule, name).touch()
        time.sleep(STALL)
        self.path(rule, name).write_bytes(CONTENT)

    def samba_fails_once(self, rule, name):
        killed(self.servers.smb(rule, name), 2)
        time.sleep(12)
        fed(self.servers.smb(rule, name), [CONTENT], 0)

    def appended(self, rule, name):
        for piece in range(5):
            with open(self.path(rule, name), "ab") as file:
                file.write(CONTENT[:100_000])
            time.sleep(3)

    def rsync_killed(self, rule, name):
        copy = ["rsync", "--bwlimit=500", self.work / "content", self.path(rule, name)]
        killed(copy, 2)
        time.sleep(12)
        run([word for word in copy if word != "--bwlimit=500"])

    def ftp_resumed(self, rule, name):
        url = self.servers.ftp_url(rule, name)
        killed(["curl", "-sS", "-T", "-", url], 2, CONTENT[:HALF])
        time.sleep(12)
        run(["curl", "-sS", "-C", "-", "-T", self.work / "content", url])

    def sequence(self, rule, name):
        (self.work / "drop" / rule / name).mkdir(mode=0o755)
        for frame in range(1, 5):
            (self.work / "drop" / rule / name / f"shot.{frame:04}.exr").write_bytes(CONTENT[:frame * 10_000])
            if frame < 4:
                time.sleep(12)


FOLDERS = ["unzip", "git"]
OPEN = ["samba", "samba_steady", "ftp", "webdav", "scp", "rclone", "sshfs", "rsync_inplace", "rsync_partial_dir", "wget", "aria2", "tar", "ffmpeg", "sox", "mapped",
        "preallocated", "shell"]
TAKEN = [("delete", name) for name in ("samba_steady", "ffmpeg", "sox", "ftp", "scp", "shell")] + [("move", "scp")]
REOPENED = ["browser", "aria2_killed", "touched_first", "samba_fails_once", "appended", "rsync_killed", "ftp_resumed"]


class Case:
    def __init__(self, writers, rule, kind, reopens):
        self.rule, self.kind, self.reopens = rule, kind, reopens
        self.name = kind.replace("_", "-") + (".wav" if kind == "sox" else "" if self.is_folder() else ".mov")
        self.path = writers.path(rule, self.name)
        self.write, self.error, self.ended, self.final = getattr(writers, kind), None, None, None

    def is_folder(self):
        return self.kind == "sequence" or self.kind in FOLDERS

    def run(self):
        try:
            content = self.write(self.rule, self.name)
            self.ended = time.time()
            if self.is_folder():
                paths = [path.relative_to(self.path) for path in self.path.rglob("*") if path.is_file()]
                seen = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
                self.final = {f"{self.name}/{path}": sha((self.path / path).read_bytes()) for path in seen}
            else:
                self.final = {self.name: sha(self.path.read_bytes() if content is None else content)}
        except Exception:
            self.error = traceback.format_exc()


def late(case, upload):
    """Seconds from the end of the writer until the package was made."""
    return datetime.datetime.fromisoformat(upload["created_at"].replace("Z", "+00:00")).timestamp() - case.ended


def judged(agent, case, uploads):
    """How many half files of a case were sent, and the package that is whole, if there is one."""
    half, whole = 0, None
    for upload in uploads:
        if upload["rule"] != case.rule or upload["name"] != case.name:
            continue
        sent = agent.sent(upload)
        if sent == case.final:
            whole = upload
        elif case.kind != "rsync_inplace" or upload["size"] != 1_100_000:  # what was there before
            half += 1
    return half, whole


def check(agent, cases):
    """Waits for what is still to come, and returns what is wrong."""
    own = [case for case in cases if case.rule in ("keep", "frames", "folders") or agent.takes]
    deadline = time.time() + 120
    while True:
        uploads = [upload for upload in agent.uploads() if upload["state"] == "complete"]
        results = [(case, *judged(agent, case, uploads)) for case in own]
        missing = [case for case, _, whole in results if whole is None]
        if not missing or time.time() > deadline:
            break
        time.sleep(2)
    wrong, half_reopened, delays = [], 0, []
    for case, half, whole in results:
        delay = late(case, whole) if whole else None
        delays += [delay] if delay is not None and not case.is_folder() and not case.reopens else []
        told = "never whole" if whole is None else f"whole after {delay:.1f} s"
        print(f"   {agent.name:6} {case.rule:6} {case.kind:16} {half} half, {told}")
        if case.reopens:
            half_reopened += bool(half)
        elif half:
            wrong.append(f"{agent.name}: {case.rule}/{case.kind}: {half} half files sent")
        if whole is None:
            wrong.append(f"{agent.name}: {case.rule}/{case.kind}: its final content was never sent")
    if half_reopened > MAY_BE_HALF:
        wrong.append(f"{agent.name}: {half_reopened} of {len(REOPENED) + 1} that were closed and opened again are half")
    # The machine is busy with all of these at once: the usual case counts.
    if statistics.median(delays) > SETTLE + 1:
        wrong.append(f"{agent.name}: whole {statistics.median(delays):.1f} s after the last byte")
    return wrong


def main():
    if os.geteuid() != 0:
        print("not root: no other users to write as; nothing is tested")
        return
    has = lambda program: shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    missing = sorted({package for program, package in PROGRAMS.items() if not has(program)})
    if missing:
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], check=True,
                       stdout=subprocess.DEVNULL)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    os.umask(0o022)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the servers end as well
    work = pathlib.Path(tempfile.mkdtemp())
    work.chmod(0o755)
    shutil.copy(sys.argv[1], work / "masv")
    for folder in ("drop/keep", "drop/delete", "drop/move", "drop/frames", "drop/folders", "moved"):
        (work / folder).mkdir(parents=True)
        (work / folder).chmod(0o777)
    agents = [Agent(work, "plain", [], True),
              Agent(work, "lease", ["--inh-caps=+lease", "--ambient-caps=+lease"], False)]
    servers, wrong = None, ["it did not come to an end"]
    try:
        if not agents[1].can_run():
            print("   CAP_LEASE cannot be given here: only the agent without it is tested")
            agents.pop()
        for agent in agents:
            agent.start()
        servers = Servers(work)
        writers = Writers(work, servers)
        writing = list(OPEN)
        if not servers.mount():
            print("   nothing can be mounted by FUSE here: sshfs is not tested")
            writing.remove("sshfs")
        cases = [Case(writers, "keep", kind, False) for kind in writing]
        cases += [Case(writers, "folders", kind, False) for kind in FOLDERS]
        cases += [Case(writers, rule, kind, False) for rule, kind in TAKEN]
        cases += [Case(writers, "keep", kind, True) for kind in REOPENED] + [Case(writers, "frames", "sequence", True)]
        threads = [threading.Thread(target=case.run) for case in cases]
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        for thread in threads:
            thread.join()
        broken = [case for case in cases if case.error]
        for case in broken:
            print(f"{case.rule}/{case.kind}: {case.error}")
        wrong = [f"{case.rule}/{case.kind}: the writer itself failed" for case in broken]
        for agent in agents:
            wrong += check(agent, [case for case in cases if not case.error])
    finally:
        for agent in agents:
            if agent.process:
                agent.process.terminate()
                agent.process.wait()
        if servers:
            servers.stop()
        if wrong:
            for agent in agents:
                print(f"--- log of {agent.name}")
                subprocess.run(["tail", "-n", "30", str(agent.folder / "log")])
        shutil.rmtree(work, ignore_errors=True)
    if wrong:
        sys.exit("FAILED:\n  " + "\n  ".join(wrong))
    print("   no half file, nothing lost")


if __name__ == "__main__":
    main()
