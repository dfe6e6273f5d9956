#!/usr/bin/env python3
"""Many files: what an agent needs for a large tree, for a package of very many files, and for very many drops.

    python3 tests/many_files.py BINARY tree [100000]      # a watched tree that is there already
    python3 tests/many_files.py BINARY package [200000]   # one package of so many files
    python3 tests/many_files.py BINARY drops [1000000]    # so many files dropped one by one; takes hours

The hub is a process of its own, so that only the agent is counted. What it needs is printed, and it fails where that is more than the goal (docs/performance.md
says which are not reached). Python's standard library only; Linux (for the memory).
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

MIB = 1 << 20
DEFAULTS = {"tree": 100_000, "package": 200_000, "drops": 1_000_000}


class Failure(Exception):
    """Something needs more than it may."""


class Process:
    """A process that is ended with this one, and what it needs."""

    def __init__(self, *command, **options):
        self.process = subprocess.Popen([str(part) for part in command], **options)

    def memory(self, peak=False):
        """Resident bytes, now or at most."""
        name = "VmHWM" if peak else "VmRSS"
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", status)[1]) * 1024

    def processor(self):
        """Seconds of processor time."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Hub(Process):
    def __init__(self, binary, folder):
        environment = {**os.environ, "MASV_HUB_DATA_DIR": str(folder / "hub")}
        super().__init__(
            binary, "hub", "start", "--listen", "127.0.0.1:0", env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for line in self.process.stdout:
            if found := re.search(r"listens on (http://127\.0\.0\.1:\d+)", line):
                self.address = found[1]
                break
        else:
            raise SystemExit("the hub did not start")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        made = subprocess.run([binary, "hub", "key", "add", "many"], env=environment, capture_output=True, text=True, check=True)
        self.key = made.stdout.strip()


class Agent(Process):
    def __init__(self, binary, folder, hub, rule):
        keys = "".join(f"\n    {key}: {value}" for key, value in rule.items())
        (folder / "rules.yaml").write_text(
            f"version: 1\ncloud: {{ url: {hub.address}, api_key: '{hub.key}' }}\nrules:\n  - name: many\n    watch: {folder}/drop"
            f"\n    upload: {{ kind: link, name: '{{{{ item }}}}' }}{keys}\n"
        )
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MASV_")}
        self.began = time.monotonic()
        super().__init__(
            binary, "server", "start", "--rules", folder / "rules.yaml", "--data-dir", folder / "data", "--listen", "127.0.0.1:0",
            "--log-level", "warn", env=environment, stdout=subprocess.DEVNULL, stderr=open(folder / "log", "wb"),
        )
        self.folder = folder
        self.wait("the agent to start", 30, self.is_up)

    def is_up(self):
        written = json.loads((self.folder / "data/agent.json").read_text())
        self.address = written["address"]
        return written["pid"] == self.process.pid and self.ask("/readyz")

    def ask(self, path):
        with urllib.request.urlopen(self.address + path, timeout=30) as answer:
            return answer.read().decode()

    def rule(self):
        return json.loads(self.ask("/api/v1/automations/many"))

    def complete(self):
        return int(float(re.search(r'masv_uploads{state="complete"} (\S+)', self.ask("/metrics"))[1]))

    def wait(self, what, seconds, done):
        """Returns how long it took, in seconds since the process began."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Failure(f"the agent ended: {(self.folder / 'log').read_text()[-2000:]}")
            try:
                if done():
                    return time.monotonic() - self.began
            except (OSError, ValueError, KeyError, TypeError):
                pass
            time.sleep(0.05)
        raise Failure(f"waited {seconds} s for {what}")


def hold(what, found, most, unit):
    print(f"{what}: {found:,.1f} {unit} (at most {most:,.0f})", flush=True)
    if found > most:
        raise Failure(f"{what}: {found:,.1f} {unit} is more than {most:,.0f}")


def tree(binary, folder, hub, count):
    for number in range(count):
        place = folder / "drop" / f"card{number // 1000 % 100:02}" / f"clip{number // 10:06}"
        if number % 10 == 0:
            place.mkdir(parents=True)
        (place / f"{number % 10}.mov").touch()
    agent = Agent(binary, folder, hub, {"package": "file", "existing": "skip", "settle": "1s", "rescan": "1h"})
    try:
        agent.wait("the first look", 120, lambda: agent.rule()["last_scan"])
        scan = agent.rule()["last_scan"]
        assert scan["files"] == count, scan
        hold(f"looking at {count:,} files", scan["milliseconds"] / 1000, 1, "s")
        time.sleep(3)
        hold("memory with all of them known", agent.memory(peak=True) / MIB, 60, "MiB")
    finally:
        agent.end()


def package(binary, folder, hub, count):
    parent = folder / "aside" / "set"
    for number in range(count):
        if number % 1000 == 0:
            (parent / f"{number // 1000:04}").mkdir(parents=True)
        (parent / f"{number // 1000:04}" / f"{number:07}.bin").write_bytes(b"%d" % number)
    (folder / "drop").mkdir()
    agent = Agent(binary, folder, hub, {"package": "{ per: folder, quiet: 2s }", "settle": "2s", "rescan": "1h"})
    try:
        parent.rename(folder / "drop" / "set")
        began = time.monotonic()
        agent.wait("the package", 3600, lambda: agent.complete() == 1)
        print(f"{count / (time.monotonic() - began):,.0f} files a second, the hub at most {hub.memory(peak=True) / MIB:,.0f} MiB")
        hold("memory", agent.memory(peak=True) / 1e6, 150, "MB")
    finally:
        agent.end()


def drops(binary, folder, hub, count):
    (folder / "drop").mkdir()
    agent = Agent(binary, folder, hub, {"package": "file", "settle": "1s", "rescan": "1h", "after": "{ complete: delete }"})
    aside, tenth, costs = folder / "aside", max(1000, count // 10), []
    try:
        processor, began = agent.processor(), time.monotonic()
        for number in range(1, count + 1):
            aside.write_bytes(b"%d" % number)
            aside.rename(folder / "drop" / f"{number:09}.mov")
            if number % 500 == 0:
                agent.wait(f"{number - 500} of {number} drops", 600, lambda: number - agent.complete() <= 500)
            if number % tenth == 0:
                costs.append((agent.processor() - processor) / tenth * 1000)
                print(
                    f"{number:>9,} drops: {costs[-1]:.2f} s of processor time for 1,000, {agent.memory() / MIB:,.0f} MiB, "
                    f"{tenth / (time.monotonic() - began):,.0f} drops/s", flush=True,
                )
                processor, began = agent.processor(), time.monotonic()
        agent.wait("all drops", 600, lambda: agent.complete() == count)
        agent.wait("the files to be deleted", 600, lambda: not any((folder / "drop").iterdir()))
        hold("memory", agent.memory(peak=True) / MIB, 300, "MiB")
        if len(costs) > 2:
            # The first is for warming up.
            hold("the last drops, by the second tenth", costs[-1] / costs[1] * 100, 120, "%")
    finally:
        agent.end()


def main():
    if len(sys.argv) < 3 or sys.argv[2] not in DEFAULTS:
        raise SystemExit(__doc__)
    binary, kind = os.path.abspath(sys.argv[1]), sys.argv[2]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else DEFAULTS[kind]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="many-files-"))
    hub = Hub(binary, folder)
    try:
        {"tree": tree, "package": package, "drops": drops}[kind](binary, folder, hub, count)
    except Failure as failure:
        raise SystemExit(f"FAILED: {failure}") from failure
    finally:
        hub.end()
        shutil.rmtree(folder, ignore_errors=True)


main()
