"""The page over HTTP: read only, on this machine alone unless it is told another address, then with a token."""

import gzip
import hashlib
import hmac
import ipaddress
import json
import platform
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ablate.errors import InputError
from ablate.watch.ending import FAILED, READY, Report
from ablate.watch.state import Watched

HERE = Path(__file__).parent
LOOPBACK, PORT = "127.0.0.1", 8420
COOKIE = "ablate_watch"
FILES = {
    "/watch.js": ("watch.js", "text/javascript; charset=utf-8"),
    "/watch.css": ("watch.css", "text/css; charset=utf-8"),
}
HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Drawings have styles of their own; nothing else comes from elsewhere than here.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Server(ThreadingHTTPServer):
    """Serves what is watched. `address` is what to open; `asked` when somebody last asked for something."""

    daemon_threads = True

    def __init__(self, watched: Watched, report: Report, host: str, port: int) -> None:
        self.watched, self.report = watched, report
        self.host = host
        self.token = None if _is_loopback(host) else secrets.token_urlsafe(24)
        self.asked: float | None = None
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's asks the network for its own name

    @property
    def address(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        if self.host == "0.0.0.0":
            shown = platform.node()
        return f"http://{shown}:{self.server_address[1]}/" + (f"?token={self.token}" if self.token else "")

    def is_meant(self, named: str) -> bool:
        """Whether a request's Host is this server. A page elsewhere whose name is made to lead here sends its own."""
        name = (urlsplit(f"//{named}").hostname or "").rstrip(".")
        if name in ("localhost", self.host.lower()):
            return True
        if self.token and name == platform.node().lower():
            return True
        try:
            return ipaddress.ip_address(name).is_loopback or self.token is not None
        except ValueError:
            return False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has gone is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "ablate", ""
    timeout = 60

    def do_GET(self) -> None:
        self.server.asked = time.monotonic()
        try:
            if not self.server.is_meant(self.headers.get("Host", "")):
                self._text(HTTPStatus.MISDIRECTED_REQUEST, "This server does not have that name.")
            elif self._is_let_in():
                self._answer(urlsplit(self.path).path)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_GET  # noqa: N815

    def _refuse(self) -> None:
        self.close_connection = True  # what was sent with it is not read
        self._text(HTTPStatus.METHOD_NOT_ALLOWED, "Nothing can be changed here.", Allow="GET, HEAD")

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815

    def _is_let_in(self) -> bool:
        """Whether the token is there, where one is needed. One in the address becomes a cookie."""
        token = self.server.token
        if token is None:
            return True
        given = parse_qs(urlsplit(self.path).query).get("token", [""])[0]
        if hmac.compare_digest(given.encode(), token.encode()):
            cookie = f"{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"
            self._send(HTTPStatus.SEE_OTHER, b"", "text/plain", **{"Location": "/", "Set-Cookie": cookie})
            return False
        try:
            held = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        except CookieError:
            held = None
        if held is not None and hmac.compare_digest(held.value.encode(), token.encode()):
            return True
        self._text(HTTPStatus.FORBIDDEN, "Open the address with the token that `ablate watch` has printed.")
        return False

    def _answer(self, path: str) -> None:
        parts = path.strip("/").split("/")
        if path in FILES:
            name, kind = FILES[path]
            self._send(HTTPStatus.OK, (HERE / name).read_bytes(), kind)
        elif path == "/" and self._has_ended():
            self._send_report()
        elif path in ("/", "/live"):
            self._send(HTTPStatus.OK, (HERE / "watch.html").read_bytes(), "text/html; charset=utf-8")
        elif path == "/report":
            self._report_on_request()
        elif path == "/state.json":
            self._json(self._state())
        elif parts[0] == "curves" and len(parts) == 2 and parts[1].isdecimal():
            self._json(self.server.watched.curves(int(parts[1])))
        elif parts[0] == "gradients" and len(parts) == 3 and all(part.isdecimal() for part in parts[1:]):
            self._json(self.server.watched.gradients(int(parts[1]), int(parts[2])))
        else:
            self._text(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _state(self) -> dict[str, Any]:
        state = self.server.watched.overview()
        made = self.server.report.state(_counted(state)) if state["ends"] and state["over"] else None
        return state | {"report": made, "said": self.server.report.said if made == FAILED else ""}

    def _has_ended(self) -> bool:
        """Whether it is over and its report is there."""
        return self._state()["report"] == READY

    def _report_on_request(self) -> None:
        """The report of what there is; of a sweep once it has ended, since verdicts before would mislead."""
        state = self.server.watched.overview()
        if state["ends"] and not state["over"]:
            self._text(HTTPStatus.CONFLICT, "The sweep has not ended: its report stands here when it has.")
            return
        made = self.server.report.state(_counted(state))
        if made == READY:
            self._send_report()
        elif made == FAILED:
            self._text(HTTPStatus.CONFLICT, f"There is no report yet.\n\n{self.server.report.said}")
        else:
            self._text(HTTPStatus.OK, "The report is being made …", Refresh="1")

    def _send_report(self) -> None:
        # It has a policy of its own, which lets its own script run.
        page = self.server.report.page or b""
        self._send(
            HTTPStatus.OK, page, "text/html; charset=utf-8", **{"Content-Security-Policy": "frame-ancestors 'none'"}
        )

    def _json(self, values: dict[str, Any] | None) -> None:
        if values is None:
            self._text(HTTPStatus.NOT_FOUND, "There is no such run.")
            return
        body = json.dumps(values, separators=(",", ":"), allow_nan=False).encode()
        self._send(HTTPStatus.OK, body, "application/json")

    def _text(self, status: HTTPStatus, text: str, **headers: str) -> None:
        self._send(status, text.encode(), "text/plain; charset=utf-8", **headers)

    def _send(self, status: HTTPStatus, body: bytes, kind: str, **headers: str) -> None:
        """The answer; without a body where the browser has the same one, and to HEAD."""
        tag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        is_known = status == HTTPStatus.OK and self.headers.get("If-None-Match") == tag
        if is_known:
            status, body = HTTPStatus.NOT_MODIFIED, b""
        packed = len(body) > 1000 and "gzip" in self.headers.get("Accept-Encoding", "")
        if packed:
            body = gzip.compress(body, 5, mtime=0)
        self.send_response(status)
        sent = {"Content-Type": kind, "Content-Security-Policy": POLICY, "ETag": tag, **HEADERS, **headers}
        if packed:
            sent["Content-Encoding"] = "gzip"
        if not is_known:
            sent["Content-Length"] = str(len(body))
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal shows the sweep."""


@contextmanager
def serving(watched: Watched, report: Report, host: str = LOOPBACK, port: int | None = None) -> Iterator[Server]:
    """A server for the length of the block. Without a port it is PORT, or any that is free where that is taken.

    Raises InputError where the address cannot be had.
    """
    server = _made(watched, report, host, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True, name="watch")
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        report.close()


def _made(watched: Watched, report: Report, host: str, port: int | None) -> Server:
    for tried in (PORT, 0) if port is None else (port,):
        try:
            return Server(watched, report, host, tried)
        except OSError as error:
            problem = error
    report.close()
    raise InputError(f"--host {host} --port {port or PORT} cannot be had ({problem.strerror}): choose another.")


def _counted(state: dict[str, Any]) -> object:
    """What a report is of: the cells' statuses and values."""
    return [(row["label"], [(seed, cell[:2]) for seed, cell in row["cells"].items()]) for row in state["rows"]]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
