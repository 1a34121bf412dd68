"""Requests the predictions for images from TF Serving, over REST, with only Python's standard library.

python client_rest.py IMAGE... [--host localhost:8501] [--model @MODEL_NAME@]
"""

import argparse
import base64
import json
import sys
import urllib.error
import urllib.request

BATCH = int("@MAX_BATCH_SIZE@")  # images per request: the server refuses more


def build_body(contents: list[bytes]) -> bytes:
    """The bytes of N images -> a request for the signature serving_default."""
    instances = [{"b64": base64.b64encode(content).decode()} for content in contents]
    return json.dumps({"instances": instances}).encode()


def predict(host: str, model: str, contents: list[bytes], timeout: float = 60.0) -> list[dict]:
    """Returns the answers for at most `BATCH` images: {name of an output: values}, the best class or object first.

    Raises:
        RuntimeError: the server refuses; the message is the server's.
        OSError: the server cannot be reached.
    """
    url = f"http://{host}/v1/models/{model}:predict"
    request = urllib.request.Request(url, build_body(contents), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return json.load(reply)["predictions"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{error.code}: {error.read().decode(errors='replace')[:500]}") from None


def main() -> int:
    """Prints a line of JSON per image."""
    parser = argparse.ArgumentParser(description="Asks TF Serving what is in images, over REST.")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--host", default="localhost:8501")
    parser.add_argument("--model", default="@MODEL_NAME@", help="NAME, NAME/versions/N or NAME/labels/LABEL")
    arguments = parser.parse_args()
    try:
        for start in range(0, len(arguments.images), BATCH):
            paths = arguments.images[start : start + BATCH]
            contents = [open(path, "rb").read() for path in paths]  # noqa: SIM115
            answers = predict(arguments.host, arguments.model, contents)
            for path, answer in zip(paths, answers, strict=True):
                print(json.dumps({"image": path} | answer))
    except (OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
