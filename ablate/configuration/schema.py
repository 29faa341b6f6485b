"""The type and range of every value of a configuration, declared once.

An axis that is instantiated (`_target_`) may have any keys that its target takes. Those of them that are declared here
are checked here, and the others against the target's signature (assembly.part). Everything else must have exactly the
keys that are declared here.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ablate.configuration import whole
from ablate.configuration.rules import Blocks, Choice, Listed, Number, Part, Rule, Share, Word
from ablate.errors import InputError, WrongNameError, nearest

_FLAG = Choice((True, False))
_SEED = Number(0, whole=True)
_COUNT = Number(1, whole=True)
_OF_ONE = Number(0, below=1)
_NOT_NEGATIVE = Number(0)
_PIXELS = 16_384  # along one side
VARIED = ("init", "order", "split")  # what the seed can decide: initial weights, order of images, validation split
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")

# Axes whose options have a `_target_`.
INSTANTIATED = (
    *("block", "shortcut", "norm", "stem", "transition", "head", "placement", "activation", "init"),
    *("data", "optimizer", "schedule", "loss", "module", "trainer"),
)
# Axes that map names you choose to parts with a `_target_`.
MAPPINGS = ("metrics",)

# All keys of a configuration. Below an axis of INSTANTIATED, a key may be missing unless it is NEEDED, and there may be
# others.
TABLE: dict[str, Rule] = {
    "seed": _SEED,
    "vary": Listed(Choice(VARIED)),
    "conv_bias": _FLAG,
    "padding": Choice(("both", "same")),
    "label_smoothing": _OF_ONE,
    "weight_decay_on": Choice(("all", "weights")),
    "result": Choice(("last", "best")),
    "monitor": Word(),
    "monitor_goal": Choice((None, "maximize", "minimize")),
    "stop_hopeless": Number(above=0, below=1, words=(None,)),
    "threads": Number(1, 1024, whole=True, words=("auto", None)),
    "channels_last": _FLAG,
    "matmul_precision": Choice(("highest", "high", "medium")),
    "compile": Choice((None, *COMPILE_MODES)),
    "runs_dir": Word(),
    "rerun": _FLAG,
    "checkpoint.every_n_epochs": _COUNT,
    "checkpoint.every_n_steps": Number(1, whole=True, words=(None,)),
    "gradient_norms.every_n_steps": Number(0, whole=True),
    "gradient_norms.weights_every_n_steps": Number(0, whole=True),
    "gradient_norms.series": Choice(("few", "all")),
    "gradient_norms.pictures": _FLAG,
    # The limits of W&B's client and server.
    "tracking.mode": Choice(("offline", "online", "disabled")),
    "tracking.project": Word(most=128, without="/\\#?%:", null=True),
    "tracking.entity": Word(0, most=128, without="/\\#?%:", null=True),
    "tracking.name": Word(0, most=128, null=True),
    "tracking.group": Word(0, most=128, null=True),
    "tracking.tags": Listed(Word(most=64), null=True),
    "tracking.sweep": Word(null=True),
    "tracking.job_type": Word(0, most=64, null=True),
    "tracking.report_stored": _FLAG,
    "tracking.logger": Part(),
    "watchers": Listed(Part()),
    "model.stages": Blocks(),
    "model.widths": Listed(Number()),
    "block.depth": Number(most=100),
    "data.images": Word(null=True),
    "data.labels": Word(null=True),
    "data.test_images": Word(null=True),
    "data.test_labels": Word(null=True),
    "data.test_fraction": Number(above=0, below=1),
    "data.test_seed": Number(0, 2**32 - 1, whole=True),  # scikit-learn's
    "data.layout": Choice(("auto", "NHW", "NHWC", "NCHW")),
    "data.channels": _COUNT,
    "data.image_size": Number(1, _PIXELS, whole=True),
    "data.num_classes": _COUNT,
    "data.mean": Listed(Number(), null=True),
    "data.std": Listed(Number(above=0), null=True),
    "data.flip": _FLAG,
    "data.shift": Number(0, _PIXELS, whole=True),
    "data.batch_size": _COUNT,
    "data.eval_batch_size": _COUNT,
    "data.val_fraction": Number(above=0, below=1),
    "data.split_seed": _SEED,
    "data.seed": _SEED,
    "data.root": Word(null=True),
    "data.num_workers": Number(0, 1024, whole=True),
    "data.source.test_fraction": Number(above=0, below=1),
    "data.source.split_seed": Number(0, 2**32 - 1, whole=True),  # scikit-learn's
    "optimizer.lr": _NOT_NEGATIVE,
    "optimizer.momentum": _NOT_NEGATIVE,
    "optimizer.weight_decay": _NOT_NEGATIVE,
    "optimizer.eps": _NOT_NEGATIVE,
    "optimizer.betas": Listed(_OF_ONE, 2),
    "optimizer.nesterov": _FLAG,
    "optimizer.fused": Choice((True, False, None, "auto")),
    "schedule.warmup.fraction": _OF_ONE,
    "schedule.warmup.start": _OF_ONE,
    "trainer.accelerator": Word(),
    "trainer.max_epochs": Number(1, 10**9, whole=True),
    "trainer.accumulate_grad_batches": Number(1, 10**6, whole=True),
    "trainer.log_every_n_steps": _COUNT,
    "trainer.gradient_clip_val": Number(0, words=(None,)),
    "trainer.gradient_clip_algorithm": Choice(("norm", "value")),
    "trainer.limit_train_batches": Share(1),
    "trainer.limit_val_batches": Share(),
    "trainer.limit_test_batches": Share(),
}
NEEDED = {
    *("data.channels", "data.image_size", "data.num_classes", "data.root"),
    *("trainer.accelerator", "trainer.devices", "trainer.strategy", "trainer.precision", "trainer.max_epochs"),
    *("trainer.accumulate_grad_batches", "trainer.gradient_clip_val", "trainer.log_every_n_steps"),
    *(f"{axis}._target_" for axis in INSTANTIATED),
}

# Options that a user wrote for an earlier version do not have these.
_MAY_LACK = ("tracking.logger", "tracking.sweep")

# Names and folders: always text, even if they look like numbers.
WORDS = tuple(path for path, rule in TABLE.items() if isinstance(rule, Word) or path == "tracking.tags")


def check(values: Mapping[str, Any]) -> None:
    """Raise InputError for a value that is missing, of the wrong type or out of range."""
    its_own = whole.is_whole(values)  # then the model's keys are its target's arguments
    for parents, rules in _RULES:
        if its_own and parents and (parents[0] == "model" or (parents[0] in whole.PARTS and parents[0] not in values)):
            continue
        holder = _holder(values, parents)
        if holder is None:
            continue
        for key, path, rule, needed in rules:
            if key not in holder:
                if needed and not (its_own and path in whole.PARTS) and not (path == "data.root" and _is_own(holder)):
                    raise _missing(path, values)
            elif rule is not None and (expected := rule.refusal(holder[key])):
                raise InputError(f"{path}={_shown(holder[key])}: {expected}")


def _is_own(data: Mapping[str, Any]) -> bool:
    """Whether the data are a user's module or function, which need not have a folder."""
    return not str(data.get("_target_")).startswith("ablate.")


