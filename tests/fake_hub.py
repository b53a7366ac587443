"""A model hub on loopback that answers as the real one does, and can be told to fail in every way the real one can.

Repositories are dicts of file name to bytes. Large files are resolved by a redirect to a second server, as to a
content delivery network, with commit, ETag and size in the headers. Every request is noted in ``requests``.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE = 1000  # bytes from which a file is served by the second server


@dataclass
class Repo:
    """What the hub has, and how it behaves."""

    files: dict[str, bytes]
    commit: str = "c" * 40
    token: str | None = None  # access only with it
    gated: bool = False
    branches: tuple[str, ...] = ("main",)
    breaks: int = 0  # how many downloads of a large file break off half-way
    breaks_at: float = 0.5
    ranges: bool = True  # whether a part of a file may be asked for
    vanished: tuple[str, ...] = ()  # listed, and not there
    status: int = 0  # answer everything with this
    plain: bool = False  # a proxy in between drops the headers of the hub
    body: bytes | None = None  # the listing, instead of JSON


@dataclass
class FakeHub:
    """The server; a context manager."""

    repos: dict[str, Repo] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def __enter__(self) -> FakeHub:
        hub = self

        class Bound(Handler):
            state = hub

        self.servers = [ThreadingHTTPServer(("127.0.0.1", 0), Bound) for _ in ("hub", "network")]
        self.threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}) for server in self.servers
        ]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        for server, thread in zip(self.servers, self.threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.servers[0].server_address[1]}"

    @property
    def network(self) -> str:
        return f"http://127.0.0.1:{self.servers[1].server_address[1]}"

    def count(self, method: str, path: str) -> int:
        """Count the requests whose path matches."""
        return sum(1 for verb, asked, _ in self.requests if verb == method and re.search(path, asked))

    def asked(self) -> set[str]:
        """Return the names of the files that were downloaded or looked up."""
        return {path.rpartition("/")[2] for _, path, _ in self.requests if "/resolve/" in path}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    state: FakeHub

    def log_message(self, *args: object) -> None:
        return

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        self.state.requests.append((self.command, path, {name.title(): value for name, value in self.headers.items()}))
        for pattern, reply in (
            (r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", self.info),
            (r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.resolve),
            (r"/cdn/([^/]+/[^/]+)/([0-9a-f]{64})", self.blob),
        ):
            if found := re.fullmatch(pattern, path):
                repo = self.allowed(found[1])
                return reply(repo, *found.groups()) if repo else None
        return self.send(404, {"X-Error-Message": f"no such path: {path}"})

    def allowed(self, name: str) -> Repo | None:
        """Return the repository, or answer why not."""
        repo = self.state.repos.get(name)
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if repo and self.path.startswith("/cdn/"):
            return repo  # a signed address: asks for no token
        if repo and repo.status:
            self.send(repo.status, {})
        elif given == "wrong":
            self.send(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
        elif repo is None:
            self.send(
                404 if given else 401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
            )
        elif repo.gated and given != repo.token and not self.path.startswith("/api/"):
            self.send(403 if given else 401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
        else:
            return repo
        return None

    def info(self, repo: Repo, name: str, revision: str | None) -> None:
        if revision and revision not in (*repo.branches, repo.commit):
            return self.send(404, {"X-Error-Code": "RevisionNotFound"})
        listing = {
            "id": name,
            "modelId": name,
            "sha": repo.commit,
            "private": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": [{"rfilename": file} for file in repo.files],
        }
        body = repo.body if repo.body is not None else json.dumps(listing).encode()
        return self.send(200, {"Content-Type": "application/json"}, body)

    def resolve(self, repo: Repo, name: str, revision: str, file: str) -> None:
        if revision not in (*repo.branches, repo.commit):
            return self.send(404, {"X-Error-Code": "RevisionNotFound"})
        commit = {} if repo.plain else {"X-Repo-Commit": repo.commit}
        data = repo.files.get(file)
        if data is None or file in repo.vanished:
            return self.send(404, {"X-Error-Code": "EntryNotFound", **commit})
        digest = hashlib.sha256(data).hexdigest()
        if len(data) < LARGE:
            return self.send(200, {"ETag": f'"{digest[:40]}"', **commit}, data)
        linked = {
            "X-Linked-Etag": f'"{digest}"',
            "X-Linked-Size": str(len(data)),
            "X-Xet-Hash": digest,
            "Link": f'<{self.state.url}/api/models/{name}/xet-read-token/{revision}>; rel="xet-auth"',
            "Location": f"{self.state.network}/cdn/{name}/{digest}",
        }
        return self.send(302, {**linked, **commit})

    def blob(self, repo: Repo, name: str, digest: str) -> None:
        data = next(data for data in repo.files.values() if hashlib.sha256(data).hexdigest() == digest)
        whole, start = len(data), 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        headers = {"ETag": f'"{digest}"', "Content-Type": "application/octet-stream"}
        if wanted and repo.ranges:
            start = int(wanted[1])
            headers["Content-Range"] = f"bytes {start}-{whole - 1}/{whole}"
        if self.command == "GET" and repo.breaks:
            repo.breaks -= 1
            return self.send(206 if start else 200, headers, data[start:], int((whole - start) * repo.breaks_at))
        return self.send(206 if start else 200, headers, data[start:])

    def send(self, status: int, headers: dict[str, str], body: bytes = b"", sent: int | None = None) -> None:
        """Answer; ``sent``: promise the whole body, and hang up after that many bytes."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:sent])
        if sent is not None:
            self.close_connection = True
