"""A server on this machine that answers like the Hugging Face Hub: downloads of files, and uploads of folders."""

import base64
import hashlib
import http.server
import json
import threading
from urllib.parse import urlsplit


class Hub(http.server.ThreadingHTTPServer):
    """Holds repositories as {repository: {revision: {file: content}}}; records the requests.

    Attributes:
        token: the token that uploads need.
        writable: the owner whose repositories the token may write.
    """

    token, writable = "hf_secret", "owner"

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories, self.asked, self.large = {}, [], {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        self._thread = threading.Thread(target=self.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self._thread.join()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self._send_file(False)

    def do_GET(self):
        self._send_file(True)

    def _send_file(self, whole):
        owner, name, _, revision, file = (self.path.lstrip("/").split("?")[0].split("/", 4) + [""] * 5)[:5]
        self.server.asked.append(f"{self.command} {revision} {file}")
        revisions = self.server.repositories.get(f"{owner}/{name}")
        files = (revisions or {}).get(revision)
        code = "RepoNotFound" if revisions is None else "RevisionNotFound" if files is None else "EntryNotFound"
        content = (files or {}).get(file)
        self.send_response(404 if content is None else 200)
        if content is None:
            self.send_header("X-Error-Code", code)
            content = b""
        else:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        if files is not None:
            self.send_header("X-Repo-Commit", files["commit"])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if whole:
            self.wfile.write(content)

    def do_POST(self):
        path, content = urlsplit(self.path).path, self._read()
        self.server.asked.append(f"POST {path}")
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._send_json({"error": "Invalid credentials in Authorization header"}, 401)
        elif path == "/api/repos/create":
            self._create(json.loads(content))
        elif path == "/api/validate-yaml":
            self._send_json({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            names = [file["path"] for file in json.loads(content)["files"]]
            modes = {name: "lfs" if name.endswith(".safetensors") else "regular" for name in names}
            each = [{"path": name, "uploadMode": modes[name], "shouldIgnore": False} for name in names]
            self._send_json({"files": each})
        elif path.endswith("/info/lfs/objects/batch"):
            store = {"upload": {"href": f"{self.server.url}/large"}}
            objects = [each | {"actions": store} for each in json.loads(content)["objects"]]
            self._send_json({"transfer": "basic", "objects": objects})
        else:
            self._commit(*path.removeprefix("/api/models/").split("/commit/"), content)

    def do_PUT(self):
        content = self._read()
        self.server.large[hashlib.sha256(content).hexdigest()] = content
        self._send_json({})

    def _create(self, asked):
        repository = f"{asked['organization']}/{asked['name']}"
        url = f"{self.server.url}/{repository}"
        if asked["organization"] != self.server.writable:
            self._send_json({"error": "You don't have the rights to create a model under this namespace"}, 403)
        elif repository in self.server.repositories:
            self._send_json({"error": "You already created this model repo", "url": url}, 409)
        else:
            self.server.repositories[repository] = {"main": {"commit": "0" * 40}}
            self._send_json({"url": url})

    def _commit(self, repository, revision, content):
        revisions = self.server.repositories[repository]
        files = dict(revisions[revision])
        for line in map(json.loads, content.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
        commit = files["commit"] = f"{len(revisions):040x}"
        revisions |= {revision: files, commit: files}
        self._send_json({"commitUrl": f"{self.server.url}/{repository}/commit/{commit}", "commitOid": commit})

    def _read(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _send_json(self, content, status=200):
        text = json.dumps(content).encode()
        self.send_response(status)
        if "error" in content:
            self.send_header("X-Error-Message", content["error"])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments):
        pass
