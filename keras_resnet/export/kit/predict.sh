#!/bin/sh
# Asks the server what is in images, over REST: ./predict.sh IMAGE...
# HOST (default localhost:8501) and MODEL (default @MODEL_NAME@, or @MODEL_NAME@/versions/N, @MODEL_NAME@/labels/stable).
# Prints the server's answer, one JSON document for every @MAX_BATCH_SIZE@ images: it refuses larger requests.
set -eu

host="${HOST:-localhost:8501}"
model="${MODEL:-@MODEL_NAME@}"
if [ $# -eq 0 ]; then
    echo "usage: $0 IMAGE..." >&2
    exit 2
fi
for image in "$@"; do
    if [ ! -r "$image" ]; then
        echo "$image: cannot be read" >&2
        exit 3
    fi
done

body="$(mktemp)"
trap 'rm -f "$body"' EXIT
while [ $# -gt 0 ]; do
    count=0
    {
        printf '{"instances": ['
        while [ $# -gt 0 ] && [ "$count" -lt @MAX_BATCH_SIZE@ ]; do
            [ "$count" -eq 0 ] || printf ', '
            printf '{"b64": "'
            base64 < "$1" | tr -d '\n'
            printf '"}'
            count=$((count + 1))
            shift
        done
        printf ']}'
    } > "$body" # a file: no command line is long enough for a photograph
    curl --silent --show-error --fail-with-body --max-time 60 --header "Content-Type: application/json" \
        --data-binary "@$body" "http://$host/v1/models/$model:predict"
done
