"""What a training shows on the terminal before it starts: torch alone takes a second or more to import."""

import os
from functools import cache
from pathlib import Path
from typing import Any

from ablate.configuration.composition import Composition
from ablate.paths import relative
from ablate.training.settings import has_gpu_driver


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
    if values["threads"] == "auto" and values["trainer"]["accelerator"] != "gpu" and is_busy() and not has_gpu_driver():
        print(
            "Other programs use this machine's cores. The run's threads then wait for one another: threads=1 may be"
            " faster. It is another result.",
            flush=True,
        )


@cache  # the first run of this process is not among the others
def is_busy(loads: Path = Path("/proc/loadavg")) -> bool:
    """Whether more programs want a core than there are, now and for a minute; False where no file says so."""
    try:
        minute, _, _, now, _ = loads.read_text(encoding="utf-8").split()
    except OSError:
        return False
    cores = os.cpu_count() or 1
    return cores > 1 and float(minute) >= cores and int(now.partition("/")[0]) > cores


def show_start(directory: Path, resumed: str | None) -> None:
    """Where the run is written, and where it resumes, in words; None if it starts anew."""
    folder = relative(directory)
    print(f"resuming {resumed}: {folder}" if resumed else f"training: {folder}", flush=True)
