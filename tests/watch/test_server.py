"""The page's server, over HTTP on the loopback: what it gives, to whom, and that nothing can be changed through it."""

import gzip
import http.client
import json
import subprocess
import sys
import time

import pytest

from ablate.__main__ import called
from ablate.errors import InputError
from ablate.watch.server import serving


def asked(server, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=60)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.headers["Content-Encoding"] == "gzip":
        body = gzip.decompress(body)
    return answer.status, body, answer.headers


def test_it_gives_the_page_and_the_state(halfway):
    with halfway.served() as server:
        status, page, headers = asked(server)
        assert status == 200 and b"/watch.js" in page and "script-src 'self'" in headers["Content-Security-Policy"]
        for path in ("/watch.js", "/watch.css"):
            assert asked(server, path)[0] == 200
        state = json.loads(asked(server, "/state.json")[1])
        assert state["counts"]["running"] == 1 and state["report"] is None
        assert len(json.loads(asked(server, "/curves/0")[1])["lines"]) == 3
        assert "<svg" in json.loads(asked(server, "/gradients/0/2")[1])["svg"]


def test_what_has_not_changed_is_not_sent_again(halfway):
    with halfway.served() as server:
        for path in ("/state.json", "/curves/0", "/gradients/0/0"):
            _, _, headers = asked(server, path)
            status, body, _ = asked(server, path, If_None_Match=headers["ETag"])
            assert (status, body) == (304, b"")
        tag = asked(server, "/state.json")[2]["ETag"]
        halfway.end("batch", 3, 0.95)
        time.sleep(1.1)  # a look counts for a second
        assert asked(server, "/state.json", If_None_Match=tag)[0] == 200


def test_large_answers_are_packed_and_head_has_no_body(halfway):
    with halfway.served() as server:
        status, body, headers = asked(server, "/state.json", Accept_Encoding="gzip")
        assert headers["Content-Encoding"] == "gzip" and json.loads(body)["cells"] == 8
        status, body, headers = asked(server, "/state.json", method="HEAD")
        assert status == 200 and body == b"" and int(headers["Content-Length"]) > 1000


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(halfway, method):
    before = {path: path.stat().st_mtime_ns for path in halfway.runs.rglob("*") if "claims" not in path.parts}
    with halfway.served() as server:
        status, _, headers = asked(server, "/state.json", method=method)
        assert status == 405 and headers["Allow"] == "GET, HEAD"
        for path in (
            "/../../etc/passwd",
            "/watch.py",
            "/server.py",
            "/curves/99",
            "/gradients/0/99",
            "/curves/-1",
            "/x",
        ):
            assert asked(server, path)[0] == 404, path
    assert before == {path: path.stat().st_mtime_ns for path in halfway.runs.rglob("*") if "claims" not in path.parts}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("evil.example:8420", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
        ("10.0.0.1", 421),
        ("localhost:1234", 200),
        ("127.0.0.1", 200),
        ("[::1]:8420", 200),
    ],
)
def test_a_name_that_is_made_to_lead_here_is_refused(store, host, status):
    with store.served() as server:
        assert asked(server, "/state.json", Host=host)[0] == status


def test_another_address_takes_a_token(store):
    with store.served(host="0.0.0.0") as server:
        assert server.token and f"?token={server.token}" in server.address
        for path in ("/", "/state.json", "/watch.js", "/?token=wrong", "/?token="):
            assert asked(server, path)[0] == 403, path
        status, _, headers = asked(server, f"/?token={server.token}")
        assert (status, headers["Location"]) == (303, "/") and "HttpOnly" in headers["Set-Cookie"]
        cookie = headers["Set-Cookie"].split(";")[0]
        assert asked(server, "/state.json", Cookie=cookie)[0] == 200
        assert asked(server, "/state.json", Cookie=cookie[:-1])[0] == 403
        assert asked(server, "/state.json", Cookie=cookie, Host="evil.example")[0] == 421
    with store.served() as server:
        assert server.token is None


def test_a_sweep_that_has_ended_shows_its_report_at_the_same_address(halfway):
    with halfway.served() as server:
        assert b"/watch.js" in asked(server)[1] and asked(server, "/report")[0] == 409
        for norm, seed in (("batch", 2), ("batch", 3), ("none", 3)):
            directory = halfway.cells[norm, seed].directory
            if directory.exists():
                directory.rename(halfway.runs.parent / f"{norm}{seed}")
            halfway.end(norm, seed, 0.9)
        deadline = time.monotonic() + 300
        while (state := json.loads(asked(server, "/state.json")[1]))["report"] != "ready":
            assert time.monotonic() < deadline and state["report"] in (None, "making"), state["said"]
            time.sleep(0.2)
        assert state["over"]
        page = asked(server)[1]
        assert b"/watch.js" not in page and b"Does it need its norm?" in page and b"<svg" in page
        assert b"/watch.js" in asked(server, "/live")[1]


def test_an_address_that_cannot_be_had_is_said(store):
    with (
        store.served() as server,
        pytest.raises(InputError, match="choose another"),
        serving(server.watched, server.report, port=server.server_address[1]),
    ):
        pass


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "no such file or folder"),
        (["sweep.yaml", "runs"], "one sweep file is watched"),
        (["runs", "norm=none"], "overrides go with a sweep file"),
    ],
)
def test_wrong_words_are_said(halfway, monkeypatch, words, said):
    monkeypatch.chdir(halfway.path.parent)
    with pytest.raises(InputError, match=said):
        called("watch", words)


PROGRAM = """
import json, os, sys, threading, time, urllib.request
from ablate.__main__ import main
def ask():
    address = None
    while address is None:
        time.sleep(0.1)
        address = next((word for word in said.getvalue().split() if word.startswith("http://")), None)
    for path in ("state.json", "curves/0", "gradients/0/0"):
        urllib.request.urlopen(address + path).read()
    os.kill(os.getpid(), signal.SIGINT)
import io, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores in what it starts with &
said = io.StringIO()
out, sys.stdout = sys.stdout, said
threading.Thread(target=ask, daemon=True).start()
sys.argv = ["ablate", "watch", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code, sorted({name.partition(".")[0] for name in sys.modules})]), file=out)
"""


def test_the_command_ends_at_ctrl_c_and_imports_nothing_that_trains(halfway):
    command = [sys.executable, "-c", PROGRAM, json.dumps([str(halfway.path), *halfway.typed, "--port", "0"])]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=halfway.path.parent)
    code, names = json.loads(ended.stdout.splitlines()[-1])
    assert code == 0 and not {"torch", "pytorch_lightning", "lightning_fabric", "wandb", "matplotlib"} & {*names}
