"""Replaces `auto` by what this machine uses, and refuses values that no run can have.

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

CUDA_GRAPHS = ("reduce-overhead", "max-autotune")  # compile modes that use CUDA graphs on a GPU


# Lightning's alternative names, and the name that is recorded, so that equal settings have equal fingerprints.
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
ACCELERATORS = {"cuda": "gpu"}

_FEW = 8  # a run may have this many processes on any CPU

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
    """The resolved values of the keys in AUTO, by path. A job on another machine gets them, so that it does not resolve
    `auto` itself."""
    return {path: at(values, path) for path in AUTO if path != "optimizer.fused" or "fused" in values["optimizer"]}


def resolve_in_sweep(values: dict[str, Any], typed: Container[str], *, elsewhere: bool = False) -> int | None:
    """Like `resolve_auto`, for a cell of a sweep: `threads: auto` means one thread, unless `threads` was typed.

    typed  keys of the overrides

    Cells run in parallel, and two processes with one thread each do more than one process with two. The number does not
    depend on how many cells or cores there are, so you can extend the grid or add machines later.

    Returns the number of threads if this rule has set it: it is then an override of the cell. None otherwise, and on a
    GPU.
    """
    is_default = values["threads"] == "auto" and "threads" not in typed
    resolve_auto(values, elsewhere=elsewhere, one_thread=is_default)
    return values["threads"] if is_default else None


def resolve_auto(values: dict[str, Any], *, elsewhere: bool = False, one_thread: bool = False) -> None:
    """Replace every `auto` in place: accelerator, devices, strategy, precision, fused optimizer, threads.

    Lightning's alternative names of an accelerator or a precision (cuda, 16) become the recorded ones, and the data's
    seeds become what `vary` says.

    values      the resolved configuration as plain values
    elsewhere   the run is for another machine: this one need not have the GPUs
    one_thread  `threads: auto` means one thread, as in a sweep, instead of all cores of this machine

    Raises InputError for a precision that images cannot have, for an accelerator or a number of devices that this
    machine does not have, and, with `elsewhere`, for an `auto` that only the other machine can resolve.
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
    cores = len(os.sched_getaffinity(0))
    if not on_gpu and not elsewhere and trainer["devices"] > max(_FEW, cores):
        raise InputError(
            f"trainer.devices={trainer['devices']}: use at most {max(_FEW, cores)} processes here, where this one may"
            f" run on {cores} cores."
        )
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
    # A fused step divides by the loss scale itself, which is too late for clipping. Lightning refuses the two together
    # under bf16-mixed as well, although nothing is scaled there.
    clips_mixed = trainer["precision"] in ("16-mixed", "bf16-mixed") and bool(trainer["gradient_clip_val"])
    if optimizer.get("fused") == "auto":
        # Not under a loss scaler either: if the first step is skipped, torch's fused SGD does not set its momentum.
        optimizer["fused"] = not clips_mixed and trainer["precision"] != "16-mixed"
    if clips_mixed and optimizer.get("fused"):
        raise InputError(
            f"optimizer.fused=true clashes with trainer.gradient_clip_val={trainer['gradient_clip_val']} under"
            f" trainer.precision={trainer['precision']}. Use optimizer.fused=auto, or trainer.precision=32-true."
        )
    # A CUDA graph's gradients are in its own memory, which its next run overwrites: sums over several batches would be
    # wrong (pytorch/pytorch issues 169545 and 96693). Without accumulation they are used before that.
    if on_gpu and values["compile"] in CUDA_GRAPHS and trainer["accumulate_grad_batches"] > 1:
        raise InputError(
            f"compile={values['compile']} clashes with trainer.accumulate_grad_batches="
            f"{trainer['accumulate_grad_batches']} on a GPU. Use compile=default or max-autotune-no-cudagraphs."
        )
    _vary(values)
    # Threads of each process. On a GPU they do not affect the result.
    if on_gpu:
        values["threads"] = None
    elif values["threads"] == "auto":
        values["threads"] = 1 if one_thread else max(1, processors.usable() // trainer["devices"])


def _vary(values: dict[str, Any]) -> None:
    """Set the data's seeds as `vary` says, in place. Raises InputError if `vary` is empty, repeats a word, or names a
    split that the data do not have."""
    vary, data = values["vary"], values["data"]
    if not vary or len(set(vary)) < len(vary):
        raise InputError(
            f"vary={vary}: list what the seed decides, each once: {', '.join(schema.VARIED)}.".replace("'", "")
        )
    values["vary"] = [word for word in schema.VARIED if word in vary]  # in whatever order they were typed
    if "order" not in vary and data.get("seed") == values["seed"]:  # it follows the seed
        data["seed"] = 0
    if "split" in vary:
        if "split_seed" not in data:
            raise InputError("vary names the split, but these data have no data.split_seed: their split is fixed.")
        data["split_seed"] += values["seed"]


def _precision(trainer: Mapping[str, Any]) -> str | None:
    """The precision's recorded name, or auto; None if a plugin of the user's decides it."""
    given = trainer["precision"]
    if given is None and trainer.get("plugins"):
        return None
    name = "32-true" if given is None else PRECISIONS.get(str(given), given)
    if name not in ("auto", *PRECISIONS.values()):
        raise InputError(
            f"trainer.precision={given}: choose one of auto, {', '.join(PRECISIONS.values())}. Images are float32, so"
            " the network's weights must be too."
        )
    return str(name)


# Importing torch takes a second, so it is only imported if there may be a GPU.
@cache
def _gpus() -> int:
    if not has_gpu_driver():
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def has_gpu_driver() -> bool:
    """Whether NVIDIA's or AMD's driver is installed. Without one, torch finds no GPU."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()
    return True


@cache
def _has_bf16(on_gpu: bool) -> bool:
    """Whether the hardware multiplies bfloat16 faster than float32: only then is autocast faster."""
    if on_gpu:
        import torch

        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return multiplies_bf16(cpuinfo)


def multiplies_bf16(cpuinfo: str) -> bool:
    """Whether a processor with this /proc/cpuinfo multiplies bfloat16 faster than float32.

    AMX does, and AVX-512's instruction on AMD's processors. On Intel's it has the speed of float32 or less: on a Xeon
    whose host withholds AMX, matrix products take 1.7 and convolutions 1.8 times as long in bfloat16.
    """
    return bool(re.search(r"\bamx_bf16\b", cpuinfo) or re.search(r"\bAuthenticAMD\b[\s\S]*\bavx512_bf16\b", cpuinfo))


def check_values(cfg: Mapping[str, Any]) -> None:
    """Raise InputError for a value that no run can have."""
    schema.check(cfg)
    if cfg.get("result") == "best":
        check_validated("result=best", cfg["trainer"], every_epoch=False)


def check_validated(choice: str, trainer: Mapping[str, Any], every_epoch: bool = True) -> None:
    """Raise InputError if `choice` needs validations (after every epoch, or some) and `trainer` leaves them out."""
    left_out = {
        "limit_val_batches": trainer.get("limit_val_batches") == 0,
        "check_val_every_n_epoch": every_epoch and trainer.get("check_val_every_n_epoch", 1) != 1,
    }
    for name in (name for name, leaves_out in left_out.items() if leaves_out):
        raise InputError(
            f"{choice} needs a validation{' after each epoch' * every_epoch} and clashes with"
            f" trainer.{name}={trainer[name]}: leave one of the two out."
        )
