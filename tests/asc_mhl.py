#!/usr/bin/env python3
"""Cards whose histories the ASC's own tool has made: what is right is sent whole, what is not is held.

    python3 tests/asc_mhl.py target/release/masv

The reference scenarios of the ASC MHL: a first and a second generation, nested histories, a renamed file, every format, with and
without hashes of folders; and a failed verification, a damaged, a missing and a swapped file or list. Cards that are sent are
downloaded, compared byte by byte with the folders `ascmhl` and the chain files in them, and verified by the tool again. The tool
(`ascmhl`, from PyPI) is installed into target/asc-mhl if it is not there. Under a minute.
"""
import json, os, pathlib, shutil, subprocess, sys, tempfile, time, venv

TOOL = pathlib.Path(__file__).resolve().parent.parent / "target/asc-mhl"
RULES = """version: 1
rules:
  - { name: cards, watch: drop, settle: 1s, package: { per: folder, quiet: 2s }, ready: { manifest: "*.mhl" }, upload: { kind: link } }
"""
FORMATS = ["md5", "sha1", "xxh128", "xxh3", "xxh64", "c4"]


def ascmhl(*arguments, fails=False):
    done = subprocess.run([TOOL / "bin/ascmhl", *map(str, arguments)], capture_output=True, text=True)
    if (done.returncode != 0) != fails:
        raise RuntimeError(f"ascmhl {arguments}: {done.returncode}\n{done.stdout}{done.stderr}")


def clip(path, byte):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes([byte]) * 50_000)


def card(path):
    for number, name in enumerate(["Clips/A001C001.mov", "Clips/A001C002.mov", "Sidecar.txt"]):
        clip(path / name, number + 1)
    return path


def damage(path):
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def created(path, *flags):
    ascmhl("create", card(path), *flags)


def second_generation(path):
    created(path, "-h", "xxh64")
    clip(path / "Clips/A001C003.mov", 9)
    ascmhl("create", path, "-h", "md5")


def nested(path):
    card(path)
    ascmhl("create", path / "Clips", "-h", "xxh64")
    ascmhl("create", path, "-h", "xxh64")


def renamed(path):
    created(path, "-h", "xxh64")
    (path / "Clips/A001C002.mov").rename(path / "Clips/B001C002.mov")
    ascmhl("create", path, "-h", "xxh64", "-dr")


def failed(path):
    created(path, "-h", "xxh64")
    damage(path / "Clips/A001C001.mov")
    ascmhl("create", path, "-h", "xxh64", fails=True)


def damaged(path, kind="xxh64"):
    created(path, "-h", kind)
    damage(path / "Clips/A001C001.mov")


def damaged_below(path):
    nested(path)
    damage(path / "Clips/A001C002.mov")


def missing(path):
    created(path, "-h", "xxh64")
    (path / "Clips/A001C002.mov").unlink()


def swapped(path):
    """Two clips have changed places."""
    created(path, "-h", "md5")
    one, other, aside = path / "Clips/A001C001.mov", path / "Clips/A001C002.mov", path / "aside"
    one.rename(aside), other.rename(one), aside.rename(other)


def list_swapped(path):
    """The list of another card lies in the place of its own: every name is right, and no checksum."""
    created(path, "-h", "md5")
    other = path.parent / (path.name + "-other")
    for number, name in enumerate(["Clips/A001C001.mov", "Clips/A001C002.mov", "Sidecar.txt"]):
        clip(other / name, number + 101)
    ascmhl("create", other, "-h", "md5")
    theirs, own = next((other / "ascmhl").glob("*.mhl")), next((path / "ascmhl").glob("*.mhl"))
    shutil.copyfile(theirs, own)
    shutil.rmtree(other)


