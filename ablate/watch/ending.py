"""The report of what is watched, made by the command `report` in a process of its own: it takes what comparing takes,
and the page goes on meanwhile."""

import hashlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

MAKING, READY, FAILED = "making", "ready", "failed"


class Report:
    """`words`: what is typed after `ablate report`. The page lies in a temporary folder, which goes with `close`."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)
        self._folder = tempfile.TemporaryDirectory(prefix="ablate-watch-")
        self._lock = threading.Lock()
        self._of: str | None = None  # of which state the page is, or is to be
        self._process: subprocess.Popen[str] | None = None
        self._said = ""
        self.page: bytes | None = None

    def state(self, of: object) -> str:
        """making, ready or failed, for what the runs are now. `of`: changes where the report would."""
        wanted = hashlib.sha256(repr(of).encode()).hexdigest()
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                self._take()
            if self._process is None and wanted != self._of:
                self._start(wanted)
            return MAKING if self._process is not None else READY if self.page is not None else FAILED

    @property
    def said(self) -> str:
        """What the command said where it failed."""
        return self._said

    def close(self) -> None:
        with self._lock:
            if self._process is not None:
                self._process.kill()
                self._process.communicate()
            self._folder.cleanup()

    def _start(self, wanted: str) -> None:
        command = [sys.executable, "-m", "ablate", "report", *self._words, "--out", str(self._out)]
        self._log = (Path(self._folder.name) / "said").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT, text=True
        )
        self._of = wanted

    def _take(self) -> None:
        assert self._process is not None
        is_made = self._process.returncode == 0
        self._process = None
        self._log.seek(0)
        self._said = "" if is_made else self._log.read()[-2000:]
        self._log.close()
        self.page = (self._out / "index.html").read_bytes() if is_made else None

    @property
    def _out(self) -> Path:
        return Path(self._folder.name) / "report"
