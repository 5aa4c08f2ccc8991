"""A model hub on 127.0.0.1: serves ROOT/<org>/<repo>/<path> the way huggingface_hub asks for it.

`faults` maps the end of a path to a function (status, body) -> (status, body); `seen` keeps each request's method, path
and authorization; `gated` repositories answer 401 without a token.
"""

import contextlib
import hashlib
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

COMMIT = "1" * 40
Fault = Callable[[int, bytes], tuple[int, bytes]]


class Hub:
    def __init__(self, root: Path) -> None:
        self.root, self.commit = root, COMMIT
        self.faults: dict[str, Fault] = {}
        self.gated: set[str] = set()
        self.seen: list[tuple[str, str, str | None]] = []
        self.url = ""


class Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub

    def answer(self, with_body: bool) -> None:
        self.hub.seen.append((self.command, self.path, self.headers.get("Authorization")))
        match = re.match(r"^/([^/]+/[^/]+)/resolve/([^/]+)/(.+)$", self.path.split("?")[0])
        file = self.hub.root / match[1] / match[3] if match else None
        if match and match[1] in self.hub.gated:
            return self.refuse(401, "GatedRepo")
        if match and match[2] not in ("main", self.hub.commit):
            return self.refuse(404, "RevisionNotFound")
        if file is None or not file.is_file():
            return self.refuse(
                404, "EntryNotFound" if match and (self.hub.root / match[1]).is_dir() else "RepoNotFound"
            )
        whole = file.read_bytes()
        status, body = 200, whole
        for suffix, fault in self.hub.faults.items():
            if self.path.endswith(suffix):
                status, body = fault(status, body)
        if wanted := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(wanted[1]), int(wanted[2] or len(body) - 1)
            body, status = body[first : last + 1], 206
        self.send_response(status)
        self.send_header("ETag", f'"{hashlib.sha256(whole).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.hub.commit)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{len(whole)}")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.answer(True)

    def do_HEAD(self) -> None:
        self.answer(False)

    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def serve(root: Path) -> Iterator[Hub]:
    hub = Hub(root)
    handler = type("BoundHandler", (Handler,), {"hub": hub})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
