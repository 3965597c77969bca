"""A stand-in for Hugging Face on 127.0.0.1: a few repositories, and the two questions that matter of its API."""

import json
import threading
from collections.abc import Mapping
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

__all__ = ["Hub"]

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves `{repository: {file: bytes}}`; `gated` ones list their files, and give none to a stranger."""

    daemon_threads = True

    def __init__(self, repositories: Mapping[str, Mapping[str, bytes]], gated: tuple[str, ...] = ()) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.gated = gated
        self.log: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.log.append(f"{self.command} {self.path}")
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/api/models/"):
            user, name, *rest = path.removeprefix("/api/models/").split("/")
            self._api(f"{user}/{name}", rest[0] if rest else "")
        elif "/resolve/" in path:
            repo, _, file = path.removeprefix("/").partition("/resolve/")
            self._file(repo, file.partition("/")[2])
        else:
            self._answer(404)

    def _api(self, repo: str, what: str) -> None:
        files = self.server.repositories.get(repo)
        if files is None:
            return self._answer(401, error="RepoNotFound")
        if what == "tree":
            return self._json([_entry(name, data) for name, data in files.items()])
        return self._json({"id": repo, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]})

    def _file(self, repo: str, name: str) -> None:
        data = self.server.repositories.get(repo, {}).get(name)
        if data is None:
            return self._answer(404, error="EntryNotFound")
        if repo in self.server.gated:
            return self._answer(403, error="GatedRepo")
        return self._answer(200, data, {"X-Repo-Commit": COMMIT, "ETag": f'"{sha256(data).hexdigest()}"'})

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(
        self, status: int, data: bytes = b"", headers: Mapping[str, str] | None = None, *, error: str = ""
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), **({"X-Error-Code": error} if error else {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


def _entry(name: str, data: bytes) -> dict[str, object]:
    return {"type": "file", "path": name, "size": len(data), "oid": sha256(data).hexdigest()[:40]}
