#!/usr/bin/env python3
"""Months in hours: drops files without end, and watches what the agent needs for it.

    python3 tests/soak.py target/release/masv HOURS           # 24 for a release, 0.1 to see whether it works
    python3 tests/soak.py target/release/masv 100000 uploads  # as many drops as that, as fast as they are taken

Every second (or whenever fewer than 200 wait, where uploads are counted) a file, now and then a folder or a larger file; rules loaded again, uploads paused and resumed, lists and event
streams read, the hub restarted with the agent by kill -9 once in a while. What is sampled is printed as a table. It fails
when something was not sent, or when memory, open files, threads or tasks of the last quarter are more than those of the second.
(The first is for warming up.) The hub is in the same process, and counts.
"""
import json, os, pathlib, random, shutil, signal, statistics, subprocess, sys, tempfile, time, urllib.request

RULES = """version: 1
rules:
  - name: files
    watch: drop/files
    create: true
    settle: 1s
    package: file
    upload: { kind: link }
    after: { complete: delete }
  - name: folders
    watch: drop/folders
    create: true
    settle: 1s
    package: folder
    upload: { kind: email, emails: [client@example.com] }
    after: { complete: delete }
"""
# How much more of each the last quarter may have than the second, as a factor and in numbers.
# Threads that read and hash files come and go with what is dropped at the moment.
MAY_GROW = {"memory": (1.15, 8 << 20), "descriptors": (1.0, 12), "threads": (1.0, 24), "tasks": (1.0, 20)}


class Agent:
    def __init__(self, binary, folder):
        self.binary, self.folder, self.process = binary, folder, None
        self.log = open(folder / "log", "ab")
        self.env = dict(os.environ, MASV_DATA_DIR=str(folder / "data"))
        for name in ("MASV_SERVER", "MASV_API_KEY", "MASV_TOKEN", "MASV_CLOUD_URL", "MASV_RULES", "MASV_LISTEN"):
            self.env.pop(name, None)

    def start(self):
        flags = ["server", "start", "--rules", "rules.yaml", "--listen", "http://127.0.0.1:0", "--log-level", "warn"]
        self.process = subprocess.Popen(
            [self.binary, *flags], cwd=self.folder, env=self.env, stdout=subprocess.DEVNULL, stderr=self.log)
        for _ in range(600):
            try:
                written = json.loads((self.folder / "data/agent.json").read_text())
                if written["pid"] == self.process.pid:
                    self.address = written["address"]
                    self.get("/readyz")
                    return
            except (OSError, ValueError):
                pass
            time.sleep(0.1)
        sys.exit("the agent does not start: see " + str(self.folder / "log"))

    def get(self, path, limit=None):
        with urllib.request.urlopen(self.address + path, timeout=30) as answer:
            return answer.read(limit).decode()

    def post(self, path):
        urllib.request.urlopen(urllib.request.Request(self.address + path, method="POST", headers={"X-Masv": "soak"}), timeout=30).read()

    def sample(self):
        found = {}
        for line in self.get("/metrics").splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                found[name.removesuffix("{}")] = float(value)
        state = lambda word: int(found[f'masv_uploads{{state="{word}"}}'])
        return {
            "memory": found["process_resident_memory_bytes"], "descriptors": found["process_open_fds"],
            "threads": found["process_threads"], "tasks": found["masv_tasks"],
            "database": found["masv_database_size_bytes"], "cpu": found["process_cpu_seconds_total"],
            "complete": state("complete"), "open": state("transferring") + state("paused"), "error": state("error"),
        }


def drop(folder, number):
    """Makes a file aside and moves it in, or writes it slowly in place. Returns how many packages become of it."""
    name = f"clip {number:07d}"
    if number % 40 == 0:
        target = folder / "drop/folders" / name
        (target / "sub").mkdir(parents=True)
        for part in range(random.randint(1, 30)):
            (target / "sub" / f"{part}.mov").write_bytes(os.urandom(random.randint(0, 20_000)))
    elif number % 300 == 0:
        (folder / "drop/files" / name).write_bytes(os.urandom(20 << 20))
    else:
        aside = folder / "aside"
        aside.write_bytes(os.urandom(random.randint(0, 60_000)))
        aside.rename(folder / "drop/files" / name)


