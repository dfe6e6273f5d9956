#!/usr/bin/env bash
# Builds a Debian package of the release binary: program, units, completions, manual pages, settings file.
#
#   bash packaging/deb.sh [OUTPUT_FOLDER]      # prints the path of the package
#
# Name, version, licence and description come from Cargo.toml. DEB_VERSION sets another version, DEB_BINARY another binary.
# The same sources and SOURCE_DATE_EPOCH produce the same package.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
out=$(realpath "${1:-$root/target/debian}" 2>/dev/null || echo "${1:-$root/target/debian}")
binary=${DEB_BINARY:-$root/target/release/masv}
[ -x "$binary" ] || { echo "no $binary: cargo build --release" >&2; exit 1; }

metadata=$(cargo metadata --manifest-path "$root/Cargo.toml" --no-deps --format-version 1 --offline)
field() { python3 -c 'import json, sys; print(next(p for p in json.load(sys.stdin)["packages"] if p["name"] == "masv-agent")[sys.argv[1]] or "")' "$1" <<<"$metadata"; }
name=$(field name)
version=${DEB_VERSION:-$(field version)}
description=$(field description)
licence=$(field license)
architecture=$(dpkg --print-architecture)
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
put "$root/rules.example.yaml" "usr/share/doc/$name/examples/rules.example.yaml"
put "$root/docs/monitoring/alerts.yaml" "usr/share/doc/$name/examples/alerts.yaml"
put "$root/docs/monitoring/grafana-dashboard.json" "usr/share/doc/$name/examples/grafana-dashboard.json"
put "$root/docs/rules.schema.json" "usr/share/doc/$name/rules.schema.json"
for picture in "$root"/docs/images/*; do put "$picture" "usr/share/doc/$name/images/$(basename "$picture")"; done
for page in "$root"/docs/decisions/*.md; do put "$page" "usr/share/doc/$name/decisions/$(basename "$page")"; done
for page in "$root"/docs/*.md; do put "$page" "usr/share/doc/$name/$(basename "$page")"; done
{
  echo "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
  echo "Upstream-Name: $name"
  echo
  echo "Files: *"
  echo "Copyright: the authors of $name"
  echo "License: $licence"
  echo " On Debian systems the text is in /usr/share/common-licenses/Apache-2.0."
} >"$tree/usr/share/doc/$name/copyright"
gzip -9n <"$root/CHANGELOG.md" >"$tree/usr/share/doc/$name/changelog.gz"

mkdir -p "$tree"/usr/share/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d,man/man1}
"$binary" completions bash >"$tree/usr/share/bash-completion/completions/masv"
"$binary" completions zsh >"$tree/usr/share/zsh/vendor-completions/_masv"
"$binary" completions fish >"$tree/usr/share/fish/vendor_completions.d/masv.fish"
"$binary" man --to "$tree/usr/share/man/man1"
gzip -9n "$tree"/usr/share/man/man1/*.1

# The newest C library symbols in the binary determine which version it needs.
libc=$(objdump -T "$binary" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -V | tail -n 1)
mkdir -p "$tree/DEBIAN"
{
  echo "Package: $name"
  echo "Version: $version"
  echo "Architecture: $architecture"
  echo "Maintainer: ${DEB_MAINTAINER:-$name <root@localhost>}"
  echo "Installed-Size: $(du -sk --exclude=DEBIAN "$tree" | cut -f 1)"
  echo "Depends: libc6 (>= $libc), libgcc-s1, ca-certificates"
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
dpkg-deb --root-owner-group -Zxz --build "$tree" "$package" >/dev/null
echo "$package"
