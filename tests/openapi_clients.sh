#!/usr/bin/env bash
# The OpenAPI documents, by programs that people use: generators make clients of them in Python and TypeScript, which then drive a real agent
# and a real hub; schemathesis calls both with what the documents allow, for about a minute.
#
#   MASV=target/release/masv bash tests/openapi_clients.sh
#
# It needs python3 with venv, npm, and a built masv (MASV, or target/debug/masv); the programs come from PyPI and npm. Everything is written
# below target/. OPENAPI_SECONDS (30) is how long each of the two is called with random requests.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
masv=$(realpath "${MASV:-target/debug/masv}")
work=$root/target/openapi-clients
seconds=${OPENAPI_SECONDS:-30}
say() { printf '   %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
rm -rf "$work"
mkdir -p "$work/run"

agent= hub=
trap 'for process in $agent $hub; do kill "$process" 2>/dev/null || true; done' EXIT
trap 'exit 1' INT TERM
# until_true LIMIT_SECONDS PROCESS COMMAND...
until_true() {
  local deadline=$((SECONDS + $1)) process=$2
  shift 2
  until "$@"; do
    [ $SECONDS -lt $deadline ] && kill -0 "$process" 2>/dev/null || { tail -n 40 "$work"/run/*.log >&2; fail "not in time: $*"; }
    sleep 0.1
  done
}

say "tools"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check openapi-python-client openapi-spec-validator ruff schemathesis==4.32.5
npm install --silent --no-fund --no-audit --prefix "$work/typed" openapi-typescript@7 openapi-fetch@0.17 typescript@5 @types/node@20
export PATH=$work/venv/bin:$PATH

say "clients"
for document in openapi hub-openapi; do
  openapi-spec-validator "docs/$document.json"
  # What it says of content that is not JSON is known: metrics, and the answers of a storage.
  openapi-python-client generate --path "docs/$document.json" --meta none \
    --output-path "$work/clients/$(echo "$document" | tr - _)_client" >"$work/$document.log" 2>&1 || { cat "$work/$document.log"; fail "no Python client"; }
  ! grep -A2 WARNING "$work/$document.log" | grep -B2 -v -E 'WARNING|^$|^--|Cannot parse response for status code .*(openmetrics-text|application/xml)' ||
    fail "the Python client of docs/$document.json lacks something"
  "$work/typed/node_modules/.bin/openapi-typescript" "docs/$document.json" --output "$work/typed/$document.ts" >/dev/null 2>&1 || fail "no types"
done
cp tests/generated_client.ts "$work/typed"
cat >"$work/typed/tsconfig.json" <<'END'
{ "compilerOptions": { "strict": true, "noUncheckedIndexedAccess": true, "target": "es2022", "module": "nodenext", "skipLibCheck": true,
    "moduleResolution": "nodenext", "outDir": "js", "types": ["node"] }, "files": ["generated_client.ts", "openapi.ts", "hub-openapi.ts"] }
END
(cd "$work/typed" && npm pkg set type=module >/dev/null && node_modules/.bin/tsc -p .)

say "an agent and a hub, driven by these"
# As a user who may write nothing but this: random requests name random paths.
as=()
if [ "$(id -u)" = 0 ]; then
  run=$(mktemp -d)
  chmod 755 "$run"
  cp "$masv" "$run/masv"
  chown -R 65534:65534 "$run"
  as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  masv=$run/masv
  trap 'for process in $agent $hub; do kill "$process" 2>/dev/null || true; done; wait; rm -rf "$run"' EXIT
else
  run=$work/run
fi
"${as[@]}" mkdir "$run/media"
"${as[@]}" sh -c 'printf "version: 1\nrules: []\n" >"$0/rules.yaml"' "$run"
(cd "$run" && exec "${as[@]}" "$masv" server start --rules rules.yaml --listen 127.0.0.1:0 --data-dir "$run/data" --allow-root "$run" >"$work/run/agent.log" 2>&1) &
agent=$!
(cd "$run" && exec "${as[@]}" "$masv" hub start --listen 127.0.0.1:0 --data-dir "$run/hub" >"$work/run/hub.log" 2>&1) &
hub=$!
until_true 30 $agent test -s "$run/data/agent.json"
until_true 30 $hub grep -q 'listens on' "$work/run/hub.log"
agent_url=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["address"])' "$run/data/agent.json")
hub_url=$(grep -o 'http://127.0.0.1:[0-9]*' "$work/run/hub.log" | head -n 1)
PYTHONPATH="$work/clients" python tests/generated_client.py "$run"
node "$work/typed/js/generated_client.js" "$run" "$hub_url" "$run/hub/first-api-key"

say "what the documents allow is not refused, and nothing fails"
for process in $agent $hub; do kill -0 "$process" || fail "it has ended"; done
python tests/openapi_conformance.py "$work" agent "$root/docs/openapi.json" "$agent_url" "$seconds"
python tests/openapi_conformance.py "$work" hub "$root/docs/hub-openapi.json" "$hub_url" "$seconds" "$run/hub/first-api-key"
for process in $agent $hub; do kill -0 "$process" || fail "it has ended"; done
! grep -E 'panicked| ERROR ' "$work"/run/*.log || fail "the log tells of errors"
echo "generated clients and random requests are understood"
