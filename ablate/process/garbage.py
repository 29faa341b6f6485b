"""How often Python looks for garbage that refers to itself."""

import gc


def collect_rarely() -> None:
    """Look for garbage once in 100,000 new objects, not in 700. Imports and plans keep nearly all that they make, and
    to look through it again and again was a third of a command's start."""
    gc.set_threshold(100_000, 20, 20)
