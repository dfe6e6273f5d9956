#!/usr/bin/env bash
# One large file through a hub and back over loopback, by the real binary: how long it takes, and how much memory the
# agent and the hub ever had. Fails when either had more than 150 MiB, or when what comes back is not what was sent.
#
#   bash tests/large_transfer.sh target/release/masv [GIB]
#
# GIB (default 20) is the size of the file. The source is sparse and takes no room; the hub's copy and the downloaded one
# take twice GIB below TMPDIR, unless the file system there compresses: the content is zeros but for some places. Nothing is
# left behind. With STORAGE=s3://... (and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) the hub keeps the file in that bucket.
set -euo pipefail

masv=$(realpath "$1")
gib=${2:-20}
most=$((150 * 1024)) # KiB
work=$(mktemp -d)
hub= agent=

finish() {
  local code=$?
  for process in $agent $hub; do kill -KILL "$process" 2>/dev/null || true; wait "$process" 2>/dev/null || true; done
  if [ $code != 0 ]; then tail -n 20 "$work"/*.log 2>/dev/null || true; fi
  rm -rf "$work"
  exit $code
}
trap finish EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

# until_true LIMIT_SECONDS COMMAND...: repeats the command until it succeeds.
until_true() {
  local deadline=$((SECONDS + $1)); shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || fail "not in time: $*"
    kill -0 "$hub" 2>/dev/null || fail "the hub has ended"
    sleep 0.2
  done
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
peak() { awk '/VmHWM/ { print $2 }' "/proc/$1/status"; }
first() { python3 -c 'import json, sys; t = json.load(sys.stdin)["transfers"][0]; print(eval(sys.argv[1]))' "$1"; }
done_with() {
  local state
  state=$("$masv" "$1" ls --output json | first 't["state"]')
  [ "$state" != error ] || fail "$("$masv" "$1" ls)"
  [ "$state" = complete ]
}
report() { # WHAT SECONDS
  awk -v what="$1" -v seconds="$2" -v gib="$gib" -v hub="$(peak "$hub")" -v agent="$(peak "$agent")" 'BEGIN {
    printf "%-8s %d GiB in %d s, %d MB/s; most memory so far: agent %d MiB, hub %d MiB\n",
      what, gib, seconds, gib * 1073.741824 / seconds, agent / 1024, hub / 1024 }'
}

cd "$work"
truncate -s "${gib}G" source.bin
for at in 0 $((gib * 512 - 1)) $((gib * 1024 - 3)); do
  dd if=/dev/urandom of=source.bin bs=1M count=3 seek="$at" conv=notrunc status=none
done

port=$(free_port)
"$masv" hub start --listen "127.0.0.1:$port" --data-dir hub ${STORAGE:+--storage "$STORAGE"} >hub.log 2>&1 &
hub=$!
until_true 20 grep -q "team: " hub.log
until_true 20 curl -fsS -o /dev/null "http://127.0.0.1:$port/healthz"
export MASV_DATA_DIR="$work/agent" MASV_CLOUD_URL="http://127.0.0.1:$port"
MASV_API_KEY=$(cat hub/first-api-key) MASV_TEAM_ID=$(sed -n 's/.*team: //p' hub.log)
export MASV_API_KEY MASV_TEAM_ID
"$masv" server start --listen http://127.0.0.1:0 >agent.log 2>&1 &
agent=$!
until_true 20 sh -c '"$0" server status >/dev/null 2>&1' "$masv"

began=$SECONDS
"$masv" upload start link source.bin >upload.log 2>&1 </dev/null || { cat upload.log; fail "upload start"; }
until_true $((gib * 60 + 60)) done_with upload
report upload $((SECONDS - began > 0 ? SECONDS - began : 1))
link=$("$masv" upload ls --output json | first 't["links"][0]["url"]')

began=$SECONDS
"$masv" download start --url "$link" --destination got --create-package-folder=false >download.log 2>&1 </dev/null \
  || { cat download.log; fail "download start"; }
until_true $((gib * 60 + 60)) done_with download
report download $((SECONDS - began > 0 ? SECONDS - began : 1))

cmp source.bin got/source.bin || fail "what came back is not what was sent"
for process in "$hub" "$agent"; do
  [ "$(peak "$process")" -le $most ] || fail "more than $((most / 1024)) MiB of memory"
done
echo "the same bytes, within $((most / 1024)) MiB"
