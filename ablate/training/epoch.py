"""The batches and steps of an epoch, and whether validations come when a run needs them."""

from collections.abc import Mapping
from typing import Any

from ablate.errors import InputError


def limited(batches: int, limit: float | None) -> int:
    """How many of an epoch's batches Lightning uses. `limit`: a share (float), a number (int), or None for all."""
    if limit is None:
        return batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def resumed_at(step: int, trainer: Mapping[str, Any], batches: int) -> str:
    """In words, where a training goes on after `step` optimizer steps.

    trainer  its configuration
    batches  batches of the training set in an epoch
    """
    taken = limited(batches, trainer.get("limit_train_batches"))
    each, epochs = max(1, -(-taken // trainer["accumulate_grad_batches"])), trainer["max_epochs"]
    most = trainer.get("max_steps", -1)
    of = each * epochs if most == -1 else min(each * epochs, most)
    if step >= of:
        return f"after the last of {of:,} steps"
    return f"in epoch {step // each + 1}/{epochs} (step {step + 1:,} of {of:,})"


def check_epoch(cfg: Mapping[str, Any], batches: int, by_validation: bool) -> None:
    """Raise InputError if a validation that the configuration needs would not take place.

    batches        batches of the training set in an epoch
    by_validation  whether the schedule needs a validation at the end of each epoch
    """
    trainer = cfg["trainer"]
    taken = limited(batches, trainer.get("limit_train_batches"))
    if taken < 1:
        raise InputError(
            f"trainer.limit_train_batches={trainer['limit_train_batches']}: an epoch has {batches} batches, and this"
            " leaves none to train on."
        )
    interval, every = trainer.get("val_check_interval"), trainer.get("check_val_every_n_epoch", 1)
    setting = f"trainer.val_check_interval={interval}"
    if isinstance(interval, int) and interval > taken and every is not None:
        raise InputError(f"{setting}: an epoch has only {taken} batches. Use at most {taken}, or a share such as 0.5.")
    first = interval if isinstance(interval, int) else max(1, int(taken * (1.0 if interval is None else interval)))
    if by_validation and taken % first:
        raise InputError(
            f"The schedule needs a validation at the end of each epoch and clashes with {setting}: of {taken} batches,"
            f" the last validation comes after number {taken - taken % first}. Use a number that divides {taken}."
        )
    if cfg["result"] == "best" and not _is_reached(first + ((every or 1) - 1) * taken, taken, trainer):
        raise InputError(
            f"result=best: training ends before the first validation, after batch {first} of an epoch of {taken}. Train"
            " for longer, or set trainer.val_check_interval."
        )


def _is_reached(batch: int, of_epoch: int, trainer: Mapping[str, Any]) -> bool:
    """Whether training reaches this batch, counted from 1 over all epochs, before its last step."""
    together, most = trainer["accumulate_grad_batches"], trainer.get("max_steps", -1)
    epochs, rest = divmod(batch - 1, of_epoch)
    steps_before = epochs * -(-of_epoch // together) + rest // together
    return batch <= trainer["max_epochs"] * of_epoch and (most == -1 or steps_before < most)
