"""How many workers share a GPU: decided from its free memory, what one run needs, and a timing of one against two."""

from dataclasses import dataclass

MARGIN = 1.3  # a run's evaluation, and the variation between cells, need more than the steps that were timed
CONTEXT = 600 * 2**20  # bytes of a process on a GPU beside what torch allocates: CUDA's context and kernels
USED = 0.95  # the share of the memory that all workers of a GPU may take together
GAIN = 1.1  # another worker must raise the steps per second of all together by this factor
MOST = 16  # workers on one GPU
SHORT = 1.5  # if two do this many times the steps of one, the steps are short: the processor cannot keep the GPU busy


@dataclass(frozen=True)
class Trial:
    """What was measured: bytes that are free before any worker starts, the most that torch allocated in one, and the
    steps per second of one alone, and of two at a time together."""

    free: int
    peak: int
    one: float
    two: float

    @property
    def speedup(self) -> float:
        return self.two / self.one

    @property
    def each(self) -> float:
        """Bytes that one worker needs."""
        return MARGIN * self.peak + CONTEXT


def workers(trial: Trial, cores: int) -> int:
    """The number of workers of one GPU, each with a core of its own: as many as fit into its memory, and each gains.

    n workers are taken to do n / (1 + (n - 1) c) times the steps of one (Amdahl's law, where c is the share of a step
    in which they wait for each other), with the c of two.
    """
    room = min(int(USED * trial.free / trial.each), cores, MOST)
    waiting = max(0.0, 2 / trial.speedup - 1)

    def throughput(count: int) -> float:
        return count / (1 + (count - 1) * waiting)

    count = 1
    while count < room and throughput(count + 1) >= GAIN * throughput(count):
        count += 1
    return count


def share(sharing: int, total: int) -> float:
    """The fraction of a GPU's `total` bytes that torch may allocate in each of its `sharing` workers: with CUDA's
    context in each, they take USED of it together. One that has the GPU alone may allocate all."""
    return max(0.0, USED / sharing - CONTEXT / total) if sharing > 1 else 1.0


def said(trial: Trial, count: int, gpus: int, compiled: bool) -> list[str]:
    """The decision in words, and what would make short steps shorter."""
    on = "the GPU" if gpus == 1 else f"each of {gpus} GPUs"
    many = "1 worker" if count == 1 else f"{count} workers"
    lines = [
        f"{many} on {on}: two at a time do {trial.speedup:.2f} times the steps of one; one needs"
        f" {trial.each / 2**30:.1f} of {trial.free / 2**30:.1f} GiB. hydra.launcher.workers=N sets another number."
    ]
    if trial.speedup >= SHORT and not compiled:
        lines.append(
            "The steps are short for this GPU: compile=reduce-overhead replays them as CUDA graphs. It may round in"
            " another order, so such runs have other fingerprints."
        )
    return lines
