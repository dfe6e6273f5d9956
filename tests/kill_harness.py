#!/usr/bin/env python3
"""`kill -9` at random moments, under programs that write in every way: nothing is lost, sent twice, or sent in part.

    python3 tests/kill_harness.py target/release/masv      # MASV_KILLS=300 for the long run, 20 otherwise

The agent with its hub inside, then agent and hub as two processes of which either or both are killed, each with half of the
kills. With MASV_LINK=100 all kills hit the two processes, with a link of that round trip (milliseconds) and 125 MB/s between them,
whose connections carry 4 MB a round trip each, and which resets one now and then. Meanwhile programs write slowly, rename files in, write over what was sent (also with its size and date kept), copy
folders, remove and make files again, add to open packages, and record large files that are sent while they grow, whose heads they write
anew, which they cut or rename; rules delete, move and keep what is sent. In the end each
package is downloaded over a link made for that, and the SHA-256 of each file is compared with all that was ever written:

* lost: the last content of a file that stayed, and that no package has;
* twice: content that more than one package has, or one has more than once;
* partial: content that no program had finished writing.

It also fails on uploads that did not end complete (but those of files that were removed before they were sent), on claims left in the ledger, and on a damaged database.
"""
import asyncio, hashlib, json, os, pathlib, random, shutil, signal, sqlite3, subprocess, sys, tempfile, threading, time, urllib.parse, urllib.request

KILLS = int(os.environ.get("MASV_KILLS", "20"))
SEED = int(os.environ.get("MASV_SEED", str(random.randrange(1 << 32))))
# Round trip in milliseconds; 0 is no link in between.
LINK = int(os.environ.get("MASV_LINK", "0"))
# So long after the last drop everything must have been sent.
PATIENCE = 180
RULES = """version: 1
defaults: { settle: 1s, rescan: 10s, create: true, package: file, upload: { kind: link } }
rules:
  - { name: keep, watch: drop/keep }
  - { name: delete, watch: drop/delete, after: delete }
  - { name: move, watch: drop/move, after: { complete: { move: moved } } }
  - { name: folder, watch: drop/folder, package: { per: folder, quiet: 2s } }
  - { name: batch, watch: drop/batch, package: batch }
  - { name: open, watch: drop/open, package: batch, finalize: { quiet: 3s, files: 12 } }
  - { name: growing, watch: drop/growing, growing: send, growing_min: 6MiB, growing_guard: 5MiB, upload: { kind: link, chunk_size: 5MiB } }
"""


