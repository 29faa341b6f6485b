"""What is said of a run that raised."""

import traceback


def described(error: BaseException) -> str:
    """The traceback, and under it what to try, where that is known."""
    text = "".join(traceback.format_exception(error)).rstrip()
    return f"{text}\n{_OUT_OF_MEMORY}" if _is_out_of_memory(error) else text


_OUT_OF_MEMORY = (
    "Out of memory. Try a smaller data.batch_size (trainer.accumulate_grad_batches keeps the product),"
    " trainer.precision=bf16-mixed, or fewer runs at once (hydra.launcher.workers)."
)


def _is_out_of_memory(error: BaseException) -> bool:
    # torch's own by its name: the command line says what went wrong without torch too, which takes seconds to load.
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(error)
