#!/bin/sh
# Makes clients out of the checked-in OpenAPI documents with generators that people use, and drives a real agent with one of them.
# Needs python3 with venv, the internet, and a built masv (MASV, or target/debug/masv). Everything is written below target/.
set -eu
cd "$(dirname "$0")/.."
masv=$(realpath "${MASV:-target/debug/masv}")
work=$(pwd)/target/openapi-clients
rm -rf "$work"
mkdir -p "$work"

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check openapi-python-client openapi-spec-validator
for document in openapi hub-openapi; do
    "$work/venv/bin/openapi-spec-validator" "docs/$document.json"
    "$work/venv/bin/openapi-python-client" generate --path "docs/$document.json" --meta none \
        --output-path "$work/clients/$(echo "$document" | tr - _)_client"
done

# With npm, the TypeScript types of both, too.
if command -v npm >/dev/null; then
    npm install --silent --no-fund --no-audit --prefix "$work/node" openapi-typescript typescript
    for document in openapi hub-openapi; do
        "$work/node/node_modules/.bin/openapi-typescript" "docs/$document.json" --output "$work/$document.ts"
    done
    "$work/node/node_modules/.bin/tsc" --noEmit --strict "$work/openapi.ts" "$work/hub-openapi.ts"
fi

# A real agent, called by the generated client alone.
mkdir "$work/run"
(cd "$work/run" && exec "$masv" server start --listen 127.0.0.1:0 --data-dir "$work/run/data" >agent.log 2>&1) &
agent=$!
trap 'kill "$agent" 2>/dev/null || true' EXIT INT TERM
waited=0
until [ -s "$work/run/data/agent.json" ]; do
    waited=$((waited + 1))
    if [ "$waited" -gt 200 ] || ! kill -0 "$agent" 2>/dev/null; then
        cat "$work/run/agent.log" >&2
        exit 1
    fi
    sleep 0.1
done
PYTHONPATH="$work/clients" "$work/venv/bin/python" tests/generated_client.py "$work/run"
