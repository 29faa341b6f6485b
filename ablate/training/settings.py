"""What `auto` stands for on this machine, and which values make no sense.

A resolved configuration says exactly how a run computes, so that equal configurations give equal results.
"""

import ctypes
import os
import re
from collections.abc import Container, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ablate.configuration import schema
from ablate.configuration.values import at
from ablate.errors import InputError
from ablate.process import processors

CUDA_GRAPHS = ("reduce-overhead", "max-autotune")  # those that replay recorded kernels on a GPU


# Lightning's own other names, by the one that is recorded: one way to compute has one fingerprint.
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
ACCELERATORS = {"cuda": "gpu"}

_FEW = 8  # processes of one run on a CPU, which any machine stands

# The values that may be `auto`.
AUTO = (
    "trainer.accelerator",
    "trainer.devices",
    "trainer.strategy",
    "trainer.precision",
    "optimizer.fused",
    "threads",
)


def pinned(values: Mapping[str, Any]) -> dict[str, Any]:
    """What `auto` came to stand for in these values, by path: a job on another machine must not decide it anew."""
    return {path: at(values, path) for path in AUTO if path != "optimizer.fused" or "fused" in values["optimizer"]}


def resolve_in_sweep(values: dict[str, Any], typed: Container[str], *, elsewhere: bool = False) -> int | None:
    """As `resolve_auto`, for a cell of a sweep: with one thread where neither what was `typed`, by its keys, nor an
    option says how many.

    Cells run beside each other, and two processes of one thread do more than one of two. The rule asks neither how
    many cells there are nor how many cores: a grid may grow, and any machine may take part.

    Returns the number of threads where nobody has said it: the cell on its own takes it as an override. On a GPU there
    is none.
    """
    is_unsaid = values["threads"] == "auto" and "threads" not in typed
    resolve_auto(values, elsewhere=elsewhere, one_thread=is_unsaid)
    return values["threads"] if is_unsaid else None


