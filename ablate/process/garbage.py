"""How often Python looks for garbage that refers to itself."""

import gc


def collect_rarely() -> None:
    """Let Python look for garbage once in 100,000 new objects instead of once in 700.

    Imports and plans keep nearly everything that they create. Looking through it took a third of a command's start.
    """
    gc.set_threshold(100_000, 20, 20)
