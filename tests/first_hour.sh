#!/usr/bin/env bash
# The first hour of somebody who sends to others: `masv setup`, start, drop a file; the mail arrives at a real mail server, and its link
# opens on another machine of the network, where the file is the same. The two machines are network namespaces, which takes root.
#
#   sudo bash tests/first_hour.sh target/release/masv
#
# MASV_SMTP_PYTHON names a Python that has aiosmtpd. Where no network namespace can be made it says so and passes; with MASV_NEED_NETNS set
# that is a failure.
set -euo pipefail

masv=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
python=${MASV_SMTP_PYTHON:-python3}
sender=masv-sender-$$ client=masv-client-$$
office=10.77.0.1 outside=10.77.0.2
work=$(mktemp -d)
started=()

fail() { echo "FAILED: $*" >&2; exit 1; }
say() { printf '   %s\n' "$*"; }
clean() {
  code=$?
  for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
  wait 2>/dev/null || true
  if [ $code != 0 ] && [ -e "$work/agent.log" ]; then echo "--- agent"; tail -n 40 "$work/agent.log"; fi
  ip netns del "$sender" 2>/dev/null || true
  ip netns del "$client" 2>/dev/null || true
  rm -rf "$work"
  exit $code
}
trap clean EXIT
until_true() {
  local deadline=$((SECONDS + $1)); shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || fail "not in time: $*"
    sleep 0.2
  done
}
on() { ip netns exec "$@"; }

cd "$work"
if ! ip netns add "$sender" 2>netns.log; then
  [ -z "${MASV_NEED_NETNS:-}" ] || fail "no network namespace can be made: $(cat netns.log)"
  echo "SKIPPED: no network namespace can be made: $(cat netns.log)"
  exit 0
fi
ip netns add "$client"
ip link add masv0 netns "$sender" type veth peer name masv1 netns "$client"
on "$sender" ip address add $office/24 dev masv0
on "$client" ip address add $outside/24 dev masv1
for side in "$sender" "$client"; do on "$side" ip link set lo up; done
on "$sender" ip link set masv0 up
on "$client" ip link set masv1 up

mkdir mail home
openssl req -x509 -newkey rsa:2048 -nodes -keyout mail/key.pem -out mail/cert.pem -days 2 -subj /CN=mail -addext "subjectAltName=IP:$outside" -addext basicConstraints=critical,CA:FALSE >openssl.log 2>&1 \
  || { cat openssl.log; fail "no certificate for the mail server"; }
ip netns exec "$client" "$python" "$here/smtp_server.py" starttls "$work/mail" 0 2525 $outside >smtp.log 2>&1 &
started+=($!)
until_true 20 grep -q 2525 smtp.log
say "a mail server runs on the client's machine"

export MASV_DATA_DIR="$work/data" HOME="$work/home"
printf 'mail secret' >smtp-password
chmod 600 smtp-password
on "$sender" "$masv" setup --yes --listen $office:8090 --watch drop --email client@example.com \
  --smtp-url "smtp://$outside:2525?tls=required" --smtp-user hub --smtp-password-file smtp-password --smtp-ca mail/cert.pem \
  --mail-from 'Post House <post@example.com>' --output text
if on "$sender" "$masv" rule check rules.yaml --output text 2>&1 | grep -E 'this machine only|not delivered'; then
  fail "it says that others cannot be reached"
fi
ip netns exec "$sender" "$masv" server start --rules rules.yaml --listen http://127.0.0.1:0 >agent.log 2>&1 &
started+=($!)
until_true 30 test -d drop
head -c 3000000 /dev/urandom >cut_v3.mov
cp cut_v3.mov drop/
say "set up, started, and a file dropped"

mailed() { compgen -G 'mail/*.mail' >/dev/null; }
until_true 90 mailed
grep -q 'RCPT TO client@example.com' mail/*.mail || fail "the mail is for somebody else"
link=$("$python" - mail/*.mail <<'END'
import email, email.policy, re, sys
# Four lines of the envelope, then the mail.
text = open(sys.argv[1], "rb").read().split(b"\r\n", 4)[4]
message = email.message_from_bytes(text, policy=email.policy.default)
body = message.get_body(("plain",)).get_content()
print(re.search(r"https?://\S+secret=\w+", body).group(0))
END
)
case $link in http://$office:8090/*) ;; *) fail "the link is $link" ;; esac
say "the mail has the link $link"

on "$client" curl -fsS "$link" >page.html
grep -q cut_v3.mov page.html || fail "the page does not name the file"
address=$("$python" - page.html <<'END'
import html, re, sys
page = open(sys.argv[1]).read()
print(html.unescape(re.search(r'<a[^>]*href="([^"]*cut_v3[^"]*|[^"]+/files/[^"]+)"', page).group(1)))
END
)
case $address in http*) ;; *) address=http://$office:8090$address ;; esac
on "$client" curl -fsSL "$address" -o received.mov
cmp cut_v3.mov received.mov || fail "another file arrived"
say "the file arrived on the other machine, and is the same"
