"""The command line: `python -m ablate …` and the console script `ablate`."""

import gc
import os
import sys
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

from ablate import streams
from ablate.report.bench import NAMES as COMPARISONS


def train(cfg: Any, flags: set[str]) -> None:
    """One composed configuration, trained unless it has been."""
    from ablate.report import closing
    from ablate.study import cell, stored
    from ablate.training import agent

    _loaded()
    prepared = cell.prepare(_composition(cfg))
    # An agent's server takes a run without a result for a failed one.
    record, trained = cell.run_when_free(prepared) if agent.present() else cell.run(prepared)
    closing.show(record, prepared.directory, trained)
    if not trained and (wandb_run := stored.report(prepared, record)):
        print(f"Its stored result has been reported to W&B as the run {wandb_run}.")


def describe(cfg: Any, flags: set[str]) -> None:
    """One composed configuration's network, or all named ones, shown and not trained."""
    from ablate.report import describe

    _loaded()
    show = describe.show_experiments if "--table" in flags else describe.show
    show(_composition(cfg), as_json="--json" in flags)


def bench(cfg: Any, flags: set[str]) -> None:
    """[NAME …] What the harness costs on this machine."""
    from ablate.report import bench

    _loaded()
    bench.show(_composition(cfg).overrides, flags - {"--json"}, as_json="--json" in flags)


def flow(arguments: list[str]) -> None:
    """RUN … FILE.png: the heat maps of finished runs' gradients side by side."""
    from ablate.report import flow

    _loaded()
    flow.write(arguments)


def plan(arguments: list[str]) -> int:
    """The cells of a sweep file."""
    from ablate.report import sweep_command

    code = sweep_command.plan(arguments)  # garbage stays uncollected here: a plan keeps nearly all that it makes
    gc.freeze()  # nor is it looked for at the interpreter's end
    return code


def sweep(arguments: list[str]) -> int:
    """The cells of a sweep file, run."""
    from ablate.report import sweep_command

    return sweep_command.sweep(arguments, planned=_loaded)


def report(arguments: list[str]) -> None:
    """Runs compared: a page, tables and figures."""
    from ablate.report import command

    command.report(arguments)  # as with a plan: what is read stays to the end
    gc.freeze()


def doctor(arguments: list[str]) -> int:
    """Which stored runs are whole, which go on, which are lost, and why."""
    from ablate.report import doctor

    _loaded()
    return doctor.doctor(arguments)


def claims(arguments: list[str]) -> None:
    """FILE.yaml: what sources say, held against reports."""
    from ablate.report import claims

    claims.show(arguments)


def simulate(arguments: list[str]) -> None:
    """How often verdicts are wrong, on simulated sweeps whose truth is known."""
    from ablate.report import simulate

    simulate.show(arguments)


# Commands on a composed configuration, with the words that are their own: all else on the line is Hydra's.
ON_CONFIGURATION: dict[str, tuple[Callable[[Any, set[str]], None], set[str]]] = {
    "describe": (describe, {"--json", "--table"}),
    "bench": (bench, {"--json", *COMPARISONS}),
}
ON_ARGUMENTS: dict[str, Callable[[list[str]], int | None]] = {
    "plan": plan,
    "sweep": sweep,
    "flow": flow,
    "report": report,
    "doctor": doctor,
    "claims": claims,
    "simulate": simulate,
}


def _no_such_command(name: str) -> None:
    from ablate.errors import InputError, nearest

    commands = sorted([*ON_ARGUMENTS, *ON_CONFIGURATION])
    raise InputError(
        f"{name}: there is no such command.{nearest(name, commands)} Commands: {', '.join(commands)};"
        " without one, a design is trained, and every word is axis=option or key=value."
    )


def _no_such_word(command: str, word: str, known: set[str]) -> None:
    from ablate.errors import InputError, nearest

    names = sorted(known)
    raise InputError(
        f"{command} {word}: {command} does not take that.{nearest(word, names)} It takes {', '.join(names)}."
    )


def _check_folder() -> None:
    """Raise InputError in a folder that has been removed: paths are relative to it."""
    from ablate.errors import InputError

    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise InputError("The current folder has been removed: change to another.") from error


def _take_parameters() -> None:
    """The parameters of a W&B agent's run become overrides."""
    from ablate.study import commandline, parameters

    commandline.check_arguments(sys.argv[1:])
    sys.argv[1:] = parameters.permitted(parameters.arguments(sys.argv[1:]))


def _loaded() -> None:
    """Collect garbage from here on, without going through what the imports have left, which stays."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _composition(cfg: Any) -> Any:
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from ablate.study.composition import Composition

    return Composition(cfg, OmegaConf.create({"hydra": HydraConfig.get()}))


def main() -> None:
    """Run what the arguments ask for.

    Exit codes: 0 done (a diverged run is done), 1 something failed, 2 the input was wrong, 129, 130 or
    143 interrupted.
    """
    streams.hold()
    gc.disable()  # imports free next to nothing: collecting during them is a third of the start
    import hydra

    from ablate.study import commandline
    from ablate.study.composition import CONF

    commandline.register_resolvers()
    if wrong := commandline.guarded(_check_folder) or commandline.guarded(_take_parameters):
        sys.exit(wrong)
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ON_ARGUMENTS:
        try:
            sys.exit(commandline.guarded(ON_ARGUMENTS[name], sys.argv[2:]))
        except KeyboardInterrupt:
            sys.exit(130)
    if name.isidentifier() and name not in ON_CONFIGURATION:
        sys.exit(commandline.guarded(_no_such_command, name))
    command, own_flags = ON_CONFIGURATION.get(name, (train, set()))
    if name in ON_CONFIGURATION:
        del sys.argv[1]
    # A command's own words come first: later ones may be the values of Hydra's flags.
    words = list(takewhile(str.isidentifier, sys.argv[1:]))
    if unknown := [word for word in words if word not in own_flags]:
        sys.exit(commandline.guarded(_no_such_word, name, unknown[0], own_flags))
    rest = sys.argv[1 + len(words) :]
    flags = {*words, *(argument for argument in rest if argument.startswith("-") and argument in own_flags)}
    sys.argv[1:] = [argument for argument in rest if argument not in flags or not argument.startswith("-")]

    codes: list[int] = []

    def task(cfg: Any) -> None:
        # What goes wrong stays in its own run: the others of a multirun go on.
        codes.append(commandline.guarded(command, cfg, flags))

    # Hydra raises what it would otherwise print, with an exit code of its own.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        codes.append(commandline.guarded(commandline.by_hydra, hydra.main(str(CONF), "config", "1.3")(task)))
    except KeyboardInterrupt:
        sys.exit(130)
    except BaseException as stop:
        if not hasattr(stop, "signum"):
            raise
        print("ablate: interrupted, state saved; the same command goes on from there.", file=sys.stderr)
        sys.exit(128 + stop.signum)
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
