"""Pictures of how the gradient runs through a network while it trains."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow.parquet as pq
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import nn

from ablate.training.gradients.norms import GradientNorms
from ablate.training.saving.history import RunHistory
from ablate.training.saving.staging import Staging

if TYPE_CHECKING:  # loaded where something is drawn: it takes half a second
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 256  # of a picture; a column stands for the geometric mean of its steps
SHARE = 0.02  # of the training time that pictures before the end may take
DECADES = 12  # that the colours span below the largest value; what is smaller, 0 too, is black
FLOOR = 1e-30  # what a gradient of exactly 0 counts as in a mean


# The last word of a norm layer's name.
_NORM = re.compile(r"(^|\.)norm[^.]*$")


class Layers(Protocol):
    """What is known of a network's layers, as `GradientNorms` has it."""

    @property
    def layers(self) -> list[str]: ...
    @property
    def depths(self) -> list[float]: ...
    @property
    def sizes(self) -> list[int]: ...
    @property
    def has_weight(self) -> list[bool]: ...


@dataclass(frozen=True)
class RecordedLayers:
    """The layers of a run that is over."""

    layers: list[str]
    depths: list[float]
    sizes: list[int]
    has_weight: list[bool]


@dataclass(frozen=True)
class Picture:
    """Every layer's gradient over a whole run, in as many columns of equal length.

    layers  what was measured of which layers
    norms   (layers, columns), log10 of the L2 norm; NaN where there is none that is finite
    steps   how many the columns span, from 0
    """

    layers: Layers
    norms: np.ndarray
    steps: int

    @property
    def rms(self) -> np.ndarray:
        """log10 of the root mean squares."""
        return self.norms - np.log10(self.layers.sizes)[:, None] / 2

    def label(self, column: int) -> str:
        """The steps that a column stands for."""
        edges = np.ceil(np.linspace(0, self.steps, self.norms.shape[1] + 1)).astype(int)
        first, last = edges[column], edges[column + 1] - 1
        return f"step {first}" if first == last else f"steps {first} to {last}"


def recorded(file: Path) -> RecordedLayers:
    """The layers in a gradient_norms.parquet, from the image to the head. No network is built for it: a configuration
    may name any code. Never more than a row group is in memory.

    Raises what pyarrow raises where the file is damaged, KeyError where it is something else.
    """
    depths: dict[str, float] = {}
    sizes: dict[str, int] = {}
    with pq.ParquetFile(file, page_checksum_verification=True) as reader:
        for group in range(reader.num_row_groups):
            table = reader.read_row_group(group, columns=["layer", "depth", "norm", "rms"])
            names, norms, rms = table["layer"].to_pylist(), table["norm"].to_numpy(), table["rms"].to_numpy()
            depths.update(zip(names, table["depth"].to_pylist(), strict=True))
            for row in np.flatnonzero(np.isfinite(norms) & np.isfinite(rms) & (rms > 0)).tolist():
                if names[row] not in sizes:
                    sizes[names[row]] = max(1, round(float(norms[row] / rms[row]) ** 2))
    layers = sorted(depths, key=depths.__getitem__)
    return RecordedLayers(
        layers,
        [depths[name] for name in layers],
        [sizes.get(name, 1) for name in layers],  # of one whose gradient was always 0, nothing is known
        [_NORM.search(name) is None for name in layers],
    )


