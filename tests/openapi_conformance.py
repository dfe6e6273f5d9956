"""Runs schemathesis against an agent or a hub, for some seconds: tests/openapi_clients.sh does.

    python tests/openapi_conformance.py WORK agent|hub DOCUMENT URL SECONDS [FILE_WITH_A_KEY]

It fails on an answer of 5xx, on one that is not what the document says, and on a request that the schemas allow and that is refused, unless
the call has a response of its own for that in the document (400 or 422, with a sentence that says when).
"""

import json
import pathlib
import subprocess
import sys

work, name, document, url, seconds = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2], str(pathlib.Path(sys.argv[3]).resolve()), *sys.argv[4:6]
key = pathlib.Path(sys.argv[6]).read_text().strip() if len(sys.argv) > 6 else None

# What random values may always meet: no right, no such thing, not in this state, too much at once.
ALWAYS = ["2xx", "3xx", "401", "403", "404", "409", "410", "413", "429"]
# Calls that end what is called, that do not end by themselves, or whose body is not what a document can describe.
LEFT_OUT = {
    "agent": ["stop_server", "stream_events"],
    "hub": ["remove_key", "remove_key_by_id", "change_key", "change_key_by_id", "set_team_quota", "store_part", "read_file", "begin_upload", "store_files"],
}[name]
CHECKS = ["not_a_server_error", "positive_data_acceptance", "response_schema_conformance", "content_type_conformance", "status_code_conformance"]

settings = [f"[checks.positive_data_acceptance]\nexpected-statuses = {json.dumps(ALWAYS)}\n"]
for calls in json.loads(pathlib.Path(document).read_text())["paths"].values():
    for call in calls.values():
        own = [status for status in call["responses"] if status.startswith("4") and status not in ALWAYS]
        if own:
            settings.append(
                f"[[operations]]\ninclude-operation-id = {json.dumps(call['operationId'])}\n"
                f"checks.positive_data_acceptance.expected-statuses = {json.dumps(ALWAYS + own)}\n"
            )
(work / f"{name}.toml").write_text("\n".join(settings))

command = ["schemathesis", "--config-file", str(work / f"{name}.toml"), "run", document, "--url", url, "--max-time", seconds]
# One thread: Python's parser, which the generators of values call, fails at random in two (CPython 3.11: "AST constructor recursion depth mismatch").
command += ["--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--workers", "1", "--continue-on-failure"]
command += ["--request-timeout", "20", "--warnings", "off", "--no-color", "--seed", "7", "--suppress-health-check", "all"]
for call in LEFT_OUT:
    command += ["--exclude-operation-id", call]
if key:
    command += ["--header", f"X-API-KEY: {key}"]
done = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
(work / f"{name}-schemathesis.log").write_text(done.stdout)
if done.returncode:
    print(done.stdout[-20_000:])
    sys.exit(f"FAILED: {name}: the document and the program do not agree")
summary = [line.strip() for line in done.stdout.splitlines() if "generated" in line or "passed" in line]
print(f"   {name}:", "; ".join(summary[-3:]) or "no failures")
