#!/bin/sh
# Run a command that needs the network, at most three times.
for pause in 5 15; do
    "$@" && exit 0
    echo "That failed; trying again in $pause s: $*" >&2
    sleep "$pause"
done
exec "$@"
