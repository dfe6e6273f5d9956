#!/usr/bin/env bash
# An organisation goes from nothing to a hub behind nginx (and behind Caddy) with a bucket, mail, backups and an upgrade by docs/hub.md alone:
# its commands are typed as they stand, in the order that the page says, on a machine of its own that is run by systemd.
#
#   bash tests/hub_machine.sh target/release/masv [an older masv, to begin with]      # as root
#
# What the page has that is another on every site is put in the place of its examples: the certificate, the mail server, the bucket.
# Where there is no S3 server (MASV_TEST_WEED), no mail server (MASV_SMTP_PYTHON), no Caddy, that step is passed over.
set -euo pipefail
# shellcheck source=tests/machine.sh
. "$(dirname "$0")/machine.sh"

binary=$(realpath "${1:?usage: bash tests/hub_machine.sh target/release/masv}")
older=$(realpath "${2:-$binary}")
for program in nginx openssl rsync update-ca-certificates; do
  command -v "$program" >/dev/null || skip "there is no $program"
done
boot_machine

# The commands of a section of docs/hub.md: what stands behind a # in its consoles, with the lines that belong to it.
typed() {
  awk -v section="## $1" '/^## / { on = ($0 == section) } /^```console$/ { if (on) shown = 1; next } /^```$/ { shown = 0; next }
    !shown { next }
    document != "" { print; if ($0 == document) document = ""; next }
    goes_on { print; goes_on = /\\$/; next }
    /^# / { line = substr($0, 3); print line; goes_on = line ~ /\\$/; if (match(line, /<<[A-Z]+$/)) document = substr(line, RSTART + 2) }' \
    "$root/docs/hub.md"
}
# A block of docs/hub.md of this language that has a word in it.
block() {
  awk -v language="\`\`\`$1" -v word="$2" '$0 == language { text = ""; on = 1; next } on && /^```$/ { on = 0; if (index(text, word)) { printf "%s", text; exit } }
    on { text = text $0 "\n" }' "$root/docs/hub.md"
}
as_root() {
  within env -i HOME=/root USER=root LANG=C.UTF-8 TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -euo pipefail -c "cd /srv
shopt -s expand_aliases
alias mh='sudo -u masv-hub MASV_HUB_DATA_DIR=/var/lib/masv-hub masv hub'
$1"
}
journal() { within journalctl -n 30 --no-pager -u masv-hub -u agent -u nginx -u caddy >&2 || true; }
type_in() {
  say "docs/hub.md, $1"
  [ -n "$2" ] || fail "$1: no commands in docs/hub.md"
  as_root "$2" || { journal; fail "docs/hub.md, $1"; }
}
eventually() {
  for _ in $(seq 150); do
    if as_root "$2" >/dev/null 2>&1; then return; fi
    sleep 0.2
  done
  as_root "$2" || true
  journal
  fail "$1"
}

# What every site has of its own: names, a certificate of an authority that is trusted here, a file to send.
as_root "ip link set lo up
echo '127.0.0.1 files.example.com mail.example.com' >>/etc/hosts
mkdir -p /etc/letsencrypt/live/files.example.com /srv/mail && cd /etc/letsencrypt/live/files.example.com
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=Ours -keyout ca.key -out ca.crt 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=files.example.com -keyout privkey.pem -out new.csr 2>/dev/null
echo 'subjectAltName=DNS:files.example.com,DNS:mail.example.com' >names
openssl x509 -req -in new.csr -CA ca.crt -CAkey ca.key -days 2 -extfile names -out fullchain.pem 2>/dev/null
cp ca.crt /usr/local/share/ca-certificates/ours.crt && update-ca-certificates >/dev/null 2>&1
cp fullchain.pem /srv/mail/cert.pem && cp privkey.pem /srv/mail/key.pem
head -c 12000000 /dev/urandom >/srv/day1.mov
install -m 755 '$older' /usr/bin/masv"