class Link:
    """A TCP proxy with a delay, a shared rate and a window per connection, which resets connections now and then."""

    RATE, WINDOW, PIECE, RESETS = 125_000_000, 4_000_000, 32 << 10, 1 / 500

    def __init__(self, target, round_trip):
        host, port = target.rsplit(":", 1)
        self.target, self.delay, self.address = (host, int(port)), round_trip / 2000, None
        self.loop, up = asyncio.new_event_loop(), threading.Event()
        threading.Thread(target=self.run, args=(up,), daemon=True).start()
        up.wait(10)

    def run(self, up):
        self.free_at = {"there": 0.0, "back": 0.0}
        server = self.loop.run_until_complete(asyncio.start_server(self.carry, "127.0.0.1", 0))
        self.address = "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
        up.set()
        self.loop.run_forever()

    async def carry(self, near, near_out):
        try:
            await asyncio.sleep(2 * self.delay)  # the handshake
            far, far_out = await asyncio.open_connection(*self.target)
        except OSError:
            near_out.transport.abort()
            return
        ways = [self.one_way("there", near, far_out), self.one_way("back", far, near_out)]
        await asyncio.gather(*ways, return_exceptions=True)
        for one in (near_out, far_out):
            one.transport.abort()

    async def one_way(self, way, source, sink):
        window, under_way = asyncio.Semaphore(self.WINDOW // self.PIECE), asyncio.Queue()

        async def deliver():
            while (item := await under_way.get()) is not None:
                at, data = item
                await asyncio.sleep(max(at - self.loop.time(), 0))
                sink.write(data)
                await sink.drain()
                self.loop.call_later(self.delay, window.release)
            if sink.can_write_eof():
                sink.write_eof()
        delivering = asyncio.ensure_future(deliver())
        try:
            while data := await source.read(self.PIECE):
                await window.acquire()
                if way == "there" and random.random() < self.RESETS * len(data) / (1 << 20):
                    sink.transport.abort()
                    raise ConnectionResetError
                now = self.loop.time()
                self.free_at[way] = max(self.free_at[way], now) + len(data) / self.RATE
                under_way.put_nowait((self.free_at[way] + self.delay, data))
            under_way.put_nowait(None)
            await delivering
        except OSError:
            delivering.cancel()
            sink.transport.abort()


def wait_for(what, condition, limit):
    deadline = time.time() + limit
    while not condition():
        if time.time() > deadline:
            raise RuntimeError(f"not within {limit} s: {what}")
        time.sleep(0.1)


class Process:
    """A process of the binary that is started again on the same data."""

    def __init__(self, folder, env, arguments, log):
        self.folder, self.env, self.arguments, self.log, self.process = folder, env, arguments, log, None

    def start(self):
        self.process = subprocess.Popen(self.arguments, cwd=self.folder, env=self.env, stdout=subprocess.DEVNULL,
                                        stderr=open(self.log, "ab"))

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        return self.process.wait(60)


class Bench:
    """An agent, and a hub inside it or beside it."""

    def __init__(self, binary, folder, apart):
        self.folder, self.processes = folder, []
        env = {key: value for key, value in os.environ.items() if not key.startswith("MASV_")}
        env.update(MASV_DATA_DIR=str(folder / "data"))
        folder.joinpath("rules.yaml").write_text(RULES)
        flags = ["server", "start", "--rules", "rules.yaml", "--listen", "http://127.0.0.1:0", "--log-level", "info"]
        self.hub = None
        if apart:
            url, key, team = self.first_hub(binary, env)
            listen = url.removeprefix("http://")
            hub = [binary, "hub", "start", "--listen", listen, "--log-level", "info", "--data-dir", str(folder / "hub")]
            if LINK:
                # Recipients reach it over the link, too.
                url = Link(listen, LINK).address
                hub += ["--public-url", url]
            self.hub = Process(folder, env, hub, folder / "hub.log")
            flags += ["--cloud-url", url, "--team-id", team]
            env = dict(env, MASV_API_KEY=key)
        self.agent = Process(folder, env, [binary, *flags], folder / "log")

    def first_hub(self, binary, env):
        """Starts a hub for the first time, to have its address and its key, and stops it."""
        arguments = [binary, "hub", "start", "--listen", "127.0.0.1:0", "--log-level", "error", "--data-dir", str(self.folder / "hub")]
        hub = subprocess.Popen(arguments, cwd=self.folder, env=env, stdout=subprocess.PIPE, text=True)
        found = {}
        for line in hub.stdout:
            name, _, value = line.strip().partition(": ")
            if value and name == "team":
                found[name] = value
            if line.strip().startswith("The hub listens on "):
                found["url"] = line.strip().removeprefix("The hub listens on ").split(",")[0]
                break
        hub.terminate()
        hub.wait()
        key = (self.folder / "hub" / "first-api-key").read_text().strip()
        return found["url"], key, found["team"]

    def start(self):
        if self.hub:
            self.hub.start()
        self.agent.start()
        self.wait_until_up()

    def wait_until_up(self):
        wait_for("the agent is up", lambda: self.try_get("/readyz") is not None, 60)

    def address(self):
        written = json.loads((self.folder / "data/agent.json").read_text())
        if written["pid"] != self.agent.process.pid:
            raise OSError("that is the address of the one before")
        return written["address"]

    def call(self, path, method="GET", body=None):
        request = urllib.request.Request(self.address() + path, method=method, data=body,
                                         headers={"X-Masv": "harness", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()

    def try_get(self, path):
        try:
            return self.call(path)
        except (OSError, ValueError, KeyError):
            return None

    def uploads(self):
        uploads, cursor = [], ""
        while True:
            page = json.loads(self.call(f"/api/v1/uploads?limit=1000{cursor}"))
            uploads += page["transfers"]
            if not page.get("cursor"):
                return uploads
            cursor = "&cursor=" + page["cursor"]

    def waiting(self):
        return sum(rule["waiting_count"] for rule in json.loads(self.call("/api/v1/automations"))["automations"]
                   if "waiting_count" in rule)

    def received(self, upload):
        """SHA-256 of each file of a package, over a link made for this."""
        link = json.loads(self.call(f"/api/v1/uploads/{upload['id']}/links", "POST", b"{}"))["url"]
        parts = urllib.parse.urlsplit(link)
        base, identifier = f"{parts.scheme}://{parts.netloc}", parts.path.rsplit("/", 1)[-1]

        def get(url, token=""):
            request = urllib.request.Request(url, headers={"X-Package-Token": token})
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read()
        opened = json.loads(get(f"{base}/v1/links/{identifier}?{parts.query}"))
        package, token = opened["package_id"], opened["package_token"]
        for file in json.loads(get(f"{base}/v1/packages/{package}/files", token)):
            at = json.loads(get(f"{base}/v1/packages/{package}/files/{file['id']}/download", token))["url"]
            yield file["name"], hashlib.sha256(get(at)).hexdigest()


class Drops:
    """All that was ever written: by SHA-256, what it is and whether it must arrive."""

    def __init__(self):
        self.lock, self.known, self.must, self.count = threading.Lock(), {}, {}, 0

    def content(self, file, length=None):
        """New content for a file, which must arrive unless it is replaced or removed before."""
        with self.lock:
            self.count += 1
            number = self.count
        length = length or random.choice([0, 100, 20_000, 300_000])
        head = f"{file} {number}\n".encode()
        data = head + random.randbytes(max(length - len(head), 0))
        self.expect(file, data)
        return data

    def expect(self, file, data):
        digest = hashlib.sha256(data).hexdigest()
        with self.lock:
            self.known[digest] = str(file)
            self.must[str(file)] = digest

    def may_be_missing(self, file):
        with self.lock:
            self.must.pop(str(file), None)


class Writers:
    def __init__(self, folder, drops, stop):
        self.folder, self.drops, self.stop, self.serial = folder, drops, stop, 0
        (folder / "aside").mkdir(exist_ok=True)
        (folder / "moved").mkdir(exist_ok=True)
        ways = [self.slowly, self.renamed, self.rewritten, self.folders, self.made_again, self.opened, self.batches,
                self.recorded]
        self.threads = [threading.Thread(target=self.run, args=(way,), daemon=True) for way in ways]

    def run(self, way):
        while not self.stop.is_set():
            way()
            self.rest(0.2, 1.5)

    def rest(self, least, most):
        self.stop.wait(random.uniform(least, most))

    def place(self, *rules):
        with self.drops.lock:
            self.serial += 1
            serial = self.serial
        return self.folder / "drop" / random.choice(rules) / f"{random.choice('abc')} {serial:05d}.mov"

    def slowly(self):
        """In pieces, held open all the time."""
        path = self.place("keep", "delete", "move")
        data = self.drops.content(path)
        with open(path, "wb", buffering=0) as file:
            for piece in range(8):
                file.write(data[len(data) * piece // 8:len(data) * (piece + 1) // 8])
                time.sleep(random.uniform(0, 0.4))

    def renamed(self):
        path = self.place("keep", "delete", "move")
        aside = self.folder / "aside" / path.name
        aside.write_bytes(self.drops.content(path))
        aside.rename(path)

    def rewritten(self):
        """Other content over what is perhaps sent, half of the time of the same size and with the date put back."""
        path = self.place("keep")
        path.write_bytes(self.drops.content(path, 50_000))
        for _ in range(random.randrange(1, 3)):
            self.rest(0.5, 8)
            before = path.stat()
            kept = random.random() < 0.5
            data = self.drops.content(path, before.st_size if kept else random.randrange(100, 90_000))
            with open(path, "r+b", buffering=0) as file:
                file.write(data[:len(data) // 2])
                time.sleep(random.uniform(0, 0.3))
                file.write(data[len(data) // 2:])
                file.truncate()
            if kept:
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def folders(self):
        path = self.place("folder").with_suffix("")
        aside = self.folder / "aside" / path.name
        begin = aside if random.random() < 0.5 else path
        for number in range(random.randrange(2, 9)):
            place = f"{random.choice(['', 'one/', 'one/two/'])}{number}.mov"
            (begin / place).parent.mkdir(parents=True, exist_ok=True)
            (begin / place).write_bytes(self.drops.content(path / place))
            time.sleep(random.uniform(0, 0.2))
        if begin == aside:
            aside.rename(path)

    def made_again(self):
        """Removed, sent or not, and made again with other content."""
        path = self.place("keep", "delete", "move")
        path.write_bytes(self.drops.content(path))
        self.rest(0, 6)
        try:
            path.unlink()
            # It may have been sent or not: only what comes next must arrive.
            self.drops.may_be_missing(path)
        except FileNotFoundError:
            pass
        again = path.with_name(path.name.replace(".mov", " again.mov")) if random.random() < 0.3 else path
        aside = self.folder / "aside" / ("again " + path.name)
        aside.write_bytes(self.drops.content(again))
        aside.rename(again)

    def recorded(self):
        """Large and for long, held open; with a new head in the end, and sometimes cut or renamed meanwhile."""
        path = self.place("growing")
        data = bytearray()
        with open(path, "wb", buffering=0) as file:
            for _ in range(random.randrange(8, 30)):
                more = random.randbytes(random.randrange(100_000, 1_500_000))
                file.seek(len(data))
                file.write(more)
                data += more
                time.sleep(random.uniform(0, 0.4))
                if random.random() < 0.03:
                    del data[random.randrange(len(data)):]
                    file.truncate(len(data))
                if random.random() < 0.03:
                    path = path.rename(path.with_name("renamed " + path.name))
            file.seek(0)
            head = random.randbytes(min(len(data), 4_000))
            data[:len(head)] = head
            # What it has from here on is what has to arrive.
            self.drops.expect(path, bytes(data))
            file.write(head)

    def opened(self):
        self.renamed_into("open")

    def batches(self):
        self.renamed_into("batch")

    def renamed_into(self, rule):
        path = self.place(rule)
        aside = self.folder / "aside" / f"{rule} {path.name}"
        aside.write_bytes(self.drops.content(path))
        aside.rename(path)


def kill_some(bench, count):
    """Kills and starts again; returns how often and what."""
    killed = {"agent": 0, "hub": 0, "both": 0}
    for _ in range(count):
        time.sleep(random.uniform(0.2, 3.0))
        what = random.choice(["agent", "hub", "both"]) if bench.hub else "agent"
        killed[what] += 1
        if what != "agent":
            bench.hub.kill()
        if what != "hub":
            bench.agent.kill()
        time.sleep(random.choice([0, 0.1, 1]))
        if what != "agent":
            bench.hub.start()
        if what != "hub":
            bench.agent.start()
        # Now and then it is killed while it starts.
        if random.random() < 0.7:
            bench.wait_until_up()
    bench.wait_until_up()
    return killed


def is_over(upload):
    """Complete, or of a file that its program has removed before it was sent."""
    return upload["state"] == "complete" or (upload["error"] or {}).get("code") == "source_gone"


def is_through(bench):
    return bench.waiting() == 0 and all(map(is_over, bench.uploads()))


def wait_until_through(bench):
    """Until nothing is on its way any more, for as long as the slowest rule waits."""
    deadline, since = time.time() + PATIENCE, None
    while since is None or time.time() - since < 8:
        if is_through(bench):
            since = since or time.time()
        else:
            since = None
        if time.time() > deadline:
            open_ones = [upload for upload in bench.uploads() if not is_over(upload)]
            raise RuntimeError(f"not through after {PATIENCE} s: {bench.waiting()} files wait, {json.dumps(open_ones, indent=1)[:3000]}")
        time.sleep(0.5)


def compare(bench, drops):
    found, wrong = {}, []
    for upload in [upload for upload in bench.uploads() if upload["state"] == "complete"]:
        for name, digest in bench.received(upload):
            found.setdefault(digest, []).append(f"{upload['name']} / {name}")
    for digest, places in found.items():
        if digest not in drops.known:
            wrong.append(f"partial: {places}")
        elif len(places) > 1:
            wrong.append(f"twice: {drops.known[digest]} as {places}")
    for file, digest in drops.must.items():
        if digest not in found:
            wrong.append(f"lost: {file}")
    return found, wrong


def look_into_databases(folder):
    wrong = []
    for database in [folder / "data/agent.db", folder / "hub/hub.db", folder / "data/hub/hub.db"]:
        if not database.exists():
            continue
        connection = sqlite3.connect(database)
        sound = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if sound != "ok":
            wrong.append(f"{database.name}: {sound}")
        if database.name == "agent.db":
            claimed = connection.execute("SELECT count(*) FROM ledger LEFT JOIN upload ON upload.id = upload_id "
                                         "WHERE outcome = 'claimed' AND upload.state IS NOT 'error'").fetchone()[0]
            if claimed:
                wrong.append(f"{claimed} claims are left over")
        connection.close()
    return wrong


def one_bench(binary, apart, kills):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kills-"))
    bench, drops, stop = Bench(binary, folder, apart), Drops(), threading.Event()
    try:
        bench.start()
        wait_for("the folders are there", lambda: all((folder / "drop" / name).exists() for name in (
            "keep", "delete", "move", "folder", "batch", "open", "growing")), 30)
        writers = Writers(folder, drops, stop)
        for thread in writers.threads:
            thread.start()
        begun = time.time()
        killed = kill_some(bench, kills)
        stop.set()
        for thread in writers.threads:
            thread.join(30)
        ended = time.time()
        wait_until_through(bench)
        found, wrong = compare(bench, drops)
        if bench.agent.stop() != 0:
            wrong.append("the agent did not stop cleanly")
        if bench.hub:
            bench.hub.stop()
        wrong += look_into_databases(folder)
        where = "two processes" if apart else "the hub inside"
        where += f" and a link of {LINK} ms" if LINK else ""
        print(f"{where}: {sum(killed.values())} kills ({killed}) under {drops.count} writes in {ended - begun:.0f} s; "
              f"{len(found)} contents arrived, {len(drops.must)} had to; {len(wrong)} wrong", flush=True)
        if not wrong:
            shutil.rmtree(folder)
        return [f"{folder}: {what}" for what in wrong]
    finally:
        stop.set()
        for process in filter(None, [bench.agent, bench.hub]):
            if process.process and process.process.poll() is None:
                process.process.kill()
                process.process.wait()


def main():
    binary = os.path.abspath(sys.argv[1])
    random.seed(SEED)
    print(f"{KILLS} kills, MASV_SEED={SEED}", flush=True)
    if LINK:
        wrong = one_bench(binary, True, KILLS)
    else:
        wrong = one_bench(binary, False, KILLS - KILLS // 2) + one_bench(binary, True, KILLS // 2)
    if wrong:
        sys.exit("FAILED:\n" + "\n".join(wrong))
    print("nothing was lost, sent twice or sent in part")


main()
