#!/bin/sh
# Pins every client environment again. Needs uv and npm. Neither lock names a download address: the registry is the
# reader's own choice.
set -eu
cd "$(dirname "$0")"

for requirements in python-*.in server-*.in tools-*.in; do
    uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-annotate --custom-compile-command ./lock.sh \
        "$requirements" --output-file "${requirements%.in}.txt"
done

for folder in npm-*/; do
    (cd "$folder" && npm install --package-lock-only --omit-lockfile-registry-resolved=true --no-audit --no-fund)
done
