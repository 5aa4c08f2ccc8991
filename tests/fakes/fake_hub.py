"""A model hub on 127.0.0.1: serves ROOT/<org>/<repo>/<path> the way huggingface_hub asks for it.

A data set stands in ROOT/datasets/<org>/<repo>. `faults` maps the end of a path to a function (status, body) ->
(status, body); a path in `cut` has its next body stop half-way; one in `elsewhere` is redirected to that URL; `seen`
keeps each request's method, path and authorization, `ranges` the ranges asked for; `gated` repositories answer 401
without a token, 403 with one that is not in `granted`.
"""

import contextlib
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

COMMIT = "1" * 40
REPO = r"((?:datasets/)?[^/]+/[^/]+)"
Fault = Callable[[int, bytes], tuple[int, bytes]]


class Hub:
    def __init__(self, root: Path) -> None:
        self.root, self.commit = root, COMMIT
        self.commits: dict[str, str] = {}  # of repositories that stand at another one
        self.faults: dict[str, Fault] = {}
        self.cut: list[str] = []
        self.elsewhere: dict[str, str] = {}
        self.gated: set[str] = set()
        self.granted: set[str] = set()
        self.seen: list[tuple[str, str, str | None]] = []
        self.ranges: list[str] = []
        self.url = ""

    def refusal(self, repo: str, revision: str, token: str | None) -> tuple[int, str] | None:
        """Status and code for a repository that may not be read so."""
        if repo in self.gated and token not in self.granted:
            return (403 if token else 401), "GatedRepo"
        if not (self.root / repo).is_dir():
            return 404, "RepoNotFound"
        return None if revision in ("main", self.commit_of(repo)) else (404, "RevisionNotFound")

    def commit_of(self, repo: str) -> str:
        return self.commits.get(repo, self.commit)


class Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub

    def answer(self, with_body: bool) -> None:
        token, wanted = self.headers.get("Authorization"), self.headers.get("Range")
        self.hub.seen.append((self.command, self.path, token))
        self.hub.ranges += [wanted] if wanted else []
        path = unquote(self.path.split("?")[0])
        match = re.match(rf"^/{REPO}/resolve/([^/]+)/(.+)$", path)
        tree = re.match(rf"^/api/(?:models/|(?=datasets/)){REPO}/tree/([^/]+)$", path)
        if not (match or tree):
            return self.send(404, b"", {"X-Error-Code": "RepoNotFound"}, with_body)
        if refusal := self.hub.refusal((match or tree)[1], (match or tree)[2], token):
            return self.send(refusal[0], b"", {"X-Error-Code": refusal[1]}, with_body)
        folder = self.hub.root / (match or tree)[1]
        if tree:
            return self.send(200, listing(folder), {"Content-Type": "application/json"}, with_body)
        if not (folder / match[3]).is_file():
            missing = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.hub.commit_of(match[1])}
            return self.send(404, b"", missing, with_body)
        for suffix, url in self.hub.elsewhere.items():
            if self.path.endswith(suffix):
                return self.send(302, b"", {"Location": url}, with_body)
        whole = (folder / match[3]).read_bytes()
        status, body = 200, whole
        for suffix, fault in self.hub.faults.items():
            if self.path.endswith(suffix):
                status, body = fault(status, body)
        headers = {"ETag": f'"{hashlib.sha256(whole).hexdigest()}"', "X-Repo-Commit": self.hub.commit_of(match[1])}
        if status == 200 and (span := re.match(r"bytes=(\d+)-(\d*)", wanted or "")):
            first, last = int(span[1]), int(span[2] or len(body) - 1)
            if first >= len(body):
                return self.send(416, b"", headers, with_body)
            body, status = body[first : last + 1], 206
            headers["Content-Range"] = f"bytes {first}-{first + len(body) - 1}/{len(whole)}"
        self.send(status, body, headers, with_body)

    def send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if not with_body:
            return
        if due := [suffix for suffix in self.hub.cut if self.path.endswith(suffix)]:
            self.hub.cut.remove(due[0])
            self.close_connection = True
            body = body[: len(body) // 2]
        with contextlib.suppress(BrokenPipeError):  # who asked has given up
            self.wfile.write(body)

    def do_GET(self) -> None:
        self.answer(True)

    def do_HEAD(self) -> None:
        self.answer(False)

    def log_message(self, *arguments: object) -> None:
        pass


def listing(folder: Path) -> bytes:
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return json.dumps([{"type": "file", "oid": "0", "size": 1, "path": name} for name in names]).encode()


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
