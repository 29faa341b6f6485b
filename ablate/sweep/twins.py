"""Stored results that would be a sweep's cells, had they the same `threads`."""

from collections import Counter
from collections.abc import Sequence

from ablate.configuration import place
from ablate.configuration.fingerprint import fingerprint
from ablate.process import processors
from ablate.runs import record
from ablate.sweep.plan import TO_DO, PlannedCell


def line(cells: Sequence[PlannedCell]) -> str | None:
    """What to know of them: a run on its own has as many threads as there are cores, a sweep's cell usually one."""
    counts: Counter[int] = Counter()
    usual = {1, processors.usable()}
    for cell in cells:
        if cell.values is None or cell.values["threads"] is None or cell.status != TO_DO:  # None: on a GPU
            continue
        folder = place.results_in(cell.values["runs_dir"])
        for threads in usual - {cell.values["threads"]}:
            directory = folder / fingerprint(cell.values | {"threads": threads})
            if directory.is_dir() and (known := record.read(directory)) and known.is_result:
                counts[threads] += 1
    if not counts:
        return None
    ((threads, count),) = counts.most_common(1)
    runs = "1 stored run differs" if count == 1 else f"{count:,} stored runs differ"
    return (
        f"{runs} from cells of this sweep in `threads` alone, so by rounding ({threads} there): threads={threads} typed"
        f" behind the file counts {'it' if count == 1 else 'them'}."
    )