def main():
    binary, hours = os.path.abspath(sys.argv[1]), float(sys.argv[2])
    wanted = int(hours) if sys.argv[3:] == ["uploads"] else None
    folder = pathlib.Path(tempfile.mkdtemp(prefix="soak-"))
    (folder / "rules.yaml").write_text(RULES)
    agent = Agent(binary, folder)
    agent.start()
    begun = time.time()
    every = max(2.0, hours * 3600 / 200) if wanted is None else wanted / 200
    samples, dropped, next_sample, next_mischief, restarts = [], 0, 0, time.time() + 20, 0
    print(f"{'minutes':>8} {'memory':>9} {'files':>6} {'threads':>8} {'tasks':>6} {'database':>9} {'sent':>8} {'open':>5} {'error':>5}")
    try:
        # How much of it is done, from 0 to 1; samples are taken by the same measure.
        def progress():
            return (time.time() - begun) / (hours * 3600) if wanted is None else dropped / wanted
        while progress() < 1:
            if wanted is not None and dropped % 50 == 0:
                while dropped - agent.sample()["complete"] > 200:
                    time.sleep(0.2)
            dropped += 1
            drop(folder, dropped)
            if time.time() >= next_mischief:
                next_mischief = time.time() + 20
                kind = random.choice(["reload", "pause", "list", "stream", "doctor"])
                if kind == "reload":
                    agent.process.send_signal(signal.SIGHUP)
                elif kind == "pause":
                    agent.post("/api/v1/uploads/pause"); time.sleep(1); agent.post("/api/v1/uploads/resume")
                elif kind == "list":
                    agent.get("/api/v1/uploads?limit=1000")
                elif kind == "doctor":
                    agent.get("/api/v1/doctor")
                else:
                    streams = [urllib.request.urlopen(agent.address + "/api/v1/events", timeout=30) for _ in range(20)]
                    time.sleep(1)
                    for stream in streams:
                        stream.close()
            # A restart begins the measuring anew, so only in the first quarter.
            if restarts < 3 and progress() < 0.2 and random.random() < 0.02:
                restarts += 1
                agent.process.kill(); agent.process.wait(); agent.start()
            measure = time.time() if wanted is None else dropped
            if measure >= next_sample:
                next_sample = measure + every
                now = agent.sample()
                samples.append(now)
                print(f"{(time.time() - begun) / 60:8.1f} {now['memory'] / 2**20:7.1f} M {now['descriptors']:6.0f} "
                      f"{now['threads']:8.0f} {now['tasks']:6.0f} {now['database'] / 2**20:7.1f} M {now['complete']:8} {now['open']:5} {now['error']:5}",
                      flush=True)
            if wanted is None:
                time.sleep(random.uniform(0.2, 0.8))
        print("waiting until all is sent", flush=True)
        deadline = time.time() + 300
        while agent.sample()["complete"] < dropped and time.time() < deadline:
            time.sleep(1)
        last = agent.sample()
        wrong = []
        if last["complete"] != dropped or last["error"]:
            wrong.append(f"{dropped} were dropped, {last['complete']} are complete, {last['error']} in error")
        left = [path.name for path in (folder / "drop").rglob("clip*")]
        if left:
            wrong.append(f"{len(left)} are still in the folders, such as {left[0]}")
        quarter = len(samples) // 4
        for name, (factor, number) in MAY_GROW.items():
            before = statistics.median(sample[name] for sample in samples[quarter:2 * quarter])
            after = statistics.median(sample[name] for sample in samples[-quarter:])
            print(f"{name:>12}: {before:,.0f} in the second quarter, {after:,.0f} in the last")
            if after > before * factor + number:
                wrong.append(f"{name} grew from {before:,.0f} to {after:,.0f}")
        print(f"{dropped} drops, {restarts} kills, {last['cpu']:.0f} s of processor time since the last start")
        agent.process.terminate()
        if agent.process.wait(30) != 0:
            wrong.append("it did not stop cleanly")
        if wrong:
            sys.exit("FAILED: " + "; ".join(wrong) + f"\nsee {folder}")
        shutil.rmtree(folder)
        print("nothing grew, and nothing was lost")
    finally:
        if agent.process.poll() is None:
            agent.process.kill()


main()
