#!/bin/sh
# Make .venv with a Python of 3.11 or newer: by venv, by pip's virtualenv, or (as root) after apt-get.
# Run from the checkout. Each way is tried with every Python found before the next one.
set -u

log=$(mktemp)
trap 'rm -f "$log"' EXIT

pythons() {
    for name in python3.11 python3.12 python3.13 python3 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$name"
        fi
    done
}

works() {
    [ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1
}

try() {
    rm -rf .venv
    "$@" >>"$log" 2>&1 && works
}

with_virtualenv() {
    "$1" -m pip install --quiet --target .tools/virtualenv virtualenv || return 1
    PYTHONPATH=.tools/virtualenv "$1" -m virtualenv --quiet .venv
}

with_apt() {
    command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] || return 1
    for pause in 0 5 15; do
        sleep "$pause"
        apt-get update -q >>"$log" 2>&1
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y python3 python3-venv >>"$log" 2>&1 && return 0
    done
    return 1
}

done_by() {
    echo "Made .venv by $1 ($(.venv/bin/python --version))."
    exit 0
}

works && exit 0
for python in $(pythons); do
    try "$python" -m venv .venv && done_by "$python -m venv"
done
for python in $(pythons); do
    try with_virtualenv "$python" && done_by "$python's virtualenv"
done
if with_apt; then
    for python in $(pythons); do
        try "$python" -m venv .venv && done_by "$python -m venv"
    done
fi

rm -rf .venv
cat "$log" >&2
echo "No Python of 3.11 or newer could make a virtual environment. Type this, then run make again:" >&2
echo "  sudo apt-get install -y python3 python3-venv" >&2
exit 1
