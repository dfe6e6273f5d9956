#!/usr/bin/env bash
# What a release consists of: it is complete, the same each time, and its lists say what is true. Nothing is compiled.
#
#   bash packaging/test_release.sh target/release/masv
#
# In a clone without changes. `packaging/release.sh --twice` is the test that compiles.
set -euo pipefail
cd "$(dirname "$0")/.."
masv=$(realpath "${1:?usage: bash packaging/test_release.sh target/release/masv}")
fail() { echo "FAILED: $*" >&2; exit 1; }
say() { printf '   %s\n' "$*"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$("$masv" --version | cut -d ' ' -f 2)
target=x86_64-unknown-linux-gnu

say "packed twice, from two clones, the same bytes"
export DEB_COMPRESSION=gzip DEB_LEVEL=1
bash packaging/release.sh --target $target --binary "$masv" --url https://example.com/masv --output "$work/dist" --twice >/dev/null 2>"$work/log" ||
  { cat "$work/log"; fail "packaging/release.sh"; }
cd "$work/dist"
for file in "masv-agent-$version-$target.tar.gz" "masv-agent_${version}_amd64.deb" "masv-agent-$version-source.tar.gz" "masv-agent-$version.cdx.json" masv-agent.rb; do
  grep -q " $file$" SHA256SUMS || fail "SHA256SUMS does not have $file"
done
sha256sum --quiet -c SHA256SUMS

say "the tarball has all that docs/install.md installs"
tar -xzf "masv-agent-$version-$target.tar.gz"
cmp "masv-agent-$version-$target/masv" "$masv"
for file in man/man1/masv.1.gz man/man1/masv-upload-start.1.gz completions/masv.bash completions/masv.zsh completions/masv.fish systemd/masv-agent.service \
  docs/install.md docs/images/dashboard.png LICENSE README.md; do
  [ -s "masv-agent-$version-$target/$file" ] || fail "the tarball has no $file"
done
tar -xzf "masv-agent-$version-source.tar.gz"
cmp "masv-agent-$version/Cargo.lock" "$OLDPWD/Cargo.lock"

say "the list of dependencies is one of CycloneDX, and has what the lock file has"
tools=$OLDPWD/target/ci-sbom
[ -x "$tools/bin/python" ] && [ -e "$tools/there" ] || { python3 -m venv --clear "$tools" && "$tools/bin/pip" install --quiet 'cyclonedx-python-lib[json-validation]==11.12.0' && touch "$tools/there"; }
"$tools/bin/python" - "masv-agent-$version.cdx.json" "masv-agent-$version/Cargo.lock" <<'END'
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
text = open(sys.argv[1]).read()
wrong = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
if wrong:
    sys.exit(f"FAILED: {wrong}")
names = {one["name"] for one in json.loads(text)["components"]}
lock = open(sys.argv[2]).read()
assert {"tokio", "rusqlite", "masv-hub"} <= names, names
assert not names & {"proptest", "insta", "tokio-tungstenite"}, "what only tests need is not in the program"
assert all(f'name = "{name}"' in lock for name in names), "not in the lock file"
END

say "the tree of the macOS package has the program, its pages and completions, and only a Mac makes a package of it"
bash "$OLDPWD/packaging/macos.sh" --tree "$masv" "$work/mac"
for file in bin/masv share/man/man1/masv.1 share/zsh/site-functions/_masv etc/bash_completion.d/masv share/fish/vendor_completions.d/masv.fish \
  share/doc/masv-agent/LICENSE share/doc/masv-agent/docs/install.md; do
  [ -s "$work/mac/usr/local/$file" ] || fail "the macOS package would have no $file"
done
if [ "$(uname -s)" != Darwin ]; then
  ! said=$(bash "$OLDPWD/packaging/macos.sh" --output "$work/pkg" 2>&1) || fail "a package for macOS cannot be made here"
  grep -q "run this on a Mac" <<<"$said" || fail "it does not say why: $said"
fi

say "the formula names the sources"
grep -q "sha256 \"$(sha256sum "masv-agent-$version-source.tar.gz" | cut -d ' ' -f 1)\"" masv-agent.rb || fail "another checksum"
grep -q "url \"https://example.com/masv/masv-agent-$version-source.tar.gz\"" masv-agent.rb || fail "another address"
if command -v ruby >/dev/null; then ruby -c masv-agent.rb >/dev/null || fail "the formula is not Ruby"; fi
# What it calls is there.
said=$("$masv" server start --data-dir "$work/state" --config /nonexistent 2>&1 || true)
grep -q nonexistent <<<"$said" || fail "server start has no --data-dir and --config"
echo "a release is complete"
