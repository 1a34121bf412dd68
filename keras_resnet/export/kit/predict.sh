#!/bin/sh
# Asks the server what is in images, over REST: ./predict.sh IMAGE...
# HOST (default localhost:8501) and MODEL (default @MODEL_NAME@, or @MODEL_NAME@/versions/N, @MODEL_NAME@/labels/stable).
set -eu

host="${HOST:-localhost:8501}"
model="${MODEL:-@MODEL_NAME@}"
if [ $# -eq 0 ]; then
    echo "usage: $0 IMAGE..." >&2
    exit 2
fi

body="$(mktemp)"
trap 'rm -f "$body"' EXIT
{
    printf '{"instances": ['
    comma=""
    for image in "$@"; do
        if [ ! -r "$image" ]; then
            echo "$image: cannot be read" >&2
            exit 3
        fi
        printf '%s{"b64": "' "$comma"
        base64 < "$image" | tr -d '\n'
        printf '"}'
        comma=", "
    done
    printf ']}'
} > "$body"
curl --silent --show-error --fail-with-body --max-time 60 --header "Content-Type: application/json" \
    --data-binary "@$body" "http://$host/v1/models/$model:predict"
