"""One run's directory, read again only where something in it has changed."""

from pathlib import Path

import pyarrow as pa

from ablate.runs import record
from ablate.runs.record import RunRecord
from ablate.sweep.plan import INTERRUPTED, TO_DO, standing
from ablate.watch.series import Series

Stamp = tuple[int, int] | None


class WatchedRun:
    """What a run's directory, which need not be there yet, says at the moment.

    status, reason  as a plan has them
    record          None where there is none that can be read
    epochs          of the whole training; None where nobody has said
    unread          why the history cannot be read
    """

    def __init__(self, directory: Path, metric: str, epochs: int | None = None) -> None:
        self.directory, self.epochs = directory, epochs
        self.status: str = TO_DO
        self.reason: str | None = None
        self.record: RunRecord | None = None
        self.unread: str | None = None
        self._metric = metric
        self._series: Series | None = None
        self._stamps: tuple[Stamp, ...] = ()
        self._of_record: Stamp = None

    def look(self) -> None:
        """Bring all of it up to date. A run with a result that has not changed costs a few looks at file times."""
        stamps = tuple(_stamp(self.directory / name) for name in ("", "run.json", "parts"))
        is_same = stamps == self._stamps
        if is_same and self.record is not None and self.record.is_result:
            return
        if stamps[0] is None:
            self.status, self.reason, self.record = TO_DO, None, None
            self._stamps = stamps
            return
        self._read_record()
        self.status, self.reason = standing(self.directory, self.record)
        if self.status == INTERRUPTED:  # or it has ended between the two looks
            self._read_record()
            self.status, self.reason = standing(self.directory, self.record)
        if not is_same and self._series is not None:
            self._update(self._series)
        self._stamps = stamps

    @property
    def value(self) -> float | None:
        """The metric: of a result the record's, which may be of the best epoch; else the last one so far."""
        if self.record and self.record.is_result:
            return self.record.metrics.get(self._metric) if self.record.status == "finished" else None
        return self.series.last if self.record else None

    @property
    def done(self) -> float | None:
        """The share of the training that is done; None where nothing tells it."""
        return self.series.done(self.epochs) if self.epochs and self.record else None

    @property
    def series(self) -> Series:
        """Its curves, up to date with the last look. They are read when they are asked for the first time."""
        if self._series is None:
            self._series = Series(self.directory, self._metric)
            self._update(self._series)
        return self._series

    def _read_record(self) -> None:
        stamp = _stamp(self.directory / "run.json")
        if stamp != self._of_record:
            self.record, self._of_record = record.read(self.directory), stamp

    def _update(self, series: Series) -> None:
        try:
            series.update()
            self.unread = None
        except FileNotFoundError:
            self._stamps = ()  # parts that were joined this moment: the next look finds what they became
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            self.unread = f"its history cannot be read: {' '.join(str(error).split())[:200]}"


def _stamp(path: Path) -> Stamp:
    """Time and size of what is there; None where nothing is."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_mtime_ns, found.st_size
