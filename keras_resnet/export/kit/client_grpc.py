"""Requests the predictions for images from TF Serving, over gRPC.

pip install tensorflow-serving-api
python client_grpc.py IMAGE... [--host localhost:8500] [--model @MODEL_NAME@] [--label stable]
"""

import argparse
import json
import sys

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

BATCH = int("@MAX_BATCH_SIZE@")  # images per request: the server refuses more


def build_request(contents: list[bytes], model: str, label: str | None = None) -> predict_pb2.PredictRequest:
    """The bytes of N images -> a request for the signature serving_default."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "serving_default"
    if label:
        request.model_spec.version_label = label
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(contents, tf.string, [len(contents)]))
    return request


def read_response(response: predict_pb2.PredictResponse) -> list[dict]:
    """A response -> {name of an output: values} per image, the best class or object first."""
    outputs = {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
    rows = len(outputs["scores"])
    return [{name: _plain(values[row]) for name, values in outputs.items()} for row in range(rows)]


def _plain(value):
    if isinstance(value, bytes):
        return value.decode()
    return [_plain(each) for each in value.tolist()] if hasattr(value, "tolist") and value.ndim else value


def predict(host: str, request: predict_pb2.PredictRequest, timeout: float = 60.0) -> list[dict]:
    """Sends a request and returns the predictions.

    Raises:
        grpc.RpcError: the server cannot be reached, refuses, or takes too long.
    """
    with grpc.insecure_channel(host) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return read_response(stub.Predict(request, timeout=timeout))


def main() -> int:
    """Prints a line of JSON per image."""
    parser = argparse.ArgumentParser(description="Asks TF Serving what is in images, over gRPC.")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--host", default="localhost:8500")
    parser.add_argument("--model", default="@MODEL_NAME@")
    parser.add_argument("--label", help="of a version, as models.config names it, such as stable")
    arguments = parser.parse_args()
    try:
        for start in range(0, len(arguments.images), BATCH):
            paths = arguments.images[start : start + BATCH]
            contents = [open(path, "rb").read() for path in paths]  # noqa: SIM115
            answers = predict(arguments.host, build_request(contents, arguments.model, arguments.label))
            for path, answer in zip(paths, answers, strict=True):
                print(json.dumps({"image": path} | answer))
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except grpc.RpcError as error:
        print(f"error: {error.code().name}: {error.details()}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
