#!/usr/bin/env bash
# The main job with the real binary, as a user would do it: start, drop, wait for the link, download, compare.
#
#   bash tests/main_job.sh target/release/masv
#
# Works in a folder of its own and leaves nothing behind. The large cases take a few gigabytes of disk for a minute;
# MAIN_JOB_GIB (default 1) sets the size of the first file, MAIN_JOB_BIG_GIB (default 4) that of the one that is interrupted.
set -euo pipefail

masv=$(realpath "$1")
example=$(realpath "$(dirname "$0")/../rules.example.yaml")
size_gib=${MAIN_JOB_GIB:-1}
big_gib=${MAIN_JOB_BIG_GIB:-4}
work=$(mktemp -d)
agent=

stop() {
  if [ -n "$agent" ]; then kill -"${1:-TERM}" "$agent" 2>/dev/null || true; wait "$agent" 2>/dev/null || true; fi
  agent=
}
trap 'code=$?; stop KILL; if [ $code != 0 ]; then echo "--- agent log"; tail -n 60 "$work"/agent.log; fi; rm -rf "$work"; exit $code' EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }
say() { printf '   %s\n' "$*"; }

# until LIMIT_SECONDS COMMAND...: repeats the command until it succeeds.
until_true() {
  local deadline=$((SECONDS + $1)); shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || fail "not in time: $*"
    sleep 0.1
  done
}

cd "$work"
cp "$example" rules.example.yaml
export MASV_DATA_DIR="$work/data"

start() {
  "$masv" server start --rules rules.example.yaml --listen http://127.0.0.1:0 --log-level info,masv_hub=debug >>agent.log 2>&1 &
  agent=$!
  until_true 20 sh -c '"$0" server status >/dev/null 2>&1' "$masv"
}
json() { "$masv" "$@" --output json; }
# field FILTER: reads JSON from standard input with Python.
field() { python3 -c 'import json,sys; data=json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }
uploads() { json upload ls | field "len([t for t in data['transfers'] if $1])"; }
have() { [ "$(uploads "$1")" = "$2" ]; }
link_of() { json upload ls | field "[t['links'][0]['url'] for t in data['transfers'] if $1][0]"; }
# fetch URL FILE OUTPUT: downloads a file of a package through the link's page.
fetch() {
  local href
  href=$(curl -fsS "$1" | python3 -c '
import html, re, sys
page, name = sys.stdin.read(), sys.argv[1]
for href, text in re.findall(r"<a[^>]*href=\"([^\"]+)\"[^>]*>.*?<span class=\"name\">(.*?)</span>", page, re.S):
    if html.unescape(text).strip() == name:
        print(html.unescape(href)); break
' "$2")
  [ -n "$href" ] || fail "no link to $2 on the page"
  curl -fsSL "$(python3 -c 'import sys,urllib.parse; print(urllib.parse.urljoin(sys.argv[1], sys.argv[2]))' "$1" "$href")" -o "$3"
}
same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }

say "start"
start

say "a file of $size_gib GiB, copied slowly into the link rule's folder: one package, after the copy, equal bytes"
head -c "${size_gib}G" /dev/urandom >big.mov
python3 - <<'PY'
import time
with open("big.mov", "rb") as source, open("drop/link/big.mov", "wb") as target:
    size = source.seek(0, 2); source.seek(0)
    for _ in range(20):
        target.write(source.read(size // 20 + 1)); target.flush(); time.sleep(0.5)
PY
have "True" 0 || fail "something was sent before the copy was over"
until_true 120 have "t['state'] == 'complete'" 1
fetch "$(link_of "t['file_count'] == 1")" big.mov got.mov
same big.mov got.mov
rm -f big.mov got.mov drop/link/big.mov

say "a folder of 300 files in 12 sub-folders: one package with the same tree"
mkdir -p tree
for folder in $(seq 12); do
  mkdir -p "tree/reel $folder"
  for file in $(seq 25); do echo "$folder/$file" >"tree/reel $folder/clip $file.mov"; done
done
cp -r tree drop/review/day1
until_true 60 have "t['file_count'] == 300 and t['state'] == 'complete'" 1

say "by command: link, portal, e-mail"
echo one >one.txt
out=$("$masv" upload start link --name 'Just a link' one.txt --output text)
grep -Eq '^Upload [0-9a-f-]{36} started\. Shareable link: http' <<<"$out" || fail "said: $out"
until_true 30 have "t['name'] == 'Just a link' and t['state'] == 'complete'" 1
fetch "$(sed 's/.*link: //' <<<"$out")" one.txt one.got
same one.txt one.got
"$masv" upload start portal --subdomain acme --sender ingest@example.com --name 'To the portal' one.txt --wait >/dev/null
"$masv" upload start email --emails=client@example.com --name 'By mail' one.txt --wait >/dev/null
mail=$(grep -rl 'To:.*client@example.com' data/hub/outbox | xargs grep -l 'By mail' | head -n 1)
url=$(python3 - "$mail" <<'PY'
import email, email.policy, re, sys
message = email.message_from_file(open(sys.argv[1]), policy=email.policy.default)
print(re.search(r"https?://\S+secret=[^\s\"<>]+", message.get_body(("plain",)).get_content()).group())
PY
)
fetch "$url" one.txt mailed.got
same one.txt mailed.got

say "kill -9 in the middle of $big_gib GiB: it goes on where it was, and confirmed parts are not sent again"
head -c "${big_gib}G" /dev/urandom >huge.mov
"$masv" upload start link --name 'Huge' huge.mov --chunk-size 16MiB >/dev/null
half=$((big_gib * 1024 * 1024 * 1024 / 4))
until_true 60 have "t['name'] == 'Huge' and t['progress'] > $half" 1
kill -9 "$agent"; wait "$agent" 2>/dev/null || true
echo late >drop/link/late.txt
start
until_true 120 have "t['name'] == 'Huge' and t['state'] == 'complete'" 1
parts=$((big_gib * 64))
stored=$(grep 'part stored' agent.log | grep -c 'bytes=16777216' || true)
workers=$(json settings workers status | field "data['workers']")
[ "$stored" -ge "$parts" ] || fail "the hub's log has $stored parts, $parts were expected"
[ "$stored" -le $((parts + workers)) ] || fail "$((stored - parts)) parts were sent again, with $workers workers"
fetch "$(link_of "t['name'] == 'Huge'")" huge.mov huge.got
same huge.mov huge.got

say "what was dropped while the agent was down is sent, and nothing is sent twice"
until_true 30 have "t['name'].startswith('late') and t['state'] == 'complete'" 1
before=$(uploads True)
stop TERM
start
"$masv" rule run quick-link >/dev/null
until_true 10 sh -c '"$0" rule status quick-link >/dev/null' "$masv"
sleep 5
[ "$(uploads True)" = "$before" ] || fail "the restarted agent sent something again"

say "stop"
kill -TERM "$agent"
wait "$agent" || fail "the agent did not stop cleanly"
agent=
echo "the main job works"
