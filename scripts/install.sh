#!/bin/sh
# Python packages in a virtual environment, at the versions of constraints.txt.
set -eu
venv=${1:-.venv}

python=""
for candidate in python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "opsbook needs Python 3.11 or newer; on Debian 12: apt-get install python3 python3-venv" >&2
    exit 1
fi
# What a venv without pip needs comes with python3-venv; one that was left half made is made anew.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1 && ! "$python" -m venv --clear "$venv"; then
    echo "$python cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2
    exit 1
fi
echo "Installing Python packages into $venv (the first time takes a minute or two)"
# Twice quiet: errors are told, warnings about somebody's pip configuration are not ours to tell.
"$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable '.[all,dev]' --requirement examples/renec/requirements.txt
