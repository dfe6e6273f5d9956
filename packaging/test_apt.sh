#!/usr/bin/env bash
# The apt repository as its users meet it: the real apt trusts its key and no other, installs from it, upgrades, and refuses what somebody changed.
#
#   bash packaging/test_apt.sh FOLDER       # as root, where the package is not installed
#
# FOLDER has two versions of the package, in `one` and `newer`, as packaging/test_deb.sh leaves them in DEB_BUILT. The keys are made for the test.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
built=$(realpath "${1:?usage: bash packaging/test_apt.sh FOLDER}")
fail() { echo "FAILED: $*" >&2; exit 1; }
say() { printf '   %s\n' "$*"; }
[ "$(id -u)" = 0 ] || { say "not root: nothing is installed"; exit 0; }
if dpkg-query -W -f='${Status}' masv-agent 2>/dev/null | grep -q 'ok installed'; then fail "masv-agent is installed here already"; fi

work=$(mktemp -d)
chmod 755 "$work"
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  dpkg --purge masv-agent >/dev/null 2>&1 || true
  GNUPGHOME=$work/keys gpgconf --kill all 2>/dev/null || true
  GNUPGHOME=$work/others gpgconf --kill all 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

for keys in keys others; do
  mkdir -m 700 "$work/$keys"
  GNUPGHOME=$work/$keys gpg --batch --quiet --passphrase '' --quick-generate-key 'Releases <releases@example.com>' ed25519 sign never 2>/dev/null
done
publish() { GNUPGHOME=$work/$1 APT_KEY=releases@example.com bash "$root/packaging/apt.sh" "$work/repository" "${@:2}" >"$work/publish.log" 2>&1 || { cat "$work/publish.log"; return 1; }; }
publish keys "$built"/one/*.deb || fail "publishing"
cp "$work/repository/masv-agent.asc" "$work/trusted.asc"

mkdir -p "$work"/lists/partial "$work"/cache/archives/partial
python3 -u -m http.server --bind 127.0.0.1 --directory "$work/repository" 0 >"$work/http.log" 2>&1 &
server=$!
for _ in $(seq 100); do
  port=$(sed -n 's/^Serving HTTP on .* port \([0-9]*\).*/\1/p' "$work/http.log")
  [ -z "$port" ] || break
  sleep 0.1
done
echo "deb [signed-by=$work/trusted.asc] http://127.0.0.1:$port stable main" >"$work/masv.list"
apt() {
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dir::Etc::sourcelist="$work/masv.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root -o Acquire::http::Proxy=DIRECT "$@"
}
installed() { dpkg-query -W -f='${Version}' masv-agent; }
# refused WORDS: apt updates with an error that has these words.
refused() {
  if apt -o APT::Update::Error-Mode=any update >"$work/refused.log" 2>&1; then cat "$work/refused.log"; fail "apt accepts it: $1"; fi
  grep -qiE "$1" "$work/refused.log" || { cat "$work/refused.log"; fail "refused for another reason than $1"; }
}

say "install"
apt update
apt install -y masv-agent >"$work/log" 2>&1 || { cat "$work/log"; fail "apt install"; }
[ "$(installed)" = "$(dpkg-deb -f "$built"/one/*.deb Version)" ] || fail "another version is installed: $(installed)"
masv --version >/dev/null

say "another version under the same name is refused"
cp "$built"/newer/*.deb "$work/$(basename "$built"/one/*.deb)"
if publish keys "$work"/*.deb >/dev/null; then fail "a package was exchanged"; fi

say "upgrade"
publish keys "$built"/newer/*.deb || fail "publishing a newer version"
apt update
apt upgrade -y >"$work/log" 2>&1 || { cat "$work/log"; fail "apt upgrade"; }
[ "$(installed)" = "$(dpkg-deb -f "$built"/newer/*.deb Version)" ] || fail "not upgraded: $(installed)"

say "a changed list, another key: refused"
cp -r "$work/repository/dists" "$work/dists"
gunzip -c "$work/repository/dists/stable/main/binary-amd64/Packages.gz" | sed 's/^Description: .*/Description: something else/' |
  gzip -9n >"$work/Packages.gz"
rm -rf "$work"/lists/* && mkdir "$work/lists/partial"
cp "$work/Packages.gz" "$work/repository/dists/stable/main/binary-amd64/Packages.gz"
rm "$work/repository/dists/stable/main/binary-amd64/Packages"
refused 'hash sum mismatch|unexpected size'
rm -rf "$work/repository/dists" && cp -r "$work/dists" "$work/repository/dists"
publish others || fail "publishing with another key"
refused 'NO_PUBKEY|not signed|not available|couldn.t be verified'
publish keys || fail "publishing again"
grep -q "^Valid-Until: $(LC_ALL=C date -u -d '+30 days' '+%a, %d %b %Y')" "$work/repository/dists/stable/InRelease" || fail "the list is valid for ever"
apt update
echo "apt installs and upgrades from the repository"