def _holder(values: Mapping[str, Any], parents: tuple[str, ...]) -> Mapping[str, Any] | None:
    """The mapping at `parents`; None if the option has no such part."""
    holder = values
    for depth, key in enumerate(parents):
        if key not in holder and depth == 0:
            raise _missing(key, values)
        holder = holder.get(key)  # type: ignore[assignment]
        if not isinstance(holder, Mapping):
            if depth == 0:
                raise InputError(f"{key}={_shown(holder)}: a mapping is expected; choose one of its options.")
            return None
    return holder


def check_keys(values: Mapping[str, Any]) -> None:
    """Raise WrongNameError for a key that nothing reads.

    values  the configuration before interpolations are resolved: a key that one of them refers to is read
    """
    for path, key, known in _unknown(values):
        if not _is_referred_to(path, values):
            raise WrongNameError(f"{path}: nothing reads this key.{suggestion(path, key, known)}")


def _unknown(values: Mapping[str, Any]) -> Iterator[tuple[str, str, Collection[str]]]:
    """The path and name of each unknown key, and the known keys of the same mapping."""
    for parents, known in _CLOSED.items():
        if parents == ("model",) and whole.is_whole(values):
            continue
        holder: Any = values
        for parent in parents:
            holder = holder.get(parent) if isinstance(holder, Mapping) else None
        for key in map(str, holder) if isinstance(holder, Mapping) else ():
            if key not in known:
                yield ".".join([*parents, key]), key, known


def suggestion(path: str, key: str, known: Collection[str], alike: bool = True) -> str:
    """Which key may have been meant: of the same mapping, of the same name elsewhere, or `alike`."""
    parent = path[: -len(key)]
    if near := nearest(key, known):
        return near.replace("mean ", f"mean {parent}", 1)
    places = [*TABLE, *NEEDED]
    if path in places:
        return f" Another option of {path.partition('.')[0]} has it."
    elsewhere = [place for place in places if place.rpartition(".")[2] == key]
    return f" Did you mean {' or '.join(elsewhere)}?" if elsewhere else nearest(path, places) * alike


def _is_referred_to(path: str, values: Mapping[str, Any]) -> bool:
    pattern = re.compile(rf"\$\{{\.*([\w.]+\.)?{re.escape(path.rpartition('.')[2])}\b")
    return any(pattern.search(text) for text in _texts(values))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _missing(path: str, values: Mapping[str, Any]) -> InputError:
    axis = path.partition(".")[0]
    own = values.get(axis)
    advice = f"Set another value instead of deleting it: leave out ~{path}."
    if path == "model.stages":
        advice = "A model's file has stages and widths, or a _target_ that is the whole network."
    elif axis == "data" and isinstance(own, Mapping) and isinstance(own.get("_target_"), str) and _is_own(own):
        advice = (
            "Write it into your data's file. That of a function starts with `defaults: [arrays, _self_]`, which sets"
            " the usual values."
        )
    return InputError(f"{path} is missing: every run needs it. {advice}")


def _shown(value: Any) -> str:
    words = {None: "null", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else str(value)
    return text if len(text) <= 80 else f"{text[:60]}…"


def _rules() -> list[tuple[tuple[str, ...], list[tuple[str, str, Rule | None, bool]]]]:
    """For each mapping of a configuration, its keys: name, path, rule, and whether it must be there."""
    rules: dict[tuple[str, ...], list[tuple[str, str, Rule | None, bool]]] = {}
    for path in dict.fromkeys([*TABLE, *sorted(NEEDED)]):
        *parents, key = path.split(".")
        needed = path in NEEDED or ((parents[:1] or [""])[0] not in INSTANTIATED and path not in _MAY_LACK)
        rules.setdefault(tuple(parents), []).append((key, path, TABLE.get(path), needed))
    return list(rules.items())


_RULES = _rules()
# The keys of each mapping that may have no others.
_CLOSED: dict[tuple[str, ...], set[str]] = {(): set(INSTANTIATED)} | {
    parents: {key for key, *_ in rules} for parents, rules in _RULES if parents and parents[0] not in INSTANTIATED
}
_CLOSED[()] |= {*MAPPINGS} | {key for key, *_ in dict(_RULES)[()]} | {parents[0] for parents in _CLOSED if parents}
