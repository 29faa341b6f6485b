"""When Python's garbage collector runs."""

import gc


def collect_rarely() -> None:
    """Run the garbage collector every 100,000 new objects instead of every 700.

    Imports and plans keep nearly everything they create. Searching it for garbage took a third of a command's start.
    """
    gc.set_threshold(100_000, 20, 20)


def leave_to_the_system() -> None:
    """Call it last: the objects that are alive are not searched for garbage at the interpreter's exit.

    After an import of torch, Lightning and W&B that search takes a second, for memory that the system takes back
    anyway. What waits for the exit (`atexit`) is called as ever; a file must have been closed, as all of a run's are.
    """
    gc.freeze()
