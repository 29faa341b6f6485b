"""Runs in a folder of TensorBoard's event files, by its own reader; the extra `tensorboard`.

What a run was configured with are its hyperparameters, as SummaryWriter.add_hparams or Lightning leave them, and what
its folders are called, where that is key=value.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ablate.comparison.elsewhere import configured
from ablate.comparison.elsewhere.configured import Logged
from ablate.comparison.elsewhere.source import Asked, Found
from ablate.errors import InputError


def read(names: Sequence[str], asked: Asked) -> Found:
    """The runs below tensorboard:FOLDER, one for each folder of event files. Raises InputError where there are none."""
    name, root = names[0], Path(names[0].partition(":")[2])
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        raise InputError(f"{name} takes TensorBoard: python -m pip install 'ablate-resnet[tensorboard]'.") from error
    if asked.where:
        raise InputError("--filter: TensorBoard's runs are chosen by KEY=VALUE behind the name.")
    folders = sorted({file.parent for file in root.rglob("events.out.tfevents.*")})
    # add_hparams writes into a folder of its own, below the run's.
    runs = [folder for folder in folders if folder.parent not in folders]
    logged = []
    for folder in runs:
        config, curves = _from_names(folder.relative_to(root)), dict[str, list[tuple[int, float]]]()
        for place in [folder, *(other for other in folders if other.parent == folder)]:
            events = EventAccumulator(str(place), size_guidance={"scalars": 0}).Reload()
            config |= _hyperparameters(events, place)
            for tag in events.Tags()["scalars"]:
                curves.setdefault(tag, []).extend((event.step, event.value) for event in events.Scalars(tag))
        summary = {tag: max(points, key=lambda point: point[0])[1] for tag, points in curves.items()}
        logged.append(Logged(config, summary, None, str(folder), partial(_curve, curves)))
    return configured.found(name, logged, asked)


def _hyperparameters(events: Any, folder: Path) -> dict[str, Any]:
    from tensorboard.plugins.hparams import metadata

    found: dict[str, Any] = {}
    if started := events.summary_metadata.get("_hparams_/session_start_info"):
        content = started.plugin_data.content
        for key, value in metadata.parse_session_start_info_plugin_data(content).hparams.items():
            found[key] = getattr(value, str(value.WhichOneof("kind")))
    if (folder / "hparams.yaml").is_file():
        found |= yaml.safe_load((folder / "hparams.yaml").read_text(encoding="utf-8")) or {}
    return found


def _from_names(path: Path) -> dict[str, Any]:
    words = [word for part in path.parts for word in part.replace(",", " ").split() if "=" in word]
    return {key: yaml.safe_load(value) for key, _, value in (word.partition("=") for word in words)}


def _curve(curves: dict[str, list[tuple[int, float]]], metric: str) -> np.ndarray:
    points = sorted(point for point in curves.get(metric, ()) if np.isfinite(point[1]))
    return np.array(points, dtype=float).reshape(-1, 2)
