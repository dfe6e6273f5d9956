#!/usr/bin/env bash
# A machine of its own for the tests that source this: this one's file system under a layer that takes all changes, in namespaces of its
# own, without a network, with systemd as its first process. Nothing of it is left behind. Where that cannot be made it says so and the
# test passes; with MASV_NEED_SYSTEMD set that is a failure.
#
#   . tests/machine.sh; boot_machine; within COMMAND...
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
fail() { echo "FAILED: $*" >&2; exit 1; }
say() { printf '   %s\n' "$*"; }
skip() {
  [ -z "${MASV_NEED_SYSTEMD:-}" ] || fail "$*"
  echo "SKIPPED: $*"
  exit 0
}

# First process of the new machine, from here to systemd.
if [ "${1:-}" = --boot ]; then
  top=$2
  mount --make-rprivate /
  mount -t tmpfs -o mode=755 machine "$top"
  mkdir "$top/upper" "$top/work" "$top/root"
  mount -t overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" machine "$top/root"
  cd "$top/root"
  mount -t proc -o nosuid,nodev,noexec proc proc
  mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
  mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
  mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs tmp
  mount -t tmpfs -o mode=755,nosuid tmpfs dev
  for node in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "dev/${node%:*}" c 1 "${node#*:}"; done
  mknod -m 666 dev/tty c 5 0
  mkdir dev/pts dev/shm
  mount -t devpts -o newinstance,mode=620,ptmxmode=666 devpts dev/pts
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
  mount -t tmpfs -o mode=1777 tmpfs dev/shm
  # The repository, where it is in a place that the new machine has of its own or that is mounted for itself; nothing is written there.
  if ! [ -e ".$root/tests/machine.sh" ]; then
    mkdir -p ".$root"
    mount --bind "$root" ".$root"
    mount -o remount,bind,ro ".$root"
  fi
  # Nothing that this machine has set up for itself is started there, and no agent was ever on it.
  rm -rf etc/systemd/system/*.wants etc/systemd/system/default.target etc/masv-agent var/lib/masv-agent var/lib/masv-hub usr/local/bin/masv usr/bin/masv
  printf '[Unit]\nRequires=basic.target systemd-logind.service\nAfter=basic.target\nAllowIsolate=yes\n' >etc/systemd/system/clean.target
  echo clean >etc/hostname
  echo '127.0.0.1 localhost clean' >etc/hosts
  hostname clean
  mkdir -p .before
  pivot_root . .before
  cd /
  umount -l /.before
  # As systemd finds it on a machine: what it mounts for a service, its credentials, has to reach the service.
  mount --make-rshared /
  exec env -i container=clean PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=clean.target --log-target=journal --show-status=no
fi

boot_machine() {
  [ "$(id -u)" = 0 ] || skip "making a machine takes root"
  for program in unshare nsenter pivot_root sudo setfacl dbus-daemon /lib/systemd/systemd; do
    command -v "$program" >/dev/null || skip "there is no $program"
  done
  cgroups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
  [ -n "$cgroups" ] || skip "there is no cgroup2 for a systemd"

  top=$(mktemp -d)
  group=$cgroups/clean-machine-$$
  machine=
  cleanup() {
    [ -z "$machine" ] || kill -9 "$machine" 2>/dev/null || true
    wait 2>/dev/null || true
    find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    rm -rf "$top"
  }
  trap cleanup EXIT

  mkdir "$group" 2>/dev/null || skip "cgroups cannot be made here"
  (echo "$BASHPID" >"$group/cgroup.procs" && exec unshare --mount --pid --fork --kill-child --ipc --uts --net --cgroup \
    bash "$root/tests/machine.sh" --boot "$top") >"$top.log" 2>&1 &
  unshare=$!
  within() { nsenter --target "$machine" --all -- "$@"; }
  for _ in $(seq 100); do
    machine=$(pgrep -P "$unshare" || true)
    [ -z "$machine" ] || [ "$(cat "/proc/$machine/comm" 2>/dev/null)" != systemd ] || break
    kill -0 "$unshare" 2>/dev/null || break
    sleep 0.1
  done
  if [ -z "$machine" ] || [ "$(cat "/proc/$machine/comm" 2>/dev/null)" != systemd ]; then
    reason=$(tail -n 3 "$top.log" | tr '\n' ' ')
    rm -f "$top.log"
    skip "a machine of its own cannot be made here: $reason"
  fi
  rm -f "$top.log"
  for _ in $(seq 300); do
    state=$(within systemctl is-active clean.target 2>/dev/null || true)
    [ "$state" != active ] || break
    sleep 0.1
  done
  [ "$state" = active ] || skip "systemd does not start in a machine of its own: $(within systemctl list-jobs 2>&1 | tail -n 5)"
  say "a machine run by $(within systemctl --version | head -n 1)"
}
