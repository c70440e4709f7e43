#!/bin/sh
# Create a virtual environment from a hash-pinned lock file and install this project into it.
# usage: setup.sh VENV LOCKFILE
set -eu
venv=$1
lock=$2

python=""
for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "setup: Python 3.11 or newer is needed. Install it, or name it: make PYTHON=/path/to/python3 …" >&2
    exit 1
fi
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$venv"
    "$python" -m venv "$venv" || {
        echo "setup: $python cannot create a virtual environment (on Debian: apt-get install python3-venv)." >&2
        exit 1
    }
fi
echo "setup: installing the locked packages into $venv (once) …" >&2
"$venv/bin/python" -m pip install --quiet --require-hashes -r "$lock"
"$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
