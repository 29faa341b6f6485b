"""How many workers share a GPU, how that is measured, and in which order they take cells."""

import multiprocessing
import os
import threading
from multiprocessing.connection import Connection

import pytest
import torch
from omegaconf import OmegaConf

from ablate.configuration.composition import Composition
from ablate.configuration.resolvers import register_resolvers
from ablate.errors import described, is_out_of_gpu_memory
from ablate.process import processors
from ablate.runs import cell
from ablate.sweep import execution, timing
from ablate.sweep.engines import packing, pool, trial
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
    assert packing.share(1, 80 * GIB) == 1.0
    for count in (2, 5, 16):  # with a context of 600 MiB in each, all together stay within 95%
        assert count * (packing.share(count, 80 * GIB) * 80 * GIB + 600 * 2**20) == pytest.approx(0.95 * 80 * GIB)
    assert packing.share(16, 8 * GIB) == 0.0  # not even the contexts have room


def test_short_steps_are_offered_cuda_graphs_and_nothing_is_switched_on():
    short, long = (packing.Trial(80 * GIB, GIB, 100.0, two) for two in (190.0, 110.0))
    assert "compile=reduce-overhead" in packing.said(short, 4, 1, compiled=False)[1]
    assert len(packing.said(short, 4, 1, compiled=True)) == len(packing.said(long, 1, 1, compiled=False)) == 1
    assert packing.said(short, 4, 1, compiled=True)[0].startswith("4 workers on the GPU: two at a time do 1.90 times")


def planned(number, macs=None, **others):
    trainer = {"accelerator": "gpu", "devices": 1, "precision": "32-true"}
    values = {"trainer": trainer, "data": {"batch_size": 8}, "compile": None, "threads": None} | others
    return PlannedCell({"seed": number}, [], values=values, macs=macs or 10 + number)


@pytest.fixture
def trials(monkeypatch):
    """The cells' values that were timed, and on which GPU, on a machine of 16 cores; two at a time do 1.6 times as much
    as one."""
    seen = []

    def timed(values, device):
        seen.append((values, device))
        return packing.Trial(80 * GIB, GIB, 100.0, 160.0)

    monkeypatch.setattr(pool, "trial", timed)
    monkeypatch.setattr(execution, "_trials", {})
    monkeypatch.setattr(processors, "usable", lambda: 16)
    return seen


def test_auto_packs_the_workers_that_the_largest_cell_allows(trials, capsys):
    cells = [planned(number) for number in range(12)]
    assert execution._packed(cells, ["2", "3"]) == ["2", "3"] * 4
    assert trials == [(cells[-1].values, "2")]
    assert execution._packed(cells[5:], ["2", "3"]) == ["2", "3"] * 4 and len(trials) == 1  # a later round
    assert capsys.readouterr().out.startswith("4 workers on each of 2 GPUs: two at a time do 1.60 times")
    assert execution._packed(cells[:2], ["2", "3"]) == ["2", "3"]
    assert execution._packed(cells, ["0,1", "2,3"]) == ["0,1", "2,3"] and len(trials) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"trainer": {"accelerator": "gpu", "devices": 1, "precision": "16-mixed"}},
        {"compile": "default"},
        {"optimizer": {"_target_": "torch.optim.AdamW"}},
        {"matmul_precision": "highest"},
        {"data": {"batch_size": 16}},
    ],
)
def test_cells_whose_steps_are_of_another_kind_are_timed_anew(trials, other):
    for _ in range(2):
        for kind in ({}, other):
            execution._packed([planned(number, macs=10, **kind) for number in range(3)], ["0"])
    assert len(trials) == 2


def test_a_cell_on_the_cpu_is_not_timed_for_the_gpu(trials):
    large = planned(0, macs=10**9, trainer={"accelerator": "cpu", "devices": 1, "precision": "32-true"}, threads=1)
    small = planned(1)
    assert execution._packed([large, small], ["0"]) == ["0"] * 4
    assert trials == [(small.values, "0")]


