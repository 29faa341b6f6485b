"""Finished runs' gradient flow, side by side."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from ablate.errors import InputError
from ablate.runs import record
from ablate.runs.record import RunRecord
from ablate.training.gradients.pictures import COLUMNS, DPI, heat_maps
from ablate.training.gradients.reading import Gradients, read


def write(runs: Sequence[Path], out: Path) -> None:
    """One picture file with the heat maps of all `runs`, all in the same colours.

    Raises InputError for what is no run's directory, or has no gradient norms, and for a file in no folder.
    """
    if out.suffix != ".png":
        raise InputError(f"flow {' '.join(map(str, [*runs, out]))}: give directories of runs and then FILE.png.")
    if not out.parent.is_dir():
        raise InputError(f"{out}: there is no folder {out.parent}: make it first.")
    records = [_record(run) for run in runs]
    several = {title: _gradients(run) for title, run in zip(_titles(records), runs, strict=True)}
    heat_maps(several).savefig(out, dpi=DPI, pil_kwargs={"optimize": True})
    print(out)


def _record(run: Path) -> RunRecord:
    found = record.read(run)
    if found is None or not (run / "gradient_norms.parquet").exists():
        raise InputError(f"{run}: no finished run lies there (run.json and gradient_norms.parquet).")
    return found


def _gradients(run: Path) -> Gradients:
    file = run / "gradient_norms.parquet"
    try:
        found = read([file], COLUMNS)
    except (pa.ArrowException, OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file} is damaged ({error}): leave it out, or train the run again.") from error
    if found is None:
        raise InputError(f"{run}: gradient_norms.parquet is empty (gradient_norms.every_n_steps=0).")
    return found


def _titles(records: list[RunRecord]) -> list[str]:
    """What tells the runs apart, and their verdicts."""
    choices = [found.choices | {"seed": found.seed} for found in records]
    differing = [axis for axis in choices[0] if len({str(c.get(axis)) for c in choices}) > 1]
    names = [" ".join(f"{axis}={c.get(axis)}" for axis in differing) for c in choices]
    if len(set(names)) < len(names):
        names = [f"{name} {found.fingerprint}".strip() for name, found in zip(names, records, strict=True)]
    return [f"{name}: {found.gradient_flow or '?'}" for name, found in zip(names, records, strict=True)]
