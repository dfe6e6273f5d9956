#!/usr/bin/env bash
# Builds a Debian package of a release binary: program, units, completions, manual pages, settings file, documentation.
#
#   bash packaging/deb.sh [OUTPUT_FOLDER]      # prints the path of the package
#
# Name, version, licence and description come from Cargo.toml. DEB_VERSION sets another version, DEB_BINARY another binary. For a binary of
# another architecture, DEB_ARCHITECTURE is Debian's name of it, and DEB_PAGES a binary of the same version that runs here: it writes
# the manual pages and the completions. DEB_COMPRESSION and DEB_LEVEL are those of dpkg-deb, xz if nothing else is said. The same sources and SOURCE_DATE_EPOCH produce the same package.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
out=$(realpath "${1:-$root/target/debian}" 2>/dev/null || echo "${1:-$root/target/debian}")
binary=${DEB_BINARY:-$root/target/release/masv}
pages=${DEB_PAGES:-$binary}
[ -x "$binary" ] || { echo "no $binary: cargo build --release" >&2; exit 1; }

metadata=$(cargo metadata --manifest-path "$root/Cargo.toml" --no-deps --format-version 1 --offline)
field() { python3 -c 'import json, sys; print(next(p for p in json.load(sys.stdin)["packages"] if p["name"] == "masv-agent")[sys.argv[1]] or "")' "$1" <<<"$metadata"; }
name=$(field name)
version=${DEB_VERSION:-$(field version)}
description=$(field description)
licence=$(field license)
architecture=${DEB_ARCHITECTURE:-$(dpkg --print-architecture)}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/$name
umask 022

put() { install -D -m "${3:-644}" "$1" "$tree/$2"; }
put "$binary" usr/bin/masv 755
for unit in masv-agent.service masv-agent@.service masv-hub.service masv-hub.socket; do put "$root/systemd/$unit" "usr/lib/systemd/system/$unit"; done
put "$root/systemd/user/masv-agent.service" usr/lib/systemd/user/masv-agent.service
put "$root/systemd/masv-agent.sysusers" usr/lib/sysusers.d/masv-agent.conf
put "$root/systemd/agent.yaml" etc/masv-agent/agent.yaml
# The documentation as it is in the sources, so that its links lead somewhere.
doc=usr/share/doc/$name
for page in README.md SECURITY.md CONTRIBUTING.md compose.yaml rules.example.yaml; do put "$root/$page" "$doc/$page"; done
(cd "$root" && find docs -type f) | while read -r page; do put "$root/$page" "$doc/$page"; done
ln -s "/usr/share/common-licenses/Apache-2.0" "$tree/$doc/LICENSE"
{
  echo "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
  echo "Upstream-Name: $name"
  echo
  echo "Files: *"
  echo "Copyright: the authors of $name"
  echo "License: $licence"
  echo " On Debian systems the text is in /usr/share/common-licenses/Apache-2.0."
} >"$tree/$doc/copyright"
gzip -9n <"$root/CHANGELOG.md" >"$tree/$doc/changelog.gz"

mkdir -p "$tree"/usr/share/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d,man/man1}
"$pages" completions bash >"$tree/usr/share/bash-completion/completions/masv"
"$pages" completions zsh >"$tree/usr/share/zsh/vendor-completions/_masv"
"$pages" completions fish >"$tree/usr/share/fish/vendor_completions.d/masv.fish"
"$pages" man --to "$tree/usr/share/man/man1"
gzip -9n "$tree"/usr/share/man/man1/*.1

# The newest symbol version of the C library in the binary determines which version it needs.
libc=$(grep -ao 'GLIBC_[0-9][0-9.]*' "$binary" | sed 's/GLIBC_//' | sort -V | tail -n 1)
depends="libc6 (>= $libc), ca-certificates"
# One that zig has linked does not need it; Debian 10 has it under another name.
! grep -aqF libgcc_s.so.1 "$binary" || depends="$depends, libgcc-s1"
mkdir -p "$tree/DEBIAN"
{
  echo "Package: $name"
  echo "Version: $version"
  echo "Architecture: $architecture"
  echo "Maintainer: ${DEB_MAINTAINER:-$name <root@localhost>}"
  echo "Installed-Size: $(find "$tree" -type f -printf '%s\n' | awk '{ size += int(($1 + 1023) / 1024) } END { print size }')"
  echo "Depends: $depends"
  echo "Recommends: systemd, acl"
  echo "Section: net"
  echo "Priority: optional"
  echo "Description: ${description%.}"
  echo " Watches folders, waits until what lands there is whole, and sends it to the"
  echo " MASV service or to a self-hosted hub of the same protocol, verified and"
  echo " resumable. The hub is in the package, too (masv-hub.service, not enabled)."
} >"$tree/DEBIAN/control"
echo /etc/masv-agent/agent.yaml >"$tree/DEBIAN/conffiles"
for script in postinst prerm postrm; do install -m 755 "$root/packaging/debian/$script" "$tree/DEBIAN/$script"; done
(cd "$tree" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)

mkdir -p "$out"
package=$out/${name}_${version}_${architecture}.deb
# With more threads, the bytes would depend on how many there are.
DPKG_DEB_THREADS_MAX=1 dpkg-deb --root-owner-group "-Z${DEB_COMPRESSION:-xz}" ${DEB_LEVEL:+"-z$DEB_LEVEL"} --build "$tree" "$package" >/dev/null
echo "$package"
