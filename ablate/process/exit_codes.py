"""What the process ends with. A diverged run is done."""

from signal import SIGINT, SIGTERM

DONE, FAILED, WRONG_INPUT = 0, 1, 2


def by_signal(signum: int) -> int:
    """The code of a process that a signal has ended, as shells have it."""
    return 128 + signum


CTRL_C = by_signal(SIGINT)
OUT_OF_TIME = by_signal(SIGTERM)  # as after a polite kill: the state is saved
