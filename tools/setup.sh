#!/usr/bin/env bash
# Make the virtual environment: tools/setup.sh FOLDER. Needs Python 3.11 or newer; on Debian as root it installs venv itself.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3} venv=$1
say() { printf 'setup: %s\n' "$*" >&2; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { say "needs Python 3.11 or newer; PYTHON=python3.11 make … names one"; exit 1; }
if ! "$python" -m venv "$venv" >/dev/null 2>&1; then
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { say "this Python has no venv: install python3-venv"; exit 1; }
  say "installing python3-venv"
  apt-get -qq update && apt-get -qq install -y --no-install-recommends python3-venv >/dev/null
  "$python" -m venv --clear "$venv"
fi
# Without bytecode, which Python writes for the modules that it imports.
install() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes --requirement "$1"; }
say "installing the packages of tools/dev.txt into $venv"
install tools/dev.txt
if ! install templates/requirements/torch-cpu.txt 2>/dev/null; then
  say "no CPU build of torch is found (PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL may name one): taking the index's, with CUDA's libraries"
  install templates/requirements/torch-cuda.txt
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
