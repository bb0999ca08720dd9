#!/usr/bin/env bash
# Install Prebake from the action's own checkout into an environment of its own: tools/action/install.sh [FOLDER].
# The folder with its programs is the output `bin`; PATH stays as it is. With -P, Python imports nothing from the current folder:
# it is the checkout, and a pull request may add a venv.py or a pip.py to it.
set -euo pipefail
action=$(cd "$(dirname "$0")/../.." && pwd)
venv=${1:-$(mktemp -d "${RUNNER_TEMP:-/tmp}/prebake-environment-XXXXXX")}
python3 -P -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "::error title=Python is too old::Prebake needs Python 3.11 or newer; set the input python-version"
  exit 1
}
python3 -P -m venv "$venv"
install() { "$venv/bin/python" -P -m pip install --quiet --disable-pip-version-check --no-deps "$@"; }
install --require-hashes --requirement "$action/tools/action/requirements.txt"
install --no-build-isolation "$action"
"$venv/bin/prebake" --version
if [ -n "${GITHUB_OUTPUT:-}" ]; then echo "bin=$venv/bin" >>"$GITHUB_OUTPUT"; fi
