"""A stand-in for W&B's server on the loopback, for those that say what it answers."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Loopback:
    """Use as a context manager; `environment` is what a `wandb` process needs to find it.

    A subclass says what is answered. One request at a time is.
    """

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self.lock = threading.Lock()

    def answer(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to what was sent to `path`, as JSON; `request` is empty for a file, which comes as it is."""
        raise NotImplementedError

    def status(self, path: str) -> int:
        """The HTTP status of the next answer; one that is not 200 has nothing in it."""
        return 200

    def not_known(self, name: str) -> dict[str, Any]:
        """The answer to an operation that the subclass does not know, which is remembered in `unknown`."""
        self.unknown.append(name)
        return {"errors": [{"message": f"unknown operation {name}"}]}

    def __enter__(self) -> Self:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                is_json = (self.headers["Content-Type"] or "").startswith("application/json")
                with server.lock:
                    status = server.status(self.path)
                    try:
                        asked = json.loads(sent) if is_json and sent else {}
                        answer = server.answer(self.path, asked) if status == 200 else {}
                    except Exception as error:  # else whoever asks would ask again and again
                        answer = server.not_known(f"{self.path}: {error!r}")
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing on the tests' output."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def environment(self) -> dict[str, str]:
        return {"WANDB_BASE_URL": f"http://127.0.0.1:{self._http.server_address[1]}", "WANDB_API_KEY": "0" * 40}


def operation(query: str) -> str:
    """The name of a GraphQL query or mutation."""
    found = re.search(r"(?:query|mutation)\s+(\w+)", query)
    return found[1] if found else query
