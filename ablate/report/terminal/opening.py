"""What a training shows on the terminal before it starts: torch alone takes a second or more to import."""

import os
from pathlib import Path
from typing import Any

from ablate.configuration.composition import Composition
from ablate.paths import relative
from ablate.process import processors


def show(composition: Composition, values: dict[str, Any]) -> None:
    """One line: the network, the data, how long, the seed, and what was typed beside them.

    values  those of the composition, as they are before `auto` is resolved
    """
    choices = composition.choices
    said = {axis: choices[axis] for axis in ("model", "data") if choices.get(axis) is not None}
    epochs = values["trainer"].get("max_epochs")
    long = "" if epochs is None else f", {epochs} epoch{'s' * (epochs != 1)}"
    shown = {*said, "seed", "trainer.max_epochs"}
    others = [text for key, text in composition.overridden.items() if key not in shown]
    what = " on ".join(map(str, said.values())) or "a network"
    print(f"{what}{long}, seed {values['seed']}{': ' * bool(others)}{' '.join(others)}", flush=True)
    if line := _busy(values, os.getloadavg()[0], processors.usable()):
        print(line, flush=True)


def _busy(values: dict[str, Any], load: float, cores: int) -> str | None:
    """What to do where other programs use the cores on which the run is to compute with a thread each; else None.

    load  how many processes wanted a core in the last minute
    """
    if values["threads"] != "auto" or values["trainer"]["accelerator"] == "gpu" or cores == 1 or load < cores:
        return None
    return (
        f"Other programs use this machine (load {load:.1f} on {cores} cores). On the CPU, {cores} threads then wait for"
        " one another: threads=1 may be faster. It is another result."
    )


def show_start(directory: Path, resumed: str | None) -> None:
    """Where the run is written, and where it resumes, in words; None if it starts anew."""
    folder = relative(directory)
    print(f"resuming {resumed}: {folder}" if resumed else f"training: {folder}", flush=True)
