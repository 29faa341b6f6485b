"""How many workers share a GPU, how that is measured, and in which order they take cells."""

import multiprocessing
import os
import threading
from multiprocessing.connection import Connection

import pytest
import torch

from ablate.configuration.composition import Composition
from ablate.configuration.resolvers import register_resolvers
from ablate.process import processors
from ablate.runs import cell
from ablate.sweep import execution
from ablate.sweep.engines import packing, pool, trial
from ablate.sweep.engines.pool_worker import is_out_of_memory
from ablate.sweep.engines.trial import NoTrialError
from ablate.sweep.estimate import longest_first
from ablate.sweep.plan import PlannedCell

GIB = 2**30


@pytest.mark.parametrize(
    ("measured", "cores", "count"),
    [
        ((80 * GIB, GIB, 100.0, 100.0), 16, 1),  # the GPU is busy with one
        ((80 * GIB, GIB, 100.0, 108.0), 16, 1),  # 8% are not worth it
        ((80 * GIB, GIB, 100.0, 120.0), 16, 2),  # two do 1.2, three 1.29 times as much: 7% more
        ((80 * GIB, GIB, 100.0, 160.0), 16, 4),  # 1, 1.6, 2, 2.29; five 2.5: 9% more
        ((80 * GIB, GIB, 100.0, 190.0), 16, 7),  # 5.32 times as much; eight 5.85: 9.9% more
        ((80 * GIB, GIB, 100.0, 200.0), 8, 8),  # they do not wait for each other
        ((80 * GIB, GIB, 100.0, 230.0), 8, 8),  # faster than twice is noise
        ((80 * GIB, GIB, 100.0, 200.0), 3, 3),  # each has a core
        ((6 * GIB, GIB, 100.0, 200.0), 16, 3),  # 0.95 x 6 GiB for 1.3 x 1 GiB + 600 MiB each
        ((GIB, GIB, 100.0, 200.0), 16, 1),  # one at least, however little there is
    ],
)
def test_how_many_workers_share_a_gpu(measured, cores, count):
    assert packing.workers(packing.Trial(*measured), cores) == count


def test_workers_of_a_gpu_share_its_memory_and_one_alone_has_all():
    assert [packing.share(count) for count in (1, 2, 5)] == [None, 0.475, 0.19]


def test_short_steps_are_offered_cuda_graphs_and_nothing_is_switched_on():
    short, long = (packing.Trial(80 * GIB, GIB, 100.0, two) for two in (190.0, 110.0))
    assert "compile=reduce-overhead" in packing.said(short, 4, 1, compiled=False)[1]
    assert len(packing.said(short, 4, 1, compiled=True)) == len(packing.said(long, 1, 1, compiled=False)) == 1
    assert packing.said(short, 4, 1, compiled=True)[0].startswith("4 workers on the GPU: two at a time do 1.90 times")


def planned(number, **trainer):
    values = {"trainer": {"accelerator": "gpu", "devices": 1} | trainer, "data": {"batch_size": 8}, "compile": None}
    return PlannedCell({"seed": number}, [], values=values, macs=10 + number)


def test_auto_packs_the_workers_that_the_largest_cell_allows(monkeypatch, capsys):
    seen = []

    def timed(values, device):
        seen.append((values, device))
        return packing.Trial(80 * GIB, GIB, 100.0, 160.0)

    monkeypatch.setattr(pool, "trial", timed)
    monkeypatch.setattr(execution, "_trials", {})
    monkeypatch.setattr(processors, "usable", lambda: 16)
    cells = [planned(number) for number in range(12)]
    assert execution._packed(cells, ["2", "3"]) == ["2", "3"] * 4
    assert seen == [(cells[-1].values, "2")]
    assert execution._packed(cells[5:], ["2", "3"]) == ["2", "3"] * 4 and len(seen) == 1  # a later round
    assert capsys.readouterr().out.startswith("4 workers on each of 2 GPUs: two at a time do 1.60 times")
    assert execution._packed(cells[:2], ["2", "3"]) == ["2", "3"]
    assert execution._packed(cells, ["0,1", "2,3"]) == ["0,1", "2,3"] and len(seen) == 1


def test_a_cell_that_cannot_be_timed_has_the_gpu_alone_and_it_is_said(monkeypatch, capsys):
    def timed(values, device):
        raise NoTrialError("its process has died")

    monkeypatch.setattr(pool, "trial", timed)
    assert execution._packed([planned(0), planned(1)], ["0"]) == ["0"]
    assert capsys.readouterr().out == "1 worker on each GPU: seed=1 cannot be timed (its process has died).\n"


class Threads:
    """multiprocessing's context, with threads for processes."""

    Pipe = staticmethod(multiprocessing.Pipe)

    class Process(threading.Thread):
        def __init__(self, target, args, daemon):
            theirs, *rest = args
            own = Connection(os.dup(theirs.fileno()))  # a process has its end for itself
            super().__init__(target=target, args=(own, *rest), daemon=daemon)

        def kill(self):
            raise AssertionError("it did not end by itself")


def test_a_trial_times_one_alone_and_two_at_a_time(monkeypatch):
    register_resolvers()
    monkeypatch.setattr(trial, "SECONDS", 0.1)
    typed = ["trainer=cpu", "threads=1", "model.stages=[1,1,1]", "model.widths=[4,8,8]", "data.batch_size=4"]
    values = cell.prepare(Composition.of(typed)).values
    found = trial.measured(values, {}, Threads)
    assert found.one > 0 and found.two > 0 and (found.free, found.peak) == (0, 0)


def test_a_trial_that_fails_says_why(monkeypatch):
    register_resolvers()
    values = cell.prepare(Composition.of(["trainer=cpu"])).values
    wrong = values | {"data": values["data"] | {"root": "nowhere", "source": {"_target_": "ablate.no_such"}}}
    with pytest.raises(NoTrialError, match="no_such"):
        trial.measured(wrong, {}, Threads)


@pytest.mark.parametrize(
    ("error", "so"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (MemoryError(), False),
    ],
)
def test_errors_of_too_little_memory(error, so):
    assert is_out_of_memory(error) is so


def test_long_cells_are_taken_first_and_equal_ones_in_their_order():
    def of(macs: int | None, epochs: int) -> PlannedCell:
        return PlannedCell({}, [], macs=macs, values={"trainer": {"max_epochs": epochs}})

    short, long, same, longest, unknown = of(10, 2), of(10, 4), of(40, 1), of(30, 2), of(None, 9)
    cells = [unknown, short, long, same, longest]
    assert [cells.index(c) for c in longest_first(cells)] == [4, 2, 3, 1, 0]
