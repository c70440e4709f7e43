#!/bin/sh
# Renew the hash-pinned lock files. They hold no address of any registry.
set -eu
.venv/bin/python -m pip install --quiet uv
for target in "requirements.lock" "requirements-dev.lock --group dev"; do
    # shellcheck disable=SC2086  # the group option is meant to split
    set -- $target
    output=$1
    shift
    .venv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --all-extras "$@" \
        --no-emit-index-url --no-emit-find-links --no-header --annotation-style line --quiet --output-file "$output"
done
