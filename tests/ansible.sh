#!/usr/bin/env bash
# The example of docs/ansible, by ansible itself: the playbook is understood, ansible-lint has nothing to say, and what its templates write is what the
# agent understands. Nothing is installed on this machine.
#
#   bash tests/ansible.sh target/release/masv
set -euo pipefail
cd "$(dirname "$0")/.."
masv=$(realpath "${1:?usage: bash tests/ansible.sh target/release/masv}")
tools=$PWD/target/ci-ansible
if ! [ -x "$tools/bin/ansible-lint" ]; then
  python3 -m venv --clear "$tools"
  "$tools/bin/pip" install --quiet ansible-core ansible-lint
fi
export PATH=$tools/bin:$PATH ANSIBLE_LOCALHOST_WARNING=False ANSIBLE_INVENTORY_UNPARSED_WARNING=False
work=$(mktemp -d)
agent=
trap '[ -z "$agent" ] || kill "$agent" 2>/dev/null || true; rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

cp -r docs/ansible "$work/example"
cd "$work/example"
printf 'vault_masv_api_key: key\nvault_masv_token: token\n' >"$work/vault.yml"
ansible-playbook -i inventory.ini agents.yml --syntax-check -e "@$work/vault.yml"
ansible-lint --offline agents.yml || fail "ansible-lint"

# What the templates write, with the variables of the playbook, from here to here.
python - agents.yml >"$work/vars.json" <<'END'
import json, sys, yaml
print(json.dumps(yaml.safe_load(open(sys.argv[1]))[0]["vars"]))
END
for name in agent rules; do
  ansible localhost -m ansible.builtin.template -a "src=$name.yaml.j2 dest=$work/$name.yaml" -e "@$work/vars.json" >/dev/null
done
sed -i "s#/srv/drop#$work/drop#" "$work/rules.yaml"
mkdir -p "$work/drop/dailies"
"$masv" rule check "$work/rules.yaml" --output text || fail "the rules of the example"
# The settings, with files that are there and an address that is free.
sed -i "s#/etc/masv-agent#$work#; s#^listen: .*#listen: http://127.0.0.1:0#" "$work/agent.yaml"
(umask 077 && echo token >"$work/token" && echo key >"$work/api-key")
"$masv" server start --config "$work/agent.yaml" --data-dir "$work/data" >"$work/log" 2>&1 &
agent=$!
for _ in $(seq 200); do
  if MASV_TOKEN=token MASV_DATA_DIR=$work/data "$masv" server status --settings --output text >"$work/settings" 2>/dev/null; then break; fi
  kill -0 "$agent" 2>/dev/null || { cat "$work/log"; fail "the settings of the example"; }
  sleep 0.1
done
grep -q 'alert-email *ops@example.com' "$work/settings" || { cat "$work/settings" "$work/log"; fail "nobody is told of what is wrong"; }
echo "the example for Ansible works"
