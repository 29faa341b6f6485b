"""A command as a Hydra application: Hydra reads the words, composes, and starts every run of a multirun."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from ablate.configuration import parameters, refusals
from ablate.configuration.composition import CONF, Composition


def run(task: Callable[[Composition, argparse.Namespace], Any], options: argparse.Namespace, words: list[str]) -> int:
    """Compose what `words` say and hand it to `task`. Returns the exit code, of a multirun the largest.

    What goes wrong in one run of a multirun stays in it: the others continue.
    """
    codes: list[int] = []

    def composed(cfg: Any) -> None:
        composition = Composition(cfg, OmegaConf.create({"hydra": HydraConfig.get()}))
        codes.append(refusals.guarded(task, composition, options))

    def application() -> None:
        refusals.check_arguments(words)
        sys.argv[1:] = parameters.permitted(parameters.arguments(words))  # those of a W&B agent's run become overrides
        _complete_commands(sys.argv[1:])
        refusals.by_hydra(hydra.main(str(CONF), "config", "1.3")(composed))

    # Hydra raises what it would otherwise print, with an exit code of its own.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    codes.append(refusals.guarded(application))
    return max(codes)


def _complete_commands(words: list[str]) -> None:
    """Where a shell asks what can follow: print the commands, before the axes that Hydra prints. What follows a command
    is completed as if that were not there, since Hydra takes every word for an override."""
    from ablate.__main__ import COMMANDS

    if not any(flag in words for flag in ("-sc", "--shell-completion")) or "COMP_LINE" not in os.environ:
        return
    program, _, rest = os.environ["COMP_LINE"].partition(" ")
    first, blank, others = rest.partition(" ")
    if not blank:
        print(" ".join(name for name in COMMANDS if name.startswith(first)))
    elif first in COMMANDS:
        os.environ["COMP_LINE"] = f"{program} {others}"
