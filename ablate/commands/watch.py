"""Show a sweep in the browser while it runs: who does what, curves, gradients, failures. Nothing is trained or changed.

ablate watch sweeps/quick.yaml
ablate watch runs
"""

import argparse
import time
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ablate.configuration.overrides import folder
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError, bare
from ablate.process.exit_codes import DONE
from ablate.sweep.execution import Request, planned
from ablate.sweep.file import SweepFile
from ablate.sweep.plan import PlannedCell
from ablate.watch.ending import Report
from ablate.watch.server import LOOPBACK, PORT, Server, serving
from ablate.watch.state import Watched
from ablate.watch.study import OfFile, OfFolders, Study

RUNS = "runs"
UNUSED = 120.0  # seconds without a question after which the page beside a sweep that has ended is closed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="*",
        metavar="FILE or RUNS",
        help="a sweep file, and what it runs with (key=value); or folders of runs (runs)",
    )
    parser.add_argument(
        "--metric", default="val/acc", help="of folders: what is compared while runs go on (%(default)s)"
    )
    parser.add_argument("--config-dir", "-cd", metavar="DIR", type=Path, help="the folder of your own options")
    parser.add_argument(
        "--host",
        default=LOOPBACK,
        help="the address to listen at (%(default)s); any but this machine's own asks a token",
    )
    parser.add_argument("--port", type=int, help=f"({PORT}, or a free one)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C. Raises InputError."""
    study, of_report = _study(options)
    with serving(Watched(study), Report(of_report), options.host, options.port) as server:
        print(f"{bare(study.name)}: {server.address}  (Ctrl-C ends this page, and nothing else)", flush=True)
        if options.open:
            webbrowser.open(server.address)
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            return DONE


@contextmanager
def beside(file: SweepFile, cells: Sequence[PlannedCell], typed: argparse.Namespace) -> Iterator[Server]:
    """The page of a sweep's cells while they run. `typed`: the words of `ablate sweep`."""
    with serving(Watched(OfFile(file, cells)), Report(words(file, typed))) as server:
        print(f"watch: {server.address}", flush=True)
        yield server


def stay(server: Server) -> None:
    """Keep the page of a sweep that has ended for those who look at it, and not if nobody has."""
    if server.asked is None or time.monotonic() - server.asked > UNUSED:
        return
    print(f"The report: {server.address}  (Ctrl-C ends this page; so does nobody looking)", flush=True)
    try:
        while time.monotonic() - server.asked < UNUSED:
            time.sleep(1)
    except KeyboardInterrupt:
        pass


def _study(options: argparse.Namespace) -> tuple[Study, list[str]]:
    """What is to be watched, and the words of its report."""
    register_resolvers()
    paths = [Path(what) for what in options.what if "=" not in what or Path(what).exists()] or [Path(RUNS)]
    overrides = [what for what in options.what if Path(what) not in paths]
    files = [path for path in paths if path.is_file() or path.suffix in (".yaml", ".yml")]
    if not files:
        if overrides:
            raise InputError(f"{overrides[0]}: overrides go with a sweep file; folders of runs are shown whole.")
        return OfFolders(paths, options.metric), [str(path) for path in paths]
    if len(paths) > 1:
        raise InputError(f"{files[0]}: one sweep file is watched, or folders of runs: watch the folder of several.")
    own = folder(options.config_dir)
    file = SweepFile.read(files[0])
    cells = planned(file, Request.of([*own, *overrides]), check_data=False, costs=False)
    options.overrides = overrides
    return OfFile(file, cells), words(file, options)


def words(file: SweepFile, typed: argparse.Namespace) -> list[str]:
    """What `ablate report` takes for a sweep's file, with its overrides and its folder of options."""
    own = ["--config-dir", str(typed.config_dir)] if typed.config_dir else []
    return [str(file.path), *typed.overrides, *own]
