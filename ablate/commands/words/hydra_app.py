"""Runs a command as a Hydra application: Hydra parses the words, composes, and starts each run of a multirun."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from ablate.configuration import parameters
from ablate.configuration.composition import CONF, Composition
from ablate.configuration.overrides import folder
from ablate.configuration.refusals.arguments import check_arguments, meant
from ablate.configuration.refusals.guard import by_hydra, guarded
from ablate.errors import InputError


def run(task: Callable[[Composition, argparse.Namespace], Any], options: argparse.Namespace, words: list[str]) -> int:
    """Compose `words` and call `task` with the composition. Returns the exit code; for a multirun, the largest.

    If a run of a multirun fails, the others continue.
    """
    codes: list[int] = []

    def composed(cfg: Any) -> None:
        composition = Composition(cfg, OmegaConf.create({"hydra": HydraConfig.get()}))
        codes.append(guarded(task, composition, options))

    def application() -> None:
        check_arguments(words)
        # The parameters of a W&B agent's run become overrides.
        sys.argv[1:] = flags_first(parameters.permitted(parameters.arguments(words)))
        _complete_commands(sys.argv[1:])
        try:
            by_hydra(hydra.main(str(CONF), "config", "1.3")(composed))
        except ConfigCompositionException as error:
            error.typed = _typed(sys.argv[1:])  # type: ignore[attr-defined]  # what it was made of, to explain it by
            raise

    # Makes Hydra raise errors. Otherwise it prints them and exits with its own code.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    codes.append(guarded(application))
    return max(codes)


def flags_first(words: Sequence[str]) -> list[str]:
    """The words with Hydra's flags first, then the overrides: Hydra does not accept overrides on both sides of a flag.

    Raises InputError for an unknown flag, or one whose value is missing.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    parsed, unknown = parser.parse_known_intermixed_args(list(words))
    if unknown:
        flags = [flag for action in parser._actions for flag in action.option_strings]
        raise InputError(
            f"{unknown[0]}: there is no such flag.{meant(unknown[0], words, flags)} Values are set without dashes, as"
            " in trainer.max_epochs=5; `python -m ablate --help` lists the axes, --hydra-help the flags."
        )
    flags = list(words)
    for override in parsed.overrides or []:
        flags.remove(override)
    return [*flags, *(parsed.overrides or [])]


def _typed(words: Sequence[str]) -> list[str]:
    """The overrides, and the folder of --config-dir as one."""
    parsed, _ = get_args_parser().parse_known_args(list(words))
    return [*folder(Path(parsed.config_dir) if parsed.config_dir else None), *(parsed.overrides or [])]


def _refuse(message: str) -> NoReturn:
    raise InputError(f"{message}. `python -m ablate --hydra-help` lists the flags.")


def _complete_commands(words: list[str]) -> None:
    """For shell completion: print the commands that fit, before Hydra prints the axes. After a command, hide it from
    Hydra, which would read it as an override."""
    from ablate.__main__ import COMMANDS

    if not any(flag in words for flag in ("-sc", "--shell-completion")) or "COMP_LINE" not in os.environ:
        return
    program, _, rest = os.environ["COMP_LINE"].partition(" ")
    first, blank, others = rest.partition(" ")
    if not blank:
        print(" ".join(name for name in COMMANDS if name.startswith(first)))
    elif first in COMMANDS:
        os.environ["COMP_LINE"] = f"{program} {others}"
