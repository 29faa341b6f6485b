"""How often Python's garbage collector runs."""

import gc


def collect_rarely() -> None:
    """Run the garbage collector every 100,000 new objects instead of every 700.

    Imports and plans keep nearly everything they create. Searching it for garbage took a third of a command's start.
    """
    gc.set_threshold(100_000, 20, 20)
