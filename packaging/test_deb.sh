#!/usr/bin/env bash
# The Debian package as an operator meets it: installed, started as its user, updated with changed settings, removed, purged.
#
#   bash packaging/test_deb.sh           # as root, on a machine (or in a container) without the package
#
# With systemd the service is started by it; elsewhere the same command is run as the same user. DEB_BUILT names a folder where the
# packages are kept: a second run, in a machine of its own, tests the same ones without building them again.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
fail() { echo "FAILED: $*" >&2; exit 1; }
say() { printf '   %s\n' "$*"; }
[ "$(id -u)" = 0 ] || { say "not root: the package is built and looked at, not installed"; only_build=1; }
if dpkg-query -W -f='${Status}' masv-agent 2>/dev/null | grep -q 'ok installed'; then fail "masv-agent is installed here already"; fi

out=$(mktemp -d)
agent= sent=
cleanup() {
  [ -z "$agent" ] || kill "$agent" 2>/dev/null || true
  [ -n "${only_build:-}" ] || dpkg --purge masv-agent >/dev/null 2>&1 || true
  rm -rf "$out" ${sent:+"$sent"}
}
trap cleanup EXIT

say "build, twice the same"
built=${DEB_BUILT:-$out}
version=$(cargo metadata --manifest-path "$root/Cargo.toml" --no-deps --format-version 1 --offline |
  python3 -c 'import json, sys; print(next(p for p in json.load(sys.stdin)["packages"] if p["name"] == "masv-agent")["version"])')
# Compressing well takes most of the time, and proves nothing here.
export DEB_COMPRESSION=gzip DEB_LEVEL=1
if ! [ -e "$built/newer" ]; then
  bash "$root/packaging/deb.sh" "$built/one" >/dev/null
  bash "$root/packaging/deb.sh" "$built/two" >/dev/null
  cmp "$built"/one/*.deb "$built"/two/*.deb || fail "two builds differ"
  DEB_VERSION="$version+1" bash "$root/packaging/deb.sh" "$built/newer" >/dev/null
fi
package=$(echo "$built"/one/*.deb) newer=$(echo "$built"/newer/*.deb)
contents=$(dpkg-deb --contents "$package")
for file in usr/bin/masv usr/lib/systemd/system/masv-agent.service usr/lib/systemd/system/masv-hub.service \
  usr/lib/systemd/system/masv-hub.socket \
  usr/lib/systemd/user/masv-agent.service usr/lib/sysusers.d/masv-agent.conf usr/share/man/man1/masv.1.gz \
  usr/share/man/man1/masv-upload-start-link.1.gz usr/share/bash-completion/completions/masv etc/masv-agent/agent.yaml; do
  grep -q " \./$file$" <<<"$contents" || fail "the package has no $file"
done
say "its documentation links to what is in it"
dpkg-deb --extract "$package" "$out/tree"
python3 - "$out/tree/usr/share/doc/masv-agent" <<'END'
import pathlib, re, sys
top = pathlib.Path(sys.argv[1])
pages = list(top.rglob("*.md"))
links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()) if "://" not in link and not link.startswith("mailto:")]
dead = [f"{page.relative_to(top)}: {link}" for page, link in links if not (page.parent / link).exists() and not (page.parent / link).is_symlink()]
if dead or len(links) < 50:
    sys.exit("FAILED: links that lead nowhere: " + ", ".join(dead) + f" (of {len(links)})")
END
[ -z "${only_build:-}" ] || exit 0

systemd=
[ ! -d /run/systemd/system ] || systemd=1
start() {
  if [ -n "$systemd" ]; then systemctl restart masv-agent; return; fi
  # What the unit does: its user, its state, its command.
  install -d -m 700 -o masv-agent -g masv-agent /var/lib/masv-agent
  command=$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/masv-agent.service)
  (cd / && STATE_DIRECTORY=/var/lib/masv-agent exec setpriv --reuid masv-agent --regid masv-agent --clear-groups \
    --no-new-privs $command) >"$out/log" 2>&1 &
  agent=$!
}
stop() {
  if [ -n "$systemd" ]; then systemctl stop masv-agent; return; fi
  kill "$agent"; wait "$agent" || fail "it did not stop cleanly: $(cat "$out/log")"
  agent=
}
answers() {
  for _ in $(seq 200); do
    if masv server status --server http://127.0.0.1:48080 >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  cat "$out/log" >&2 || true
  fail "the agent does not answer"
}

say "install"
dpkg -i "$package" >/dev/null
masv --version | grep -q "$version" || fail "masv --version"
getent passwd masv-agent >/dev/null || fail "no user masv-agent"
[ -z "$systemd" ] || systemctl is-enabled --quiet masv-agent || fail "not enabled"
if command -v man >/dev/null; then man -w masv-server-start >/dev/null || fail "no manual page"; fi

say "settings, start, an upload"
printf 'listen: http://127.0.0.1:48080\n' >>/etc/masv-agent/agent.yaml
start
answers
# Where the service sees it: its /tmp is its own.
sent=$(mktemp -d -p /srv)
chmod 755 "$sent"
echo hello >"$sent/hello.txt"
masv upload start link --server http://127.0.0.1:48080 --wait "$sent/hello.txt" >/dev/null || fail "the upload"
[ "$(stat -c '%U %a' /var/lib/masv-agent/agent.db)" = "masv-agent 600" ] || fail "owner or mode of the state"

say "another user of the machine is not let in"
refused=0
setpriv --reuid 65534 --regid 65534 --clear-groups env -u MASV_TOKEN HOME=/nonexistent \
  masv upload ls --server http://127.0.0.1:48080 >/dev/null 2>"$out/refused" || refused=$?
[ "$refused" = 5 ] || fail "another user is let in, or refused for another reason ($refused): $(cat "$out/refused")"

say "update: settings and queue stay"
[ -n "$systemd" ] || stop
dpkg -i "$newer" >/dev/null
grep -q 48080 /etc/masv-agent/agent.yaml || fail "the settings were written over"
[ -n "$systemd" ] || start
answers
masv upload ls --server http://127.0.0.1:48080 --output json | grep -q hello.txt || fail "the queue was lost"
stop

say "remove, purge"
dpkg -r masv-agent >/dev/null
[ -f /etc/masv-agent/agent.yaml ] && [ -f /var/lib/masv-agent/agent.db ] || fail "removing took settings or state"
dpkg --purge masv-agent >/dev/null
for left in /etc/masv-agent /var/lib/masv-agent /usr/lib/systemd/system/masv-agent.service /usr/bin/masv; do
  [ ! -e "$left" ] || fail "$left is still there"
done
echo "the package works"
