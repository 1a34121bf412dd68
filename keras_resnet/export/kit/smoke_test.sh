#!/bin/sh
# Starts the server in a container, asks it over REST and gRPC, compares the answers, and takes it down again.
#
#   ./smoke_test.sh IMAGE [IMAGE...]
#
# Needs Docker with compose, curl, and a Python (PYTHON, default python3) with tensorflow-serving-api. Ports: REST_PORT
# and GRPC_PORT, default 8501 and 8500. SERVER=running asks a server that already exists, and leaves it as it is.
set -eu
for image in "$@"; do
    shift
    set -- "$@" "$(realpath "$image")"
done
cd "$(dirname "$0")"

python="${PYTHON:-python3}"
export REST_PORT="${REST_PORT:-8501}" GRPC_PORT="${GRPC_PORT:-8500}"
rest="localhost:$REST_PORT"

fail() {
    echo "FAILED: $1" >&2
    exit 1
}

[ $# -gt 0 ] || { echo "usage: $0 IMAGE..." >&2; exit 2; }
[ -r "$1" ] || fail "$1 cannot be read"
command -v curl > /dev/null || fail "curl is not installed"
"$python" -c "import tensorflow_serving.apis" 2> /dev/null || fail "$python has no tensorflow-serving-api"

work="$(mktemp -d)"
finish() {
    code=$?
    rm -rf "$work"
    if [ "${SERVER:-}" != running ]; then
        [ "$code" -eq 0 ] || docker compose logs --tail 50 || true
        docker compose down --timeout 5 > /dev/null 2>&1 || true
    fi
}

if [ "${SERVER:-}" != running ]; then
    { docker compose version && docker info; } > /dev/null 2>&1 ||
        fail "docker compose is not there, or its daemon does not run"
    trap finish EXIT
    docker compose up --detach --wait || fail "the server does not start"
else
    trap finish EXIT
fi

echo "1. a version is available"
tries=0
until curl --silent --fail "http://$rest/v1/models/@MODEL_NAME@" | grep -q '"AVAILABLE"'; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || fail "no version became available within a minute"
    sleep 1
done

echo "2. REST by curl, REST by Python and gRPC give the same answers"
HOST="$rest" ./predict.sh "$@" > "$work/curl.json"
"$python" client_rest.py --host "$rest" "$@" > "$work/rest.json"
"$python" client_grpc.py --host "localhost:$GRPC_PORT" "$@" > "$work/grpc.json"
"$python" - "$work" << 'PYTHON' || fail "the clients' answers differ"
import json, math, sys
read = lambda name: [json.loads(line) for line in open(f"{sys.argv[1]}/{name}.json")]
text, curl = open(f"{sys.argv[1]}/curl.json").read().lstrip(), []
while text:  # one document for every request
    document, end = json.JSONDecoder().raw_decode(text)
    curl, text = curl + document["predictions"], text[end:].lstrip()
rest, grpc = read("rest"), read("grpc")
assert len(curl) == len(rest) == len(grpc) > 0
for one, two, three in zip(curl, rest, grpc):
    print("  ", two["image"], " ".join(f"{label} {score:.3f}" for label, score in zip(two["labels"], two["scores"])))
    assert one["labels"] == two["labels"] == three["labels"]
    for scores in zip(one["scores"], two["scores"], three["scores"]):
        assert all(math.isclose(scores[0], score, rel_tol=1e-4, abs_tol=1e-6) for score in scores)
PYTHON

echo "3. a file that is no image harms no other, or is refused"
echo "no image" > "$work/bad.jpg"
if HOST="$rest" ./predict.sh "$1" "$work/bad.jpg" > "$work/mixed.json"; then
    "$python" - "$work" << 'PYTHON' || fail "a bad image changed its neighbor's answer"
import json, sys
good, bad = json.load(open(f"{sys.argv[1]}/mixed.json"))["predictions"]
text = open(f"{sys.argv[1]}/curl.json").read()
alone = json.JSONDecoder().raw_decode(text)[0]["predictions"][0]
assert good["status"] == "OK" != bad["status"], (good["status"], bad["status"])
assert good["labels"] == alone["labels"]
print("   its status:", bad["status"])
PYTHON
else
    echo "   refused"
fi

echo "4. figures for Prometheus"
curl --silent --fail "http://$rest/monitoring/prometheus/metrics" | grep -q "^# TYPE :tensorflow" || fail "no figures"

echo "passed"
