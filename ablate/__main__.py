"""The command line: `python -m ablate …` and the console script `ablate`.

The first word names a command, a module of ablate/commands; without one, `train` is meant.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from ablate.process import exit_codes, garbage, streams

# Every command, with its line in `ablate --help`; the first is meant where none is named.
COMMANDS = {
    "train": "train one design; the word may be left out",
    "describe": "show a design's network as a table; nothing is trained",
    "check": "try whether a design keeps what paired comparisons rest on",
    "design": "write a sweep file of one change at a time, pairs, or a screen",
    "plan": "list the cells of a sweep file, with their state and cost",
    "sweep": "run the cells of a sweep file that have no result yet",
    "watch": "show a sweep in the browser while it runs",
    "report": "compare runs: which choice mattered, as a page, tables and figures",
    "judge": "judge a candidate against a baseline, with the seeds that it takes",
    "doctor": "find out which stored runs are whole, resumable or unusable",
    "export": "write a run's trained network as a file, ONNX or torch's",
    "flow": "draw the gradient maps of finished runs side by side",
    "claims": "hold what sources say against reports",
    "simulate": "show how often verdicts are wrong, on sweeps whose truth is known",
    "bench": "measure what the harness costs on this machine",
}
# Those whose words are all Hydra's, but for their own flags.
ON_CONFIGURATION = ("train", "describe", "check")


def main() -> None:
    """Run what the arguments ask for.

    Exit codes: 0 done (a diverged run is done), 1 something failed, 2 the input was wrong, 129, 130 or 143
    interrupted.
    """
    streams.hold()
    garbage.collect_rarely()
    try:
        code = _run(sys.argv[1:])
    except KeyboardInterrupt:
        code = exit_codes.CTRL_C
    except BaseException as stop:
        if not hasattr(stop, "signum"):
            raise
        print("ablate: interrupted, state saved; the same command resumes it.", file=sys.stderr)
        code = exit_codes.by_signal(stop.signum)
    sys.exit(code)


def _run(typed: list[str]) -> int:
    """Do what was typed. Returns the exit code."""
    first = typed[0] if typed else ""
    if first in ("-h", "--help", "--version"):
        from ablate.commands.words import help

        print(help.version() if first == "--version" else help.overview(COMMANDS))
        return 0
    from ablate.configuration import refusals

    refusals.register_resolvers()
    if wrong := refusals.guarded(_check_folder):
        return wrong
    if first.isidentifier() and first not in COMMANDS:
        return refusals.guarded(_no_such_command, first)
    name, words = (first, typed[1:]) if first in COMMANDS else (next(iter(COMMANDS)), typed)
    return refusals.guarded(called, name, words)


def called(name: str, words: list[str]) -> int | None:
    """Do what the command `name` does with `words`, and return its exit code. Raises InputError."""
    from ablate.commands.words import help

    command = import_module(f"ablate.commands.{name}")
    parser = argparse.ArgumentParser(
        prog=f"ablate {name}",
        description=help.filled(command.__doc__),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    parser.epilog = help.filled(parser.epilog)
    if name in ON_CONFIGURATION:
        from ablate.commands.words import hydra_app

        options, rest = parser.parse_known_args(words)
        code = hydra_app.run(command.run, options, rest)
        if hasattr(command, "after"):
            command.after(options)
        return code
    return command.run(parser.parse_intermixed_args(words))


def _check_folder() -> None:
    """Raise InputError in a folder that has been removed: paths are relative to it."""
    from ablate.errors import InputError

    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise InputError("The current folder has been removed: change to another.") from error


def _no_such_command(name: str) -> None:
    from ablate.errors import InputError, nearest
    from ablate.paths import CONF

    if (CONF / name).is_dir():
        raise InputError(f"{name} is an axis: write {name}=OPTION. ablate --help lists its options.")
    raise InputError(
        f"{name}: there is no such command.{nearest(name, COMMANDS)} Commands: {', '.join(COMMANDS)}; without one, a"
        " design is trained, and every word is axis=option or key=value."
    )


if __name__ == "__main__":
    main()