SENT = {
    "second": second_generation, "nested": nested, "renamed": renamed,
    "without-folders": lambda path: created(path, "-h", "xxh64", "-n"),
    **{f"created-{name}": lambda path, name=name: created(path, "-h", name) for name in FORMATS},
}
# What has to be said of a clip of it.
HELD = {
    "failed": (failed, "has the XXH64 checksum"), "damaged": (damaged, "has the XXH64 checksum"),
    "damaged-below": (damaged_below, "A001C002.mov` has the XXH64 checksum"),
    "missing": (missing, "A001C002.mov` is listed but does not exist"), "swapped": (swapped, "has the MD5 checksum"),
    "list-swapped": (list_swapped, "has the MD5 checksum"), "damaged-c4": (lambda path: damaged(path, "c4"), "checksum"),
}


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wait_for(what, condition, limit=60):
    deadline = time.time() + limit
    while True:
        found = condition()
        if found:
            return found
        if time.time() > deadline:
            raise RuntimeError(f"not within {limit} s: {what}")
        time.sleep(0.2)


def main(masv):
    if not (TOOL / "bin/ascmhl").exists():
        venv.create(TOOL, with_pip=True, clear=True)
        subprocess.run([TOOL / "bin/pip", "install", "--quiet", "ascmhl==1.2"], check=True)
    work = pathlib.Path(tempfile.mkdtemp(prefix="masv-cards-"))
    env = {key: value for key, value in os.environ.items() if not key.startswith("MASV_")}
    env |= {"MASV_DATA_DIR": str(work / "data"), "XDG_CONFIG_HOME": str(work / "config")}
    (work / "drop").mkdir()
    (work / "rules.yaml").write_text(RULES)
    start = [masv, "server", "start", "--rules", "rules.yaml", "--listen", "http://127.0.0.1:0"]
    agent = subprocess.Popen(start, cwd=work, env=env, stdout=subprocess.DEVNULL, stderr=open(work / "log", "wb"))

    def called(*arguments):
        return subprocess.run([masv, *arguments, "--output", "json"], cwd=work, env=env, capture_output=True, text=True)

    def run(*arguments):
        done = called(*arguments)
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else None

    problems = []
    try:
        wait_for("the agent is up", lambda: run("server", "status"), 30)
        kept = {}
        for name, make in [*SENT.items(), *((name, make) for name, (make, _) in HELD.items())]:
            make(work / "made" / name)
            kept[name] = tree(work / "made" / name)
            (work / "made" / name).rename(work / "drop" / name)
        sent = lambda: {one["name"]: one for one in run("upload", "ls")["transfers"] if one["state"] == "complete"}
        try:
            wait_for("every right card is sent", lambda: set(SENT) <= set(sent()))
        except RuntimeError:
            problems.append(f"not sent: {sorted(set(SENT) - set(sent()))}")
        # The others have had the same time; they say why they wait.
        for name, (_, why) in HELD.items():
            def said():
                explained = run("rule", "explain", str(work / "drop" / name / "Clips/A001C001.mov")) or {"rules": []}
                return [test["detail"] for rule in explained["rules"] for test in rule["tests"] if not test["passed"]]

            try:
                wait_for(f"{name} is held for a reason", lambda: any(why in detail for detail in said()), 20)
            except RuntimeError:
                problems.append(f"{name}: `{why}` is not in what is said of it: {said()}")
        for name, upload in sorted(sent().items()):
            if name not in SENT:
                problems.append(f"{name} was sent")
                continue
            url = upload["links"][0]["url"]
            got = work / "got" / name
            got.mkdir(parents=True)
            done = called("download", "start", "--url", url, "--destination", str(got), "--create-package-folder=false", "--wait")
            if done.returncode != 0:
                problems.append(f"{name} cannot be downloaded: {done.stderr}")
                continue
            folder = got / name if (got / name).is_dir() else got
            if tree(folder) != kept[name]:
                problems.append(f"{name}: {sorted(tree(folder))} instead of {sorted(kept[name])}")
            if not any(path.endswith("ascmhl_chain.xml") for path in tree(folder)):
                problems.append(f"{name} has no chain file")
            try:
                ascmhl("diff", folder)
                ascmhl("create", folder, "-h", "xxh64")
            except RuntimeError as error:
                problems.append(f"{name} cannot be verified at the receiver: {error}")
    finally:
        agent.terminate()
        agent.wait(30)
        if not problems:
            shutil.rmtree(work, ignore_errors=True)
    for problem in problems:
        print(problem)
    print(f"{len(SENT)} cards are to be sent, {len(HELD)} to be held: {'as it should be' if not problems else 'NOT so'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(str(pathlib.Path(sys.argv[1]).resolve())))
