#!/bin/sh
# Build the wheel, install it with its locked dependencies into an empty environment, run the smoke tests against it.
# usage: tests/wheel.sh PYTHON BIN_OF_THE_DEVELOPMENT_ENVIRONMENT
set -eu
python=$1 bin=$2
rm -rf dist
"$bin/python" -m build --no-isolation --wheel --outdir dist . >/dev/null
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"$python" -m venv "$place/env"
"$place/env/bin/python" -m pip install --quiet --require-hashes -r requirements.lock
"$place/env/bin/python" -m pip install --quiet --no-deps dist/*.whl
# pytest comes with its own locked versions; the smoke tests run outside the tree, so only the wheel can be imported.
"$place/env/bin/python" -m pip install --quiet --require-hashes -r requirements-dev.lock
cp -r tests/smoke "$place/smoke"
cd "$place/smoke"
PATH="$place/env/bin:$PATH" "$place/env/bin/python" -m pytest -q -p no:cacheprovider -m smoke --strict-markers \
    -o markers="smoke: the few tests that an installed wheel must pass" .
