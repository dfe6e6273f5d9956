#!/usr/bin/env bash
# Makes everything that a release consists of, from the lock file, the same bytes each time.
#
#   bash packaging/release.sh [--target TRIPLE]... [--output FOLDER] [--url URL] [--twice] [--binary FILE]
#
# --target  x86_64-unknown-linux-gnu and aarch64-unknown-linux-gnu where nothing else is said
# --output  target/dist
# --url     where the files will be published, for the Homebrew formula
# --binary  packs this program for the first target instead of compiling one; for tests of what is packed
# --twice   builds everything a second time, in another clone, and fails if one byte differs
#
# The programs run on every Linux with glibc 2.28 (Debian 10, Ubuntu 20.04, RHEL 8) or newer: they are linked by zig, which has the
# libraries of that version. The result, for each target: a tarball (program, units, manual pages, completions, documentation) and a Debian
# package; for all of them: the sources, a formula for Homebrew, a CycloneDX list of the dependencies, SHA256SUMS.
#
# It needs Python, a clone, and the compiler that Cargo.toml names; zig and cargo-zigbuild come from PyPI. The standard library of a
# target has to be there (`rustup target add`); with MASV_RELEASE_BUILD_STD=1, Debian's compiler compiles it (see .ci/check-macos).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
glibc=2.28
fail() { echo "FAILED: $*" >&2; exit 1; }
say() { printf '   %s\n' "$*" >&2; }

targets=() out=$root/target/dist url= twice= given=
while [ $# -gt 0 ]; do
  case $1 in
    --target) targets+=("$2"); shift ;;
    --output) mkdir -p "$2" && out=$(realpath "$2"); shift ;;
    --url) url=${2%/}; shift ;;
    --twice) twice=1 ;;
    --binary) given=$(realpath "$2"); shift ;;
    *) sed -n '2,22s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done
