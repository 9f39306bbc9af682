#!/usr/bin/env bash
# openvino 2026.4.1: `import openvino` makes an id for the user in the home folder and reports the import to its maker,
# without a question. With CI=true it does neither.
#
# Seen: after the import in an empty home folder there is intel/openvino_ga_cid, which holds a random UUID, and the
# package openvino_telemetry, a dependency of openvino, has started a process that sends (here: to a proxy that does not
# answer). Nothing was converted or computed. CI=true: no file.
# Expected by a user: an import writes nothing, and statistics of usage are asked for, as the package's own opt-in dialog
# does elsewhere.
# Here: the backend openvino is imported without that package, so that nothing is written or sent (a test holds it).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  openvino==2026.4.1 openvino-telemetry==2025.2.0 numpy==2.4.6
written() {
  mkdir "$folder/$1"
  env -u CI -u GITHUB_ACTIONS -u JENKINS_URL HOME="$folder/$1" https_proxy=http://127.0.0.1:9 http_proxy=http://127.0.0.1:9 \
    ${2:+"$2"} "$folder/venv/bin/python" -c "import openvino" >/dev/null 2>&1
  (cd "$folder/$1" && find . -type f | sort | tr '\n' ' ')
}
plain=$(written plain)
in_ci=$(written in_ci CI=true)
echo "files in the home folder after the import: ${plain:-none}; with CI=true: ${in_ci:-none}"
[[ $plain == *intel/openvino_ga_cid* && $in_ci != *openvino_ga_cid* ]]
grep -Eq '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' "$folder/plain/intel/openvino_ga_cid"