type_in "From nothing" "$(typed "From nothing" | grep -v '^journalctl')"
eventually "the place of the key is not shown" "$(typed "From nothing" | grep '^journalctl')"
[ "$(within systemctl show -p Type -p User --value masv-hub | tr '\n' ' ')" = "notify masv-hub " ] || fail "the unit"
[ "$(within stat -c '%U %a' /var/lib/masv-hub)" = "masv-hub 700" ] || fail "the data is not its user's alone"
eventually "systemctl status does not tell how it goes" 'systemctl show -p StatusText --value masv-hub | grep -q "reached at https://files.example.com"'
shown=$(as_root "$(typed "From nothing" | grep '^journalctl')")
key_file=$(sed -n 's/.*api_key_file: //p' <<<"$shown")
[ "$(within stat -c '%U %a' "$key_file")" = "masv-hub 600" ] || fail "the key is not its user's alone"
key=$(within cat "$key_file")
team=$(sed -n 's/.*team: //p' <<<"$shown")

say "behind nginx"
within tee /etc/nginx/conf.d/masv-hub.conf <<<"$(block nginx masv_hub)" >/dev/null
as_root "rm -f /etc/nginx/sites-enabled/* && systemctl start nginx"
eventually "the hub is not reached through nginx" "curl -fsS https://files.example.com/healthz | grep -qx '{\"status\":\"ok\"}'"
as_root "install -m 600 /dev/stdin /srv/key <<<'$key'
systemd-run --quiet --unit=agent --setenv=HOME=/root masv server start --data-dir /srv/agent --cloud-url https://files.example.com \
  --api-key-file /srv/key --team-id '$team' --listen http://127.0.0.1:8080"
eventually "the agent does not answer" 'masv server status --server http://127.0.0.1:8080'

# Sends the file by the agent, in these further words; prints the upload's JSON when it is complete.
sends() {
  as_root "masv upload start $* --wait --server http://127.0.0.1:8080 --output json day1.mov" 2>/dev/null || { journal; fail "sending: $*"; }
}
link_of() { grep -o 'https://files.example.com/[^"]*' <<<"$1" | head -n 1; }
comes_back() {
  as_root "rm -rf /srv/back && masv download start --url '$1' --destination /srv/back --wait --server http://127.0.0.1:8080 >/dev/null &&
    cmp /srv/day1.mov \"\$(find /srv/back -type f -name day1.mov)\"" || { journal; fail "what comes back is not what was sent: $2"; }
}
first=$(link_of "$(sends link)")
comes_back "$first" "from the disk"

if [ -n "${MASV_SMTP_PYTHON:-}" ]; then
  within systemd-run --quiet --unit=mail "$(realpath -s "$MASV_SMTP_PYTHON")" "$root/tests/smtp_server.py" starttls /srv/mail 0 587
  type_in "Mail" "$(typed Mail | sed 's/the password/mail secret/')"
  sends email --emails client@example.com >/dev/null
  eventually "the mail did not come" 'grep -l "RCPT TO client@example.com" /srv/mail/*.mail | xargs grep -l "AUTH hub" | xargs grep -q "TLS yes"'
fi

package=$(as_root 'mh package ls --output json' | grep -o '"id": *"[^"]*"' | head -n 1 | cut -d '"' -f 4)
type_in "People, keys and portals" "$(typed "People, keys and portals" | sed "s/01M85VJ3Y0Q8ZK2T4W6X7B9CDE/$package/")" <<<'correct horse'
as_root 'mh portal ls --output text | grep -q rushes && mh user show ed@example.com >/dev/null && [ "$(wc -c <dit-cart-2.key)" = 65 ]' ||
  fail "what was added is not there"
as_root "curl -fsS https://files.example.com/portals/rushes | grep -q Reel" || fail "the portal's page"
type_in "Quotas and disk usage" "$(typed "Quotas and disk usage" | sed "s/'Post production'/Team/")"

