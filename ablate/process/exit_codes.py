"""The exit codes of a command. A run that diverged counts as done."""

from signal import SIGINT, SIGTERM

DONE, FAILED, WRONG_INPUT = 0, 1, 2


def by_signal(signum: int) -> int:
    """The exit code that shells report for a process ended by this signal."""
    return 128 + signum


CTRL_C = by_signal(SIGINT)
OUT_OF_TIME = by_signal(SIGTERM)  # as after a SIGTERM: the state is saved
