"""Answers TF Serving's Predict call from a SavedModel: gRPC by the official stubs, REST as its guide describes it.

Run as a script with the folder of a version, the model's name and the batch limit; nothing of this package can be
imported here. It is no ModelServer: no warm-up, no versions, and of batching only that it refuses more rows than the
limit. What it shows is that the clients' requests are those that the service and the signature take.
"""

import base64
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """The service of prediction_service.proto, as far as Predict."""

    def __init__(self, signatures, name, limit):
        self.signatures, self.name, self.limit = signatures, name, limit

    def Predict(self, request, context):
        if request.model_spec.name != self.name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {request.model_spec.name}")
        signature = self.signatures[request.model_spec.signature_name or "serving_default"]
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        rows = len(next(iter(inputs.values())))
        if rows > self.limit:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, _too_many(rows, self.limit))
        try:
            outputs = signature(**inputs)
        except tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message[:200])
        response = predict_pb2.PredictResponse()
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return response


def _too_many(rows, limit):
    return f"Task size {rows} is larger than maximum input batch size {limit}"


def rest_handler(signatures, name, limit):
    class Rest(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == f"/v1/models/{name}":
                self.reply(200, {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]})
            elif self.path == "/monitoring/prometheus/metrics":
                self.reply(200, "# TYPE :tensorflow:core:graph_runs counter\n")
            else:
                self.reply(404, {"error": "Not found"})

        def do_POST(self):
            if self.path != f"/v1/models/{name}:predict":
                return self.reply(404, {"error": "Servable not found for request"})
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            contents = [base64.b64decode(instance["b64"]) for instance in body["instances"]]
            if len(contents) > limit:
                return self.reply(400, {"error": _too_many(len(contents), limit)})
            try:
                outputs = signatures["serving_default"](image_bytes=tf.constant(contents))
            except tf.errors.InvalidArgumentError as error:
                return self.reply(400, {"error": error.message[:200]})
            columns = {key: _decoded(value.numpy().tolist()) for key, value in outputs.items()}
            rows = [{key: column[i] for key, column in columns.items()} for i in range(len(contents))]
            return self.reply(200, {"predictions": rows})

        def reply(self, code, content):
            content = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    return Rest


def _decoded(value):
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


def main(folder, name, limit):
    """Prints the two ports as JSON, and serves until its input ends."""
    sys.modules["keras_resnet"] = None  # importing it fails from here on
    loaded = tf.saved_model.load(folder)
    grpc_server = grpc.server(ThreadPoolExecutor(2))
    service = PredictionService(loaded.signatures, name, int(limit))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, grpc_server)
    grpc_port = grpc_server.add_insecure_port("127.0.0.1:0")
    grpc_server.start()
    rest_server = ThreadingHTTPServer(("127.0.0.1", 0), rest_handler(loaded.signatures, name, int(limit)))
    threading.Thread(target=rest_server.serve_forever, daemon=True).start()
    print(json.dumps({"grpc": grpc_port, "rest": rest_server.server_address[1]}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
