#!/usr/bin/env bash
# Lays out a signed apt repository of Debian packages: a folder that any web server can publish.
#
#   bash packaging/apt.sh FOLDER PACKAGE.deb...
#
# APT_KEY names the key that signs it, as gpg knows it (`gpg --quick-generate-key 'Releases <releases@example.com>' ed25519 sign never` makes one);
# GNUPGHOME says where, if it is not your own. Packages that are in FOLDER already stay, so that older versions can be installed.
# The public key is put beside them, as masv-agent.asc. APT_VALID_DAYS (30) is how long apt trusts the list: run this again before
# that, even without a new release, so that nobody can keep an old list from your users unseen; 0 sets no limit.
set -euo pipefail
repository=${1:?usage: bash packaging/apt.sh FOLDER PACKAGE.deb...}
shift
key=${APT_KEY:?APT_KEY: the key that signs the repository, as gpg knows it}
days=${APT_VALID_DAYS:-30}
for program in apt-ftparchive gpg; do
  command -v "$program" >/dev/null || { echo "there is no $program: apt-get install apt-utils gnupg" >&2; exit 1; }
done

mkdir -p "$repository/pool/main"
for package in "$@"; do
  placed=$repository/pool/main/$(basename "$package")
  # A version that somebody may have installed is never exchanged for another of the same name.
  if [ -e "$placed" ] && ! cmp -s "$package" "$placed"; then
    echo "$placed is there with other content: give the new one another version" >&2
    exit 1
  fi
  install -m 644 "$package" "$placed"
done

cd "$repository"
new=$(mktemp -d -p .)
trap 'rm -rf "$new"' EXIT
for architecture in amd64 arm64; do
  folder=$new/main/binary-$architecture
  mkdir -p "$folder"
  apt-ftparchive --arch "$architecture" packages pool/main >"$folder/Packages"
  gzip -9nk "$folder/Packages"
done
options=(-o APT::FTPArchive::Release::Origin=masv-agent -o APT::FTPArchive::Release::Label=masv-agent -o APT::FTPArchive::Release::Suite=stable
  -o APT::FTPArchive::Release::Codename=stable -o APT::FTPArchive::Release::Components=main
  -o "APT::FTPArchive::Release::Architectures=amd64 arm64")
[ "$days" = 0 ] || options+=(-o "APT::FTPArchive::Release::ValidTime=$((days * 86400))")
apt-ftparchive "${options[@]}" release "$new" >Release.new
mv Release.new "$new/Release"
gpg --batch --yes --local-user "$key" --armor --detach-sign --output "$new/Release.gpg" "$new/Release"
gpg --batch --yes --local-user "$key" --clearsign --output "$new/InRelease" "$new/Release"
gpg --batch --yes --armor --export "$key" >masv-agent.asc
chmod -R u=rwX,go=rX "$new"
# The list appears as a whole.
mkdir -p dists
rm -rf dists/stable.old
[ ! -e dists/stable ] || mv dists/stable dists/stable.old
mv "$new" dists/stable
rm -rf dists/stable.old
