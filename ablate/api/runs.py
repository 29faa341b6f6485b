"""One run, trained or loaded: its numbers as data frames, and its network with the trained weights."""

import html
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.configuration.composition import Composition
from ablate.configuration.overrides import folder
from ablate.configuration.refusals.wording import explaining
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import InputError
from ablate.runs import record as records
from ablate.runs.record import RunRecord

if TYPE_CHECKING:  # each takes a second or more, and not every caller needs them
    import numpy as np
    import pandas as pd
    from torch import nn


class Run:
    """One run's directory.

    - directory: where it lies
    - record: what run.json says: status, choices, summary, cost, provenance, …
    - trained: whether it was trained just now, rather than found finished
    - reported: the W&B run of an agent to which a stored result was reported, or None
    """

    def __init__(
        self,
        directory: Path,
        record: RunRecord,
        trained: bool = False,
        trust: bool = False,
        reported: str | None = None,
    ) -> None:
        self.directory, self.record, self.trained, self.reported = directory, record, trained, reported
        self._trust = trust

    @property
    def status(self) -> str:
        """finished, diverged, stopped (as hopeless), interrupted, failed or running."""
        return self.record.status

    @property
    def summary(self) -> Mapping[str, float]:
        """The last value of every metric by its name, such as test/acc."""
        return self.record.summary

    @cached_property
    def metrics(self) -> "pd.DataFrame":
        """Columns step, epoch, name, value: every metric at every step or epoch that it was measured at."""
        return self._table("metrics")

    @cached_property
    def gradient_norms(self) -> "pd.DataFrame":
        """Columns step, layer, depth (0 image … 1 head), norm, rms, clipped, weight, update: docs/gradients.md says
        what each is."""
        return self._table("gradient_norms")

    @cached_property
    def network(self) -> "nn.Module":
        """The network with its trained weights, for evaluation, on the CPU: those of the last epoch, or with
        result=best those of the best validation.

        Raises InputError where the checkpoints have been deleted or are damaged, and for a loaded run whose
        configuration names code other than this package's and torch's, unless it was loaded with trust=True.
        """
        from ablate.api import networks

        return networks.trained(self.directory, self._trust)

    @cached_property
    def test_set(self) -> "tuple[np.ndarray, np.ndarray]":
        """The test images and their labels, as `predict` takes them: read anew, as the training read them, before they
        are normalised. For example uint8 (N, channels, height, width) and int64 (N,).

            images, labels = run.test_set
            (run.predict(images).argmax(1) == labels).mean()

        Image files are read into memory, all at once.

        Raises InputError where the data are not on this machine or have changed, and for a loaded run whose data are
        made by code of the user's, unless it was loaded with trust=True.
        """
        from ablate.api import networks

        return networks.tested(self.directory, self._trust, self.record.provenance)

    def predict(self, images: Any) -> "np.ndarray":
        """The network's scores, float32 (N, outputs): with classes, `.argmax(1)` of them are the predicted ones.

        images: arrays or tensors as data=arrays takes them, N x H x W, N x H x W x C or N x C x H x W; uint8, or
        floats, which are between 0 and 1 where the network was trained on bytes. They are normalised and resized as in
        the training. Of a data module of the user's: as its loaders give them.

        Warns where their values span far more or far less than those of the training images.
        """
        from ablate.api import networks

        return networks.predicted(self.directory, self.network, images)

    def _table(self, kind: str) -> "pd.DataFrame":
        import pyarrow as pa

        from ablate.training.saving.history import RunHistory, read

        try:
            found = read(self.directory / f"{kind}.parquet")
        except (OSError, pa.ArrowException) as error:
            if not (parts := RunHistory(self.directory).parts_of(kind)):
                raise InputError(f"{self.directory}: {kind}.parquet cannot be read ({error}).") from error
            found = pa.concat_tables([read(part) for part in parts]).unify_dictionaries()  # the run is not over
        return found.to_pandas()

    def __repr__(self) -> str:
        return f"<Run {self.record.title}: {self.status}, {self.directory}>"

    def _repr_html_(self) -> str:
        rows = [("status", self.status), *((name, f"{value:.4g}") for name, value in self.summary.items() if value)]
        cells = "".join(f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in rows)
        return f"<b>{html.escape(self.record.title)}</b><table>{cells}</table>"


def train(overrides: Sequence[str] = (), *, config_dir: str | Path | None = None) -> Run:
    """Train one design, as `python -m ablate` does with these words; one that has a result is not trained again.

        run = ablate.train(["model=resnet20", "seed=1", "trainer.max_epochs=5"])
        run.summary["test/acc"]

    - overrides: what you would type on the command line, a list of words
    - config_dir: a folder of your own options

    Raises InputError for what cannot be trained, and what the training raises.
    """
    if isinstance(overrides, str):
        raise InputError(f"train({overrides!r}): a list of words is expected, such as [{overrides!r}].")
    register_resolvers()
    with explaining():
        composition = Composition.of([*folder(Path(config_dir) if config_dir else None), *overrides])
        return trained(composition)


def trained(
    composition: Composition, begins: Callable[[Path, str | None], None] = lambda directory, resumed: None
) -> Run:
    """The run of what was composed. Raises InputError for what cannot be trained, and what the training raises.

    begins  called with the run's directory, and where it resumes in words or None; not for a stored result
    """
    from ablate.configuration import agent
    from ablate.process import lightning

    lightning.load()
    from ablate.runs import cell
    from ablate.runs.tracked import stored

    prepared = cell.prepare(composition)
    # An agent's server takes a run without a result for a failed one.
    record, is_new = (cell.run_when_free if agent.present() else cell.run)(prepared, begins=begins)
    reported = None if is_new else stored.report(prepared, record)
    return Run(prepared.directory, record, is_new, trust=True, reported=reported)


def load(directory: str | Path, *, trust: bool = False) -> Run:
    """The run in a directory; the first characters of a fingerprint are enough.

        run = ablate.load("runs/07c0")
        run.predict(images).argmax(1)

    trust: `.network` may run code that the run's configuration names, such as a network of your own. Without it, only
    this package's and torch's: a folder that somebody else has sent runs nothing.

    Raises InputError where there is no run, or more than one that begins so.
    """
    path = Path(directory).expanduser()
    if not path.is_dir():
        found = sorted(other for other in path.parent.glob(f"{path.name}*") if (other / "run.json").is_file())
        if len(found) != 1:
            many = f"{len(found)} runs begin so" if found else "there is no such run"
            raise InputError(f"{directory}: {many}. A run's directory holds run.json.")
        path = found[0]
    record = records.read(path)
    if record is None:
        raise InputError(
            f"{path}: there is no run, or its run.json is damaged: `python -m ablate doctor {path}` says which."
        )
    return Run(path.absolute(), record, trust=trust)