def resolve_auto(values: dict[str, Any], *, elsewhere: bool = False, one_thread: bool = False) -> None:
    """Replace every `auto` in place: accelerator, devices, precision, fused optimizer, threads. Lightning's other
    names for an accelerator or a precision (cuda, 16) become the ones that are recorded, and the data's seeds what
    `vary` makes of them.

    values      the resolved configuration as plain values
    elsewhere   the run is for another machine: GPUs that are asked for need not be here
    one_thread  `threads: auto` is one, as in a sweep that does not say `threads`, rather than all of this machine's

    Raises InputError for a precision that images do not have, for an accelerator or a number of devices that this
    machine does not have, or, elsewhere, for what cannot be known from here.
    """
    trainer, optimizer = values["trainer"], values["optimizer"]
    trainer["accelerator"] = ACCELERATORS.get(trainer["accelerator"], trainer["accelerator"])
    trainer["precision"] = _precision(trainer)
    gpus = _gpus() if trainer["accelerator"] in ("auto", "gpu") else 0
    if elsewhere and trainer["accelerator"] == "gpu" and gpus == 0:
        for key, advice in (("precision", "bf16-mixed or 32-true"), ("devices", "a number")):
            if trainer[key] == "auto":
                raise InputError(f"trainer.{key}=auto: the other machine's GPU is not known here; give {advice}.")
        gpus = int(trainer["devices"])
    if trainer["accelerator"] == "auto":
        trainer["accelerator"] = "gpu" if gpus else "cpu"
    on_gpu = trainer["accelerator"] == "gpu"
    if on_gpu and not gpus:
        raise InputError(
            f"trainer.accelerator={trainer['accelerator']}: torch finds no GPU on this machine. Use trainer=cpu, or"
            " trainer=auto, which takes a GPU where there is one."
        )
    if trainer["devices"] in ("auto", -1, "-1"):
        trainer["devices"] = max(1, gpus) if on_gpu else 1
    if not isinstance(trainer["devices"], int) or trainer["devices"] < 1:
        raise InputError(f"trainer.devices={trainer['devices']}: give a number of devices, at least 1, or auto.")
    if not on_gpu and not elsewhere and trainer["devices"] > max(_FEW, len(os.sched_getaffinity(0))):
        raise InputError(f"trainer.devices={trainer['devices']}: this machine has {os.cpu_count()} cores.")
    if on_gpu and trainer["devices"] > gpus:
        raise InputError(f"trainer.devices={trainer['devices']}: this machine has {gpus} GPU(s).")
    if trainer["devices"] == 1 or trainer["strategy"] == "auto":
        trainer["strategy"] = "auto" if trainer["devices"] == 1 else "ddp"
    if trainer["precision"] == "auto":
        trainer["precision"] = "bf16-mixed" if _has_bf16(on_gpu) else "32-true"
    if trainer["precision"] == "16-mixed" and trainer["accelerator"] == "cpu":
        raise InputError(
            "trainer.precision=16-mixed: on a CPU Lightning computes bf16-mixed under that name. Use bf16-mixed, or"
            " 32-true."
        )
    # A fused step divides by the loss scale itself, too late for clipping; Lightning refuses the two under
    # bf16-mixed as well, where nothing is scaled.
    clips_mixed = trainer["precision"] in ("16-mixed", "bf16-mixed") and bool(trainer["gradient_clip_val"])
    if optimizer.get("fused") == "auto":
        # Nor under a loss scaler: torch's fused SGD leaves its momentum uninitialised where the first step is skipped.
        optimizer["fused"] = not clips_mixed and trainer["precision"] != "16-mixed"
    if clips_mixed and optimizer.get("fused"):
        raise InputError(
            f"optimizer.fused=true clashes with trainer.gradient_clip_val={trainer['gradient_clip_val']} under"
            f" trainer.precision={trainer['precision']}. Use optimizer.fused=auto, or trainer.precision=32-true."
        )
    # A graph's gradients lie in its own memory, which its next run overwrites: sums over several would be wrong
    # (pytorch/pytorch issues 169545 and 96693). They are read and used up before that otherwise.
    if on_gpu and values["compile"] in CUDA_GRAPHS and trainer["accumulate_grad_batches"] > 1:
        raise InputError(
            f"compile={values['compile']} clashes with trainer.accumulate_grad_batches="
            f"{trainer['accumulate_grad_batches']} on a GPU. Use compile=default or max-autotune-no-cudagraphs."
        )
    _vary(values)
    # One process's threads; on a GPU they compute nothing that ends up in the result.
    if on_gpu:
        values["threads"] = None
    elif values["threads"] == "auto":
        values["threads"] = 1 if one_thread else max(1, processors.usable() // trainer["devices"])


def _vary(values: dict[str, Any]) -> None:
    """The data's seeds as `vary` has them, in place. Raises InputError where it names nothing, or what there is not."""
    vary, data = values["vary"], values["data"]
    if not vary or len(set(vary)) < len(vary):
        raise InputError(
            f"vary={vary}: name what a seed changes, each once: {', '.join(schema.VARIED)}.".replace("'", "")
        )
    values["vary"] = [word for word in schema.VARIED if word in vary]  # in whatever order they were typed
    if "order" not in vary and data.get("seed") == values["seed"]:  # it follows the seed
        data["seed"] = 0
    if "split" in vary:
        if "split_seed" not in data:
            raise InputError("vary names the split, but these data have no data.split_seed: their split is their own.")
        data["split_seed"] += values["seed"]


def _precision(trainer: Mapping[str, Any]) -> str | None:
    """The precision by its recorded name, or auto; None where a plugin of the user's decides it."""
    given = trainer["precision"]
    if given is None and trainer.get("plugins"):
        return None
    name = "32-true" if given is None else PRECISIONS.get(str(given), given)
    if name not in ("auto", *PRECISIONS.values()):
        raise InputError(
            f"trainer.precision={given}: choose one of auto, {', '.join(PRECISIONS.values())}. Images are float32: they"
            " fit no network of another type."
        )
    return str(name)


# torch takes a second to import, which plans and reports spare: it is asked only where there may be a GPU.
@cache
def _gpus() -> int:
    if not _has_gpu_driver():
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _has_gpu_driver() -> bool:
    """Whether there is a driver without which torch finds no GPU: NVIDIA's, or AMD's."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()
    return True


@cache
def _has_bf16(on_gpu: bool) -> bool:
    """Whether the hardware multiplies bfloat16 natively, where autocast gains speed."""
    if on_gpu:
        import torch

        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_tile)\b", cpuinfo) is not None


def check_values(cfg: Mapping[str, Any]) -> None:
    """Raise InputError for a value that no run can have."""
    schema.check(cfg)
    if cfg.get("result") == "best":
        check_validated("result=best", cfg["trainer"], every_epoch=False)


def check_validated(choice: str, trainer: Mapping[str, Any], every_epoch: bool = True) -> None:
    """Raise InputError where `choice` needs validations, of every epoch or of some, and `trainer` leaves them out."""
    left_out = {
        "limit_val_batches": trainer.get("limit_val_batches") == 0,
        "check_val_every_n_epoch": every_epoch and trainer.get("check_val_every_n_epoch", 1) != 1,
    }
    for name in (name for name, leaves_out in left_out.items() if leaves_out):
        raise InputError(
            f"{choice} goes by the validation{' after each epoch' * every_epoch} and clashes with"
            f" trainer.{name}={trainer[name]}: leave one of the two out."
        )
