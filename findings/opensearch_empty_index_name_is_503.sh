#!/usr/bin/env bash
# OpenSearch 3.6.0: a search for the empty string in the metadata field _index, alone or among other names, is answered
# with status 503, "all shards failed", no root cause and no failed shard, as if the cluster were unavailable.
#
# Seen: term and terms with "" -> 503 with empty root_cause and failed_shards; with a name that does not exist -> 200 and
# no hits; the same empty string in a keyword field -> 200 and no hits.
# Expected by a user: no hits, or a 400 that names the value. Clients that send a 503 again wait for nothing.
# Here: documents without a known language are looked for by the names of their indices only (opensearch/index/
# undetermined.py); before, an audit by --language-field _index waited a minute for this answer.
#
# Needs Maven and a JDK of version 21 or later (FINDING_JAVA_HOME, else the newest in /usr/lib/jvm).
set -euo pipefail
folder=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
java_home=${FINDING_JAVA_HOME:-$(find /usr/lib/jvm -maxdepth 1 -name "*-2[1-9]*" | sort | tail -1)}
mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy -DoutputDirectory="$folder" \
  -Dartifact=org.opensearch.distribution.integ-test-zip:opensearch:3.6.0:zip
(cd "$folder" && python3 -m zipfile -e opensearch-3.6.0.zip . && rm opensearch-3.6.0.zip && mv opensearch-3.6.0* home)
chmod +x "$folder"/home/bin/*
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > "$folder/home/config/opensearch.yml" <<YML
discovery.type: single-node
network.host: 127.0.0.1
http.port: $port
transport.port: 0
path.data: $folder/data
path.logs: $folder/logs
YML
run=()
if [ "$(id -u)" = 0 ]; then  # it refuses to run as root
  chown -R nobody "$folder"
  run=(setpriv --reuid nobody --clear-groups)
fi
chmod 755 "$folder"
OPENSEARCH_JAVA_HOME=$java_home JAVA_HOME=$java_home OPENSEARCH_JAVA_OPTS="-Xms512m -Xmx512m" HOME=$folder \
  "${run[@]}" "$folder/home/bin/opensearch" > "$folder/out" 2>&1 &
server=$!
PORT=$port python3 - <<'PY'
import json
import os
import sys
import time
import urllib.error
import urllib.request


def request(method, path, body=None):
    call = urllib.request.Request(
        f"http://127.0.0.1:{os.environ['PORT']}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(call, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


until = time.monotonic() + 180
while True:
    try:
        request("GET", "/")
        break
    except OSError:
        if time.monotonic() > until:
            sys.exit("the server did not start")
        time.sleep(1)
print(request("GET", "/")[1]["version"]["number"])
request("PUT", "/a", {"mappings": {"properties": {"language": {"type": "keyword"}}}})
request("PUT", "/a/_doc/1?refresh=true", {"language": "en"})


def search(query):
    status, answer = request("GET", "/a/_search", {"query": query})
    if status == 200:
        print(json.dumps(query), status, answer["hits"]["total"]["value"], "hits")
        return status, answer["hits"]["total"]["value"]
    error = answer["error"]
    print(json.dumps(query), status, error["reason"], error["root_cause"], error["failed_shards"])
    return status, error["root_cause"] + error["failed_shards"]


same = (
    search({"term": {"_index": ""}}) == (503, [])
    and search({"terms": {"_index": ["", "a"]}}) == (503, [])
    and search({"term": {"_index": "b"}}) == (200, 0)
    and search({"term": {"_index": "a"}}) == (200, 1)
    and search({"term": {"language": ""}}) == (200, 0)
)
sys.exit(0 if same else "the behavior has changed")
PY