def picture(files: Sequence[Path], layers: Layers) -> Picture:
    """What gradient_norms.parquet, or its parts, hold of `layers`. Never more than a row group is in memory."""
    position = {name: i for i, name in enumerate(layers.layers)}
    readers = [pq.ParquetFile(file) for file in files]
    groups = [(reader, group) for reader in readers for group in range(reader.num_row_groups)]
    steps = 1 + max((int(r.metadata.row_group(g).column(0).statistics.max) for r, g in groups), default=-1)
    columns = max(1, min(COLUMNS, -(-steps // _gap(groups))))
    sums, counts = np.zeros((2, len(position) * columns))
    for reader, group in groups:
        table = reader.read_row_group(group, columns=["step", "layer", "norm"])
        names = table["layer"].combine_chunks()
        layer = np.array([position[name] for name in names.dictionary.to_pylist()], dtype=int)[names.indices.to_numpy()]
        norms = table["norm"].to_numpy()
        cell = layer * columns + table["step"].to_numpy() * columns // steps
        finite = np.isfinite(norms)
        logs = np.log10(np.maximum(norms[finite], FLOOR))
        sums += np.bincount(cell[finite], logs, len(sums))
        counts += np.bincount(cell[finite], minlength=len(sums))
    with np.errstate(invalid="ignore"):
        return Picture(layers, (sums / counts).reshape(len(position), columns), steps)


def _gap(groups: list[tuple[pq.ParquetFile, int]]) -> int:
    """Steps from one record to the next."""
    for reader, group in groups:
        steps = np.unique(reader.read_row_group(group, columns=["step"])["step"].to_numpy())
        if len(steps) > 1:
            return int(np.diff(steps).min())
    return 1


def heat_maps(pictures: dict[str, Picture], norms: bool) -> "Figure":
    """(1) Layer x step, the colour the root mean square on a log scale, by title.

    Convolutions and linear layers above, and on request `norms` below where there are any: theirs are of another
    size, and between the others they would hide what changes with depth. All maps of a row share their colours.
    """
    from matplotlib.figure import Figure

    kinds = [("convolutions, linear", True)]
    if norms and any(False in p.layers.has_weight for p in pictures.values()):
        kinds.append(("norms", False))
    figure = Figure(figsize=(1.6 + 3.4 * len(pictures), 0.6 + 3.0 * len(kinds)), layout="constrained")
    axes = figure.subplots(len(kinds), len(pictures), squeeze=False)
    for (kind, has_weight), row in zip(kinds, axes, strict=True):
        chosen = {title: np.array(p.layers.has_weight) == has_weight for title, p in pictures.items()}
        values = {title: p.rms[chosen[title]] for title, p in pictures.items()}
        high = max((np.nanmax(v) for v in values.values() if not np.isnan(v).all()), default=0.0)
        low = min((np.nanmin(v) for v in values.values() if not np.isnan(v).all()), default=-1.0)
        image = None
        for ax, (title, p) in zip(row, pictures.items(), strict=True):
            ax.set_title(title, fontsize=10)
            if not len(values[title]):
                ax.set_axis_off()
                continue
            image = _heat_map(ax, p, chosen[title], max(low, high - DECADES), high)
        row[0].set_ylabel(f"{kind}\ndepth, 0 image … 1 head")
        assert image is not None
        figure.colorbar(image, ax=list(row), label="log10 of the gradient's RMS", pad=0.01)
    return figure


def _heat_map(ax: "Axes", p: Picture, chosen: np.ndarray, low: float, high: float) -> Any:
    import matplotlib

    colours = matplotlib.colormaps["viridis"].with_extremes(bad="lightgrey", under="black")
    image = ax.imshow(
        p.rms[chosen], aspect="auto", cmap=colours, vmin=low, vmax=high, extent=(0, max(1, p.steps), 1, 0)
    )
    ax.set_xlabel("optimizer step")
    names = [name for name, kept in zip(p.layers.layers, chosen, strict=True) if kept]
    starts = [i for i, name in enumerate(names) if i == 0 or _stage(name) != _stage(names[i - 1])]
    starts = [i for i in starts if not any(0 < later - i < len(names) / 30 for later in starts)]  # or they overlap
    side = ax.secondary_yaxis("right")
    side.set_yticks([(i + 0.5) / len(names) for i in starts], [names[i] for i in starts], fontsize=6)
    return image


def norms_by_step(p: Picture) -> "Figure":
    """(2) Norm against step for the first, the middle and the last convolution or linear layer."""
    figure, ax = _curves()
    weighted = np.flatnonzero(p.layers.has_weight)
    middles = (np.arange(p.norms.shape[1]) + 0.5) * p.steps / p.norms.shape[1]
    for i in dict.fromkeys(int(weighted[j]) for j in (0, len(weighted) // 2, -1)):
        ax.plot(middles, 10 ** p.norms[i], label=f"{p.layers.layers[i]} (depth {p.layers.depths[i]:.2f})", lw=1)
    ax.set(xlabel="optimizer step", ylabel="L2 norm of the gradient", yscale="log")
    ax.legend(fontsize=8)
    return figure


def profile(p: Picture) -> "Figure":
    """(3) Root mean square over depth at the start, the middle and the end, convolutions and linear layers."""
    figure, ax = _curves()
    weighted = np.flatnonzero(p.layers.has_weight)
    depths = np.array(p.layers.depths)[weighted]
    columns = p.norms.shape[1]
    for column in dict.fromkeys((0, columns // 2, columns - 1)):
        ax.plot(depths, 10 ** p.rms[weighted, column], label=p.label(column), marker=".", ms=3, lw=1)
    ax.set(xlabel="depth, 0 image … 1 head", ylabel="RMS of the gradient", yscale="log")
    ax.legend(fontsize=8)
    return figure


def _curves() -> "tuple[Figure, Axes]":
    """An empty drawing for curves; margins are set, since matplotlib takes as long to find them as to draw the rest."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8))
    return figure, figure.subplots(gridspec_kw={"left": 0.11, "right": 0.985, "bottom": 0.125, "top": 0.975})


def draw(p: Picture, directory: Path, staging: Staging) -> dict[str, Path]:
    """The three pictures as PNG files in `directory`, by name."""
    staging.make(directory)
    figures = {"heat_map": heat_maps({"": p}, norms=True), "norms_by_step": norms_by_step(p), "profile": profile(p)}
    paths = {name: directory / f"{name}.png" for name in figures}
    for name, figure in figures.items():
        staging.replace(paths[name], partial(figure.savefig, dpi=120, format="png"))
    return paths


class FlowPictures(Callback):
    """Draws a run's pictures at its end, and at the ends of epochs as often as `SHARE` of the time allows.

    They lie in <run>/gradient_flow, and in W&B as `gradient_flow/<picture>`.

    write_history  called before a drawing, so that the history's files hold every step
    """

    def __init__(
        self, history: RunHistory, wandb_run: Any, network: nn.Module, write_history: Callable[[pl.Trainer], None]
    ) -> None:
        self.history, self.wandb_run, self.layers = history, wandb_run, GradientNorms(network)
        self.write_history = write_history
        self._seconds, self._drawn = 1.0, monotonic()  # of the last drawing, and when it was over

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and monotonic() - self._drawn > self._seconds / SHARE:
            self.write_history(trainer)
            self.draw(self.history.parts_of("gradient_norms"), trainer.global_step)

    def draw(self, files: Sequence[Path], step: int) -> None:
        """Draw what `files` hold; nothing where they hold nothing. `step`: how far the training is."""
        start = monotonic()
        p = picture(files, self.layers)
        if p.steps:
            paths = draw(p, self.history.directory / "gradient_flow", self.history.staging)
            if self.wandb_run is not None:
                import wandb

                images = {f"gradient_flow/{name}": wandb.Image(str(path)) for name, path in paths.items()}
                self.wandb_run.log({**images, "trainer/global_step": step})
        self._drawn = monotonic()
        self._seconds = self._drawn - start


def _stage(layer: str) -> str:
    return layer.split(".")[0]
