"""What an epoch comes to once the number of images is known: its batches, and when they are validated."""

from collections.abc import Mapping
from typing import Any

from ablate.errors import InputError


def limited(batches: int, limit: float | None) -> int:
    """How many of an epoch's batches Lightning takes: all, a share (a float) or a number (an int) of them."""
    if limit is None:
        return batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def check_epoch(cfg: Mapping[str, Any], batches: int, by_validation: bool) -> None:
    """Raise InputError where validations do not come when the configuration needs them.

    batches        of the training set
    by_validation  whether the schedule goes by the validation at each epoch's end
    """
    trainer = cfg["trainer"]
    taken = limited(batches, trainer.get("limit_train_batches"))
    if taken < 1:
        raise InputError(
            f"trainer.limit_train_batches={trainer['limit_train_batches']}: of {batches} batches an epoch that leaves"
            " none to train on."
        )
    interval, every = trainer.get("val_check_interval"), trainer.get("check_val_every_n_epoch", 1)
    said = f"trainer.val_check_interval={interval}"
    if isinstance(interval, int) and interval > taken and every is not None:
        raise InputError(f"{said}: an epoch has {taken} batches. Give at most as many, or a part of an epoch.")
    first = interval if isinstance(interval, int) else max(1, int(taken * (1.0 if interval is None else interval)))
    if by_validation and taken % first:
        raise InputError(
            f"The schedule goes by the validation at the end of each epoch and clashes with {said}: of {taken} batches"
            f" number {taken - taken % first} is the last that is validated after. Use a number that divides {taken}."
        )
    if cfg["result"] == "best" and not _is_reached(first + ((every or 1) - 1) * taken, taken, trainer):
        raise InputError(
            f"result=best: training ends before the first validation, after batch {first} of an epoch of {taken}. Train"
            " for longer, or set trainer.val_check_interval."
        )


def _is_reached(batch: int, of_epoch: int, trainer: Mapping[str, Any]) -> bool:
    """Whether training goes on to this batch, counted from 1 over all epochs; after its last step nothing follows."""
    together, most = trainer["accumulate_grad_batches"], trainer.get("max_steps", -1)
    epochs, rest = divmod(batch - 1, of_epoch)
    steps_before = epochs * -(-of_epoch // together) + rest // together
    return batch <= trainer["max_epochs"] * of_epoch and (most == -1 or steps_before < most)