objects() {
  # Besides the one that says whose the bucket is.
  as_root "curl -fsS --aws-sigv4 aws:amz:us-east-1:s3 --user test-key:test-secret 'http://127.0.0.1:9000/media?list-type=2' | grep -o '<Key>[^<]*' | grep -v '[>/][.]hub$' | wc -l"
}
second=$first
if [ -n "${MASV_TEST_WEED:-}" ]; then
  within tee /srv/s3.json >/dev/null <<<'{"identities":[{"name":"hub","credentials":[{"accessKey":"test-key","secretKey":"test-secret"}],"actions":["Admin"]}]}'
  as_root "mkdir -p /srv/s3 && systemd-run --quiet --unit=s3 '$(realpath "$MASV_TEST_WEED")' mini -dir=/srv/s3 -s3.config=/srv/s3.json \
    -ip=127.0.0.1 -ip.bind=127.0.0.1 -s3.port=9000 -admin.ui=false -webdav=false -s3.port.iceberg=0 -s3.port.lance=0"
  eventually "the bucket is not made" 'curl -fsS --aws-sigv4 aws:amz:us-east-1:s3 --user test-key:test-secret -X PUT http://127.0.0.1:9000/media'
  type_in "Files in a bucket" "$(typed "Files in a bucket" | sed 's/AKIAEXAMPLE/test-key/; s/EXAMPLEKEY/test-secret/; s/10.0.0.5/127.0.0.1/
    s/&public_endpoint=[^ ]*//')"
  second=$(link_of "$(sends link)")
  [ "$(objects)" = 1 ] || fail "the file is not in the bucket: $(objects)"
  comes_back "$second" "from the bucket"
  comes_back "$first" "from the disk, beside the bucket"
fi

type_in "Backups" "$(typed Backups | sed -n 1,3p)"
type_in "Backups: going back" "$(typed Backups | sed 1,3d)"
comes_back "$first" "after going back to the backup"
comes_back "$second" "from the bucket, after going back to the backup"

within install -m 755 "$binary" /srv/masv
as_root 'masv settings rate-limit update --limit 2MB --enabled --server http://127.0.0.1:8080 >/dev/null'
sends link >"$top.upload" &
sending=$!
sleep 1
type_in "Upgrades" "$(typed Upgrades | sed -n 1,3p)"
wait "$sending" || fail "the upload that was on its way"
as_root 'masv settings rate-limit update --enabled=false --server http://127.0.0.1:8080 >/dev/null'
comes_back "$(link_of "$(cat "$top.upload")")" "sent while the hub was upgraded"
comes_back "$first" "after the upgrade"
rm -f "$top.upload"

type_in "Upgrades: the socket" "$(typed Upgrades | sed 1,3d)"
as_root 'systemctl restart masv-hub & for _ in $(seq 40); do curl -fsS --max-time 20 http://127.0.0.1:8090/healthz >/dev/null || exit 1; done; wait' ||
  { journal; fail "somebody was refused while the hub was restarted"; }

if command -v caddy >/dev/null; then
  say "behind Caddy"
  # It fetches certificates where there is an internet: here it is given one.
  within tee /etc/caddy/Caddyfile >/dev/null <<<"$(block caddyfile reverse_proxy |
    sed '/{$/!b; s#$#\n\ttls /etc/letsencrypt/live/files.example.com/fullchain.pem /etc/letsencrypt/live/files.example.com/privkey.pem#; :rest n; b rest')"
  as_root 'chmod -R a+rX /etc/letsencrypt && systemctl stop nginx && systemctl start caddy'
  eventually "the hub is not reached through Caddy" "curl -fsS https://files.example.com/healthz | grep -q '\"status\":\"ok\"'"
  comes_back "$(link_of "$(sends link)")" "through Caddy"
fi

say "the hub's log has no trouble and no secret"
log=$(within journalctl --no-pager -o cat -u masv-hub)
[ -z "${MASV_SMTP_PYTHON:-}" ] || ! grep -q 'mail secret' <<<"$log" || fail "the mail password is in the log"
! grep -qF "$key" <<<"$log" || fail "the first key is in the log"
! grep -E ' ERROR |panicked' <<<"$log" || fail "the log tells of errors"
[ "$(within systemctl show -p NRestarts --value masv-hub)" = 0 ] || fail "it was started again by itself"
echo "an organisation has its hub"
