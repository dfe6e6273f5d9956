#!/usr/bin/env bash
# A new machine goes from a clone to a running service with a rule by docs/service.md alone: its blocks are typed as they stand.
#
#   bash tests/clean_machine.sh target/release/masv      # as root
#
# The machine is this one's file system under a layer that takes all changes, in namespaces of its own, without a network, with
# systemd as its first process. Nothing of it is left behind. Where that cannot be made it says so and passes; with
# MASV_NEED_SYSTEMD set that is a failure; with MASV_CLEAN_MACHINE_DEB, the folder of packages that packaging/test_deb.sh has built, the
# Debian package is tried there as well. Only `cargo build --release` is not run again: the given binary is put where it would be.
set -euo pipefail
# shellcheck source=tests/machine.sh
. "$(dirname "$0")/machine.sh"

binary=$(realpath "${1:?usage: bash tests/clean_machine.sh target/release/masv}")
boot_machine

within useradd --create-home --shell /bin/bash ann
within sh -c 'echo "ann ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/ann && chmod 440 /etc/sudoers.d/ann'
# A login of ann's, as far as the service manager goes.
user=$(within id -u ann)
within loginctl enable-linger ann
for _ in $(seq 200); do
  within test -S "/run/user/$user/systemd/private" && break
  sleep 0.1
done
as_ann() {
  within setpriv --reuid ann --regid ann --init-groups env -i HOME=/home/ann USER=ann LANG=C.UTF-8 TERM=dumb \
    XDG_RUNTIME_DIR="/run/user/$user" PATH=/usr/local/bin:/usr/bin:/bin bash -euo pipefail -c "cd ~/masv-agent; $1"
}
within git config --system --add safe.directory '*'
within setpriv --reuid ann --regid ann --init-groups git clone --quiet "$root" /home/ann/masv-agent 2>/dev/null ||
  within sh -c "mkdir /home/ann/masv-agent && cp -r '$root/docs' /home/ann/masv-agent && chown -R ann: /home/ann/masv-agent"
# Through a pipe: the machine has a /tmp of its own.
within install -D -o ann -g ann -m 755 /dev/stdin /home/ann/masv-agent/target/release/masv <"$binary"
as_ann 'truncate -s 3000000 cut_v3.mov'

