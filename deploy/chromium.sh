#!/bin/sh
# See to it that the browser tests have a Chromium. Exit code 1 when they can't run although CI says they must.
set -u

for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    for pause in 0 5 15; do
        sleep "$pause"
        apt-get update -q >/dev/null 2>&1
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y chromium >/dev/null 2>&1 && exit 0
    done
fi
echo "No Chromium: the browser tests are skipped. To run them, type: sudo apt-get install -y chromium" >&2
[ "${CI:-}" != true ]