def test_processes_that_read_files_need_cores_too(trials):
    """16 cores are enough for 3 workers of one core and 4 processes that read."""
    cells = [planned(number, data={"batch_size": 8, "num_workers": 4}) for number in range(9)]
    assert execution._packed(cells, ["0"]) == ["0"] * 3


def test_a_cell_that_cannot_be_timed_has_the_gpu_alone_and_it_is_said(trials, monkeypatch, capsys):
    tried = []

    def timed(values, device):
        tried.append(values)
        raise NoTrialError("its process has died")

    monkeypatch.setattr(pool, "trial", timed)
    for _ in range(2):  # it is tried once
        assert execution._packed([planned(0), planned(1)], ["0"]) == ["0"]
        assert capsys.readouterr().out == "1 worker on each GPU: seed=1 cannot be timed (its process has died).\n"
    assert len(tried) == 1


@pytest.mark.parametrize(
    ("gpus", "threads", "count", "each"),
    [
        (["0"], None, 9, 16),
        (["0"] * 4, None, 9, 4),
        (["0"] * 4, None, 2, 8),  # there are only two
        (["0"] * 32, None, 99, 1),
        (["0"] * 4, 3, 9, 3),  # a cell on the CPU has said so
    ],
)
def test_workers_on_gpus_divide_the_cores(monkeypatch, trials, tmp_path, gpus, threads, count, each):
    made = []

    class Idle:
        def __init__(self, workers, threads, gpus, logs):
            made.append((workers, threads))

        def run(self, cells, view):
            pass

    monkeypatch.setattr(execution, "Pool", Idle)
    monkeypatch.setattr(execution, "_shares", lambda *asked: (gpus, len(gpus)))
    cells = [planned(number, threads=threads) for number in range(count)]
    for one in cells:
        one.fingerprint = "0123"
        one.values |= {"runs_dir": str(tmp_path)}
        one.values["trainer"]["max_epochs"] = 1
    execution._in_pool(cells, OmegaConf.create({"workers": len(gpus)}), view=None)
    assert made == [(len(gpus), each)]


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


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("mode", [None, "default"])
def test_a_trials_steps_are_those_of_the_cell(monkeypatch, mode, precision):
    """Compiled as the run is, and multiplied in its types. The plan's estimate does not wait for a compiler."""
    register_resolvers()
    small = ["model.stages=[1,1,1]", "model.widths=[4,8,8]", "data.batch_size=4", "matmul_precision=highest"]
    typed = ["trainer=cpu", "threads=1", *small, f"trainer.precision={precision}", f"compile={mode or 'null'}"]
    values = cell.prepare(Composition.of(typed)).values
    compiled, types = [], set()
    monkeypatch.setattr(torch.nn.Module, "compile", lambda network, mode: compiled.append(mode))

    def seen(module, inputs, output):
        if isinstance(module, torch.nn.Conv2d):
            types.add(output.dtype)

    torch.set_float32_matmul_precision("high")
    step, _ = trial._loaded(values)
    assert compiled == [mode] * (mode is not None)
    assert torch.get_float32_matmul_precision() == "highest"
    with torch.nn.modules.module.register_module_forward_hook(seen):
        step()
    assert types == {torch.bfloat16 if precision == "bf16-mixed" else torch.float32}
    assert timing.training(values) is not None and len(compiled) == (mode is not None)


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
    assert is_out_of_gpu_memory(error) is so


def test_the_last_line_of_such_an_error_says_what_to_do():
    """The line that a sweep shows: torch ends its own message with advice on debugging."""
    error = RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA` to enable assertions.")
    assert described(error).splitlines()[-1].startswith("Out of memory. Try a smaller data.batch_size")


def test_long_cells_are_taken_first_and_equal_ones_in_their_order():
    def of(macs: int | None, epochs: int) -> PlannedCell:
        return PlannedCell({}, [], macs=macs, values={"trainer": {"max_epochs": epochs}})

    short, long, same, longest, unknown = of(10, 2), of(10, 4), of(40, 1), of(30, 2), of(None, 9)
    cells = [unknown, short, long, same, longest]
    assert [cells.index(c) for c in longest_first(cells)] == [4, 2, 3, 1, 0]