# The blocks of docs/service.md between two headings that are in one language, `sh` unless another is named.
blocks() {
  awk -v from="$1" -v to="$2" -v fence="\`\`\`${3:-sh}" '$0 == from { on = 1; next } $0 == to { exit }
    on && $0 == fence { within = 1; next } /^```$/ { within = 0 } on && within { print }' "$root/docs/service.md"
}
# Puts text into a drop-in of the service, as `systemctl edit` does.
drop_in() {
  within mkdir -p /etc/systemd/system/masv-agent.service.d
  within tee "/etc/systemd/system/masv-agent.service.d/$1.conf" >/dev/null
  within systemctl daemon-reload
  within systemctl restart masv-agent
}
eventually() {
  for _ in $(seq 300); do
    if as_ann "$2" >/dev/null 2>&1; then return; fi
    sleep 0.2
  done
  as_ann "$2" || true
  within journalctl -n 40 --no-pager -u masv-agent || true
  fail "$1"
}
type_in() {
  [ -n "$2" ] || fail "$1: no commands in docs/service.md"
  say "$1"
  as_ann "$2" || { within journalctl -n 40 --no-pager; fail "$1"; }
}

typed=$(blocks "## Linux: systemd" "### Let it read the drop folders" | sed '/^cargo build --release$/d')
type_in "docs/service.md, Linux: systemd" "$typed"
eventually "the dropped file was not sent" 'sudo masv upload ls --output json | grep -q "\"state\": *\"complete\""'
as_ann 'masv service status' || fail "the service does not run"
[ "$(within systemctl show -p Type -p NRestarts -p User --value masv-agent | tr '\n' ' ')" = "notify 0 masv-agent " ] ||
  fail "$(within systemctl show -p Type -p NRestarts -p User masv-agent)"
[ "$(within stat -c '%U %a' /var/lib/masv-agent)" = "masv-agent 700" ] || fail "the state is not its user's alone"
eventually "systemctl status does not tell how it goes" 'systemctl show -p StatusText --value masv-agent | grep -q "1 rules, 0 uploads"'
as_ann 'sudo masv doctor --output text'

if as_ann 'masv upload ls' >/dev/null 2>&1; then fail "another user may call the agent of the service"; fi

say "reload, kill, install again"
within systemctl reload masv-agent
before=$(within systemctl show -p MainPID --value masv-agent)
as_ann 'sudo masv service install' | grep -q "is already running" || fail "installing again is not quiet"
[ "$before" = "$(within systemctl show -p MainPID --value masv-agent)" ] || fail "installing again or the reload restarted it"
within kill -9 "$before"
eventually "it is not started again after a kill" 'sudo masv server status'

say "an agent that hangs is started again"
printf '[Service]\nWatchdogSec=3s\nTimeoutAbortSec=1s\n' | drop_in watchdog
before=$(within systemctl show -p MainPID --value masv-agent)
within kill -STOP "$before"
eventually "the watchdog does not see that it hangs" "test \"\$(systemctl show -p MainPID --value masv-agent)\" != $before && sudo masv server status"
# All of it is read: one that ends at the first hit breaks the pipe, which counts as a failure.
within journalctl --no-pager -u masv-agent | grep "Watchdog timeout" >/dev/null || fail "it was started again by something else"
within rm /etc/systemd/system/masv-agent.service.d/watchdog.conf

type_in "docs/service.md, Let it read the drop folders" "$(blocks "### Let it read the drop folders" "### Keep the key out of files that others read")"
say "its drop-in: a folder below /home is read, one that is written is emptied"
as_ann 'mkdir ~/Outgoing && sudo setfacl -m u:masv-agent:rX ~/Outgoing && sudo setfacl -m u:masv-agent:rwX /srv/drop/dailies'
within sh -c "sed -i 's/^    package: file$/&\n    after: delete/' /etc/masv-agent/rules.yaml"
within sh -c "printf '  - {name: from-ann, watch: /home/ann/Outgoing, settle: 2s, package: file, upload: {kind: link}}\n' >>/etc/masv-agent/rules.yaml"
blocks "### Let it read the drop folders" "### Keep the key out of files that others read" ini | drop_in folders
as_ann 'cp cut_v3.mov ~/Outgoing/from_home.mov && sudo cp cut_v3.mov /srv/drop/dailies/emptied.mov'
eventually "a folder below /home is not read" 'sudo masv rule history from-ann --output json | grep -q complete'
eventually "a folder that is written is not emptied" 'sudo masv rule history dailies --output json | grep -q emptied.mov && ! test -e /srv/drop/dailies/emptied.mov'
as_ann 'sudo masv doctor --output text' || fail "the doctor does not like what docs/service.md says"

say "docs/service.md, Keep the key out of files that others read"
key=$(blocks "### Keep the key out of files that others read" "### Who may call" | head -n 1)
as_ann "echo sesame | $key"
blocks "### Keep the key out of files that others read" "### Who may call" ini | drop_in key
eventually "the credential is not taken" 'sudo masv server status --settings --output json | grep -q "credential api-key"'
! within journalctl --no-pager | grep -q sesame || fail "the key is in the journal"
within rm /etc/systemd/system/masv-agent.service.d/key.conf

type_in "docs/service.md, More than one" "$(blocks "### More than one" "### As yourself" | sed 's/^sudo masv/echo "listen: unix:\/\/\/run\/masv-agent-studio-b\/agent.sock" | sudo tee \/etc\/masv-agent\/studio-b.yaml\n&/')"
eventually "the instance does not run" 'systemctl is-active masv-agent@studio-b'
sudo=$(as_ann 'sudo /home/ann/masv-agent/target/release/masv service install 2>&1' || true)
grep -q "/usr/local/bin" <<<"$sudo" || fail "a program below /home is installed as a system service: $sudo"

say "removing it leaves settings and state"
as_ann 'sudo systemctl stop masv-agent@studio-b; sudo masv service uninstall'
within test -f /etc/masv-agent/rules.yaml -a -f /var/lib/masv-agent/agent.db || fail "settings or state are gone"
within test ! -e /etc/systemd/system/masv-agent.service || fail "the unit is still there"

type_in "docs/service.md, As yourself" "$(blocks "### As yourself" "## From a Debian package")"
eventually "the agent of ann does not answer" 'masv server status --output json | grep -q /home/ann/.local/share/masv-agent'
as_ann 'masv service uninstall --user'
without=$(as_ann 'XDG_RUNTIME_DIR=/nowhere masv service install --user 2>&1' || true)
grep -q "enable-linger ann" <<<"$without" || fail "without a service manager it does not say what to do: $without"

if [ -n "${MASV_CLEAN_MACHINE_DEB:-}" ]; then
  say "the Debian package, by systemd"
  # As on a machine that had nothing of it.
  within sh -c 'rm -rf /etc/masv-agent /etc/systemd/system/masv-agent* /var/lib/masv-agent* /usr/local/bin/masv; systemctl daemon-reload'
  within env HOME="$HOME" PATH="$PATH" CARGO_TARGET_DIR=/tmp/target DEB_BUILT="$MASV_CLEAN_MACHINE_DEB" bash "$root/packaging/test_deb.sh"
fi
echo "a new machine runs the service"