[ ${#targets[@]} -gt 0 ] || targets=(x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu)

cd "$root"
[ -z "$(git status --porcelain --untracked-files=no)" ] || fail "there are changes that are not committed: the sources would not be what was built"
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} LC_ALL=C TZ=UTC
umask 022
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
tools=$root/target/release-tools
if [ -z "$given" ] && ! [ -x "$tools/bin/cargo-zigbuild" ]; then
  python3 -m venv --clear "$tools"
  "$tools/bin/pip" install --quiet ziglang==0.15.2 cargo-zigbuild==0.24.1
fi

# build TARGET FOLDER: compiles the program, and prints its path.
build() {
  local target=$1 into=$2 registry=${CARGO_HOME:-$HOME/.cargo}/registry/src flags
  # No path of this machine is in the program.
  flags="--remap-path-prefix=$root=/masv-agent --remap-path-prefix=$into=/target"
  for folder in "$registry"/*; do flags="$flags --remap-path-prefix=$folder=/crates"; done
  local how=("$tools/bin/cargo-zigbuild" zigbuild --profile dist --locked --bin masv --target "$target.$glibc")
  (
    export PATH=$tools/bin:$PATH CARGO_TARGET_DIR=$into CARGO_INCREMENTAL=0
    export CFLAGS="-ffile-prefix-map=$root=/masv-agent -ffile-prefix-map=$into=/target -ffile-prefix-map=$registry=/crates" CXXFLAGS=
    if [ -n "${MASV_RELEASE_BUILD_STD:-}" ] && [ "$target" != "$(rustc -vV | sed -n 's/^host: //p')" ]; then
      foreign=$root/target/foreign-tools
      [ -x "$foreign/usr/bin/rustc" ] || fail "no $foreign: run .ci/check-macos"
      export RUSTC=$foreign/usr/bin/rustc RUSTC_BOOTSTRAP=1 LD_LIBRARY_PATH=$foreign/usr/lib/$(uname -m)-linux-gnu PATH=$foreign/usr/bin:$PATH
      unset RUSTUP_TOOLCHAIN
      flags="$flags --remap-path-prefix=$foreign=/toolchain"
      how+=(-Zbuild-std=std,panic_unwind)
    else
      [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] || fail "there is no standard library for $target: rustup target add $target"
      flags="$flags --remap-path-prefix=$(rustc --print sysroot)=/toolchain"
    fi
    RUSTFLAGS=$flags "${how[@]}" >&2
  )
  echo "$into/$target/dist/masv"
}

# pack FOLDER ARCHIVE: the same archive of the same files, whoever packs them and when.
pack() {
  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --format=gnu -C "$(dirname "$1")" -cf - "$(basename "$1")" | gzip -9n >"$2"
}

# tree BINARY PAGES FOLDER: what is in the tarball. PAGES is a binary that runs here.
tree() {
  local binary=$1 pages=$2 into=$3
  mkdir -p "$into"/{man/man1,completions,systemd/user}
  install -m 755 "$binary" "$into/masv"
  install -m 644 README.md CHANGELOG.md LICENSE SECURITY.md CONTRIBUTING.md compose.yaml rules.example.yaml "$into"
  install -m 644 systemd/*.service systemd/*.socket systemd/*.sysusers systemd/agent.yaml "$into/systemd"
  install -m 644 systemd/user/* "$into/systemd/user"
  find docs -type f | while read -r page; do install -D -m 644 "$page" "$into/$page"; done
  "$pages" man --to "$into/man/man1"
  gzip -9n "$into"/man/man1/*.1
  for shell in bash zsh fish; do "$pages" completions $shell >"$into/completions/masv.$shell"; done
}

# check TARGET BINARY COMPILED: fails if the program is not what is promised.
check() {
  local target=$1 binary=$2 compiled=$3 newest
  [ -z "$given" ] || return 0
  ! grep -aqF -e "$root/" -e "$compiled" -e "$HOME/.cargo" "$binary" || fail "the program for $target names folders of this machine"
  newest=$(grep -ao 'GLIBC_[0-9][0-9.]*' "$binary" | sed 's/GLIBC_//' | sort -Vu | tail -n 1)
  [ "$(printf '%s\n' "$glibc" "$newest" | sort -V | tail -n 1)" = "$glibc" ] || fail "the program for $target needs glibc $newest"
}

# release FOLDER BUILD: everything, into FOLDER, compiled below BUILD.
release() {
  local into=$1 compiled=$2 target binary pages work
  work=$(mktemp -d)
  mkdir -p "$into"
  git archive --format=tar --prefix="masv-agent-$version/" HEAD | gzip -9n >"$into/masv-agent-$version-source.tar.gz"
  pages=
  for target in "${targets[@]}"; do
    say "$target"
    if [ -n "$given" ]; then binary=$given; else binary=$(build "$target" "$compiled"); fi
    check "$target" "$binary" "$compiled"
    # The first target that runs here writes the manual pages and completions of all.
    [ -n "$pages" ] || ! "$binary" --version >/dev/null 2>&1 || pages=$binary
    [ -n "$pages" ] || fail "$target does not run here: build one that does first, which writes the manual pages"
    tree "$binary" "$pages" "$work/masv-agent-$version-$target"
    pack "$work/masv-agent-$version-$target" "$into/masv-agent-$version-$target.tar.gz"
    DEB_BINARY=$binary DEB_PAGES=$pages DEB_ARCHITECTURE=$(debian_name "$target") bash packaging/deb.sh "$into" >/dev/null
  done
  python3 packaging/sbom.py >"$into/masv-agent-$version.cdx.json"
  python3 packaging/formula.py "$version" "$into/masv-agent-$version-source.tar.gz" "${url:-https://example.com/masv-agent/$version}" >"$into/masv-agent.rb"
  (cd "$into" && rm -f SHA256SUMS && sha256sum -- * >"$work/SHA256SUMS" && mv "$work/SHA256SUMS" .)
  rm -rf "$work"
}

debian_name() {
  case $1 in
    x86_64-*) echo amd64 ;;
    aarch64-*) echo arm64 ;;
    *) fail "Debian's name of $1 is not known here" ;;
  esac
}

# Only what is a release may be replaced.
if [ -d "$out" ] && [ -n "$(ls -A "$out")" ] && ! [ -e "$out/SHA256SUMS" ]; then fail "$out is there, and is not a release: remove it, or give another --output"; fi
rm -rf "$out"
release "$out" "$root/target/release-build"
if [ -n "$twice" ]; then
  again=$(mktemp -d)
  trap 'rm -rf "$again"' EXIT
  git clone --quiet --no-hardlinks "$root" "$again/elsewhere"
  mkdir "$again/elsewhere/target"
  for tool in release-tools foreign-tools; do [ ! -e "$root/target/$tool" ] || ln -s "$root/target/$tool" "$again/elsewhere/target"; done
  bash "$again/elsewhere/packaging/release.sh" --output "$again/dist" ${url:+--url "$url"} ${given:+--binary "$given"} $(printf -- '--target %s ' "${targets[@]}") >/dev/null
  diff -r "$out" "$again/dist" || fail "two builds differ"
  say "two builds are the same"
fi
ls -l "$out" >&2
echo "$out"
