"""The command line: `python -m ablate …` and the console script `ablate`.

The first word names a command, a module in ablate/commands. Without a command, `train` is run.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from ablate.process import exit_codes, garbage, streams

# Every command, with its line in `ablate --help`. The first one is the default.
COMMANDS = {
    "train": "train one design; the word may be left out",
    "describe": "show a design's network as a table; nothing is trained",
    "check": "check that a design keeps what paired comparisons rely on",
    "design": "write a sweep file of one change at a time, pairs, or a screen",
    "plan": "list the cells of a sweep file, with status and cost",
    "sweep": "run the cells of a sweep file that have no result yet",
    "watch": "show a sweep in the browser while it runs",
    "report": "compare runs: which choice mattered, as a page, tables and figures",
    "table": "write runs as one table for pandas or a spreadsheet, one row a run",
    "judge": "judge a candidate against a baseline, with as many seeds as needed",
    "aa": "run the baseline of a sweep file against itself: the noise floor",
    "doctor": "find out which stored runs are whole, resumable or unusable",
    "export": "write a run's trained network to a file: ONNX, or torch's format",
    "flow": "draw the gradient maps of finished runs side by side",
    "claims": "compare claims of papers and tutorials with reports",
    "simulate": "show how often verdicts are wrong, on sweeps whose truth is known",
    "bench": "measure what the harness costs on this machine",
}
# Commands for one configuration: Hydra parses all their words but their own flags.
ON_CONFIGURATION = ("train", "describe", "check")


def main() -> None:
    """Run the command line, and exit.

    Exit codes: 0 done (also if the run diverged), 1 something failed, 2 wrong input, 129, 130 or 143 interrupted.
    """
    streams.hold()
    streams.notice("starting …")  # the first imports take most of a second
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
    """Run what was typed. Returns the exit code."""
    first = typed[0] if typed else ""
    if first in ("-h", "--help", "--version"):
        from ablate.commands.words import help

        print(help.version() if first == "--version" else help.overview(COMMANDS))
        return 0
    try:
        from ablate.configuration.refusals.guard import guarded
        from ablate.configuration.resolvers import register_resolvers
    except ModuleNotFoundError as error:
        print(f"ablate: {error}: the installation is not complete. Run its `pip install` again.", file=sys.stderr)
        return exit_codes.FAILED

    register_resolvers()
    if wrong := guarded(_check_folder):
        return wrong
    if first.isidentifier() and first not in COMMANDS:
        return guarded(_no_such_command, first)
    name, words = (first, typed[1:]) if first in COMMANDS else (next(iter(COMMANDS)), typed)
    return guarded(called, name, words)


def called(name: str, words: list[str]) -> int | None:
    """Run the command `name` with `words`. Returns its exit code. Raises InputError."""
    from ablate.commands.words import help

    command = import_module(f"ablate.commands.{name}")
    parser = _Parser(
        prog=f"ablate {name}",
        description=help.filled(command.__doc__),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.words = words
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


class _Parser(argparse.ArgumentParser):
    """Whose errors are messages that say what there is. words: what it is to parse."""

    words: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        from ablate.configuration.refusals.arguments import meant
        from ablate.errors import InputError

        flags = [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]
        typed = [word.partition("=")[0] for word in self.words if word.startswith("--") and word != "--"]
        if unknown := [flag for flag in typed if flag not in flags]:
            raise InputError(
                f"{self.prog} {unknown[0]}: there is no such flag.{meant(unknown[0], self.words, flags)} Flags:"
                f" {', '.join(flags)}. Values are set without dashes, as in trainer.max_epochs=5."
            )
        raise InputError(f"{self.prog}: {message}. `python -m {self.prog} --help` says what it takes.")


def _check_folder() -> None:
    """Raise InputError if the current folder has been removed: paths are relative to it."""
    from ablate.errors import InputError

    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise InputError("The current folder has been removed: change to another.") from error


def _no_such_command(name: str) -> None:
    from ablate.errors import InputError, nearest
    from ablate.paths import CONF

    if (CONF / name).is_dir():
        raise InputError(f"{name} is an axis: write {name}=OPTION. `python -m ablate --help` lists its options.")
    raise InputError(
        f"{name}: there is no such command.{nearest(name, COMMANDS)} Commands: {', '.join(COMMANDS)}. Without a"
        " command, a design is trained, and every word is axis=option or key=value."
    )


if __name__ == "__main__":
    main()
