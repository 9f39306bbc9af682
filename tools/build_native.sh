#!/usr/bin/env bash
# Builds and installs native/, which counts exact ranks faster, where there is a C++ compiler. Without one nothing is lost
# but time, so that is said and no failure. Usage: tools/build_native.sh PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:?the Python to install for}
if ! command -v "${CXX:-c++}" >/dev/null; then
  echo "No C++ compiler: the 8-bit products of native/ are left out. Ranks are the same without them, and slower."
  exit 0
fi
# The isolated build takes its tools from the same pins.
if ! PIP_CONSTRAINT=$PWD/constraints.txt "$python" -m pip install --quiet --no-deps ./native; then
  echo "The 8-bit products of native/ could not be built. Ranks are the same without them, and slower."
  [ "${CI:-}" != true ]
fi
