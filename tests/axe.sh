#!/bin/sh
# Examines the dashboard, the link page, the portal page and the hub's app with axe-core, in a real Chromium: it must find nothing serious.
#
#     tests/axe.sh
#
# Installs axe-core with npm into target/axe. Without npm it says so and tries nothing; `.ci/run` runs it.
set -eu
cd "$(dirname "$0")/.."
if ! command -v npm >/dev/null; then
  echo "tests/axe.sh: no npm here: the pages are NOT examined with axe" >&2
  exit 0
fi
npm install --silent --no-audit --no-fund --prefix target/axe axe-core@4
MASV_AXE="$PWD/target/axe/node_modules/axe-core/axe.min.js"
export MASV_AXE
test -f "$MASV_AXE"
exec cargo test --test it -- dashboard in_browser hub::app
