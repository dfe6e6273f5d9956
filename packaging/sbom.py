#!/usr/bin/env python3
"""Prints the dependencies of the program as a CycloneDX list (JSON), from the lock file: what is compiled into it on Linux, no tests.

    python3 packaging/sbom.py >masv-agent.cdx.json

The same lock file gives the same list: it has no time of its own but that of SOURCE_DATE_EPOCH, and no random serial number.
"""

import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLATFORMS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]


def metadata():
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--offline"]
    for platform in PLATFORMS:
        command += ["--filter-platform", platform]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)


def checksums():
    """SHA-256 of each crate's archive, by name and version."""
    lock = (ROOT / "Cargo.lock").read_text()
    entries = re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"\nsource = "[^"]+"\nchecksum = "([0-9a-f]{64})"', lock)
    return {(name, version): checksum for name, version, checksum in entries}


def compiled(found, root):
    """What the program is made of or built with, from its own node on; the tests' dependencies are left out."""
    nodes = {node["id"]: node for node in found["resolve"]["nodes"]}
    reached, waiting = {}, [root]
    while waiting:
        this = waiting.pop()
        if this in reached:
            continue
        kinds = lambda one: {kind["kind"] for kind in one["dep_kinds"]}
        reached[this] = sorted(one["pkg"] for one in nodes[this]["deps"] if kinds(one) - {"dev"})
        waiting += reached[this]
    return reached


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, known):
    this = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    checksum = known.get((package["name"], package["version"]))
    if checksum:
        this["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["license"]:
        # Before SPDX expressions, a slash meant OR.
        this["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if package["repository"]:
        this["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return this


def main():
    found, known = metadata(), checksums()
    packages = {package["id"]: package for package in found["packages"]}
    root = next(id for id, package in packages.items() if package["name"] == "masv-agent")
    reached = compiled(found, root)
    program = component(packages[root], known) | {"type": "application"}
    others = sorted((component(packages[id], known) for id in reached if id != root), key=lambda one: one["bom-ref"])
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    digest = hashlib.sha256((ROOT / "Cargo.lock").read_bytes()).hexdigest()
    serial = f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"
    print(json.dumps({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": program,
        },
        "components": others,
        "dependencies": [
            {"ref": reference(packages[id]), "dependsOn": [reference(packages[one]) for one in depends]}
            for id, depends in sorted(reached.items(), key=lambda one: reference(packages[one[0]]))
        ],
    }, indent=1))


main()
