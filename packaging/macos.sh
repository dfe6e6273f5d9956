#!/usr/bin/env bash
# Makes the installer package for macOS: one program for both processors, manual pages, completions, documentation.
#
#   bash packaging/macos.sh [--output FOLDER]          # target/dist-macos
#   bash packaging/macos.sh --tree BINARY FOLDER       # only lays out what the package holds; runs anywhere
#
# It has to run on a Mac, in a clone without changes, with Xcode's command line tools and both targets of Rust
# (`rustup target add aarch64-apple-darwin x86_64-apple-darwin`). Keys stay in the keychain, and only their names are given:
#
# MASV_SIGN_PROGRAM    a "Developer ID Application" certificate. Without it the program is signed ad hoc, and macOS forgets at each
#                      upgrade which folders it may read.
# MASV_SIGN_INSTALLER  a "Developer ID Installer" certificate. Without it the package is unsigned, and Gatekeeper refuses it at a double click.
# MASV_NOTARY_PROFILE  a profile of `xcrun notarytool store-credentials`. Without it the package is not notarised.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
fail() { echo "FAILED: $*" >&2; exit 1; }
identifier=io.masv.agent
# The oldest macOS that Rust's standard library supports on both processors.
export MACOSX_DEPLOYMENT_TARGET=11.0

# tree BINARY FOLDER: what the package installs, as it lies below /.
tree() {
  local binary=$1 into=$2 prefix=$2/usr/local page
  mkdir -p "$prefix"/{bin,share/man/man1,share/zsh/site-functions,share/doc/masv-agent,etc/bash_completion.d,share/fish/vendor_completions.d}
  install -m 755 "$binary" "$prefix/bin/masv"
  "$binary" man --to "$prefix/share/man/man1"
  "$binary" completions zsh >"$prefix/share/zsh/site-functions/_masv"
  "$binary" completions bash >"$prefix/etc/bash_completion.d/masv"
  "$binary" completions fish >"$prefix/share/fish/vendor_completions.d/masv.fish"
  for page in README.md CHANGELOG.md LICENSE SECURITY.md rules.example.yaml; do install -m 644 "$root/$page" "$prefix/share/doc/masv-agent/$page"; done
  (cd "$root" && find docs -type f) | while read -r page; do
    mkdir -p "$prefix/share/doc/masv-agent/$(dirname "$page")"
    install -m 644 "$root/$page" "$prefix/share/doc/masv-agent/$page"
  done
  [ -x "$into/usr/local/bin/masv" ]
}

out=$root/target/dist-macos
case ${1:-} in
  --tree) tree "$(cd "$(dirname "$2")" && pwd)/$(basename "$2")" "$3"; exit ;;
  --output) out=$2 ;;
  '') ;;
  *) sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
[ "$(uname -s)" = Darwin ] || fail "the installer package is made by Apple's tools: run this on a Mac"
cd "$root"
[ -z "$(git status --porcelain --untracked-files=no)" ] || fail "there are changes that are not committed: the package would not be what the sources say"
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

for target in aarch64-apple-darwin x86_64-apple-darwin; do
  cargo build --profile dist --locked --bin masv --target "$target"
done
lipo -create -output "$work/masv" target/{aarch64,x86_64}-apple-darwin/dist/masv
if [ -n "${MASV_SIGN_PROGRAM:-}" ]; then
  codesign --force --timestamp --options runtime --identifier "$identifier" --sign "$MASV_SIGN_PROGRAM" "$work/masv"
else
  codesign --force --identifier "$identifier" --sign - "$work/masv"
fi
codesign --verify --strict "$work/masv"

tree "$work/masv" "$work/root"
package=$out/masv-agent-$version-macos.pkg
pkgbuild --root "$work/root" --identifier "$identifier" --version "$version" --install-location / --ownership recommended \
  ${MASV_SIGN_INSTALLER:+--timestamp --sign "$MASV_SIGN_INSTALLER"} "$package"
if [ -n "${MASV_NOTARY_PROFILE:-}" ]; then
  [ -n "${MASV_SIGN_PROGRAM:-}" ] && [ -n "${MASV_SIGN_INSTALLER:-}" ] || fail "only what is signed can be notarised: give MASV_SIGN_PROGRAM and MASV_SIGN_INSTALLER"
  xcrun notarytool submit "$package" --keychain-profile "$MASV_NOTARY_PROFILE" --wait
  xcrun stapler staple "$package"
  spctl --assess --type install "$package"
fi
(cd "$out" && shasum -a 256 ./*.pkg >SHA256SUMS)
echo "$package"
