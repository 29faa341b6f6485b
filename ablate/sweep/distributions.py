"""Random values for a sweep's parameters: the distributions of W&B's sweep format."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ablate.errors import InputError, nearest

Spec = Mapping[str, Any]
Draw = Callable[[np.random.Generator, Spec], Any]


def _uniform(rng: np.random.Generator, spec: Spec) -> float:
    return float(rng.uniform(spec["min"], spec["max"]))


def _log_uniform(rng: np.random.Generator, spec: Spec) -> float:
    """`min` and `max` are natural logarithms of the value."""
    return float(np.exp(rng.uniform(spec["min"], spec["max"])))


def _log_uniform_values(rng: np.random.Generator, spec: Spec) -> float:
    return float(np.exp(rng.uniform(np.log(spec["min"]), np.log(spec["max"]))))


def _inv_log_uniform_values(rng: np.random.Generator, spec: Spec) -> float:
    """log(1/x) is uniform between log(1/max) and log(1/min)."""
    return float(1 / np.exp(rng.uniform(-np.log(spec["max"]), -np.log(spec["min"]))))


def _normal(rng: np.random.Generator, spec: Spec) -> float:
    return float(rng.normal(spec.get("mu", 0.0), spec.get("sigma", 1.0)))


def _log_normal(rng: np.random.Generator, spec: Spec) -> float:
    return float(np.exp(_normal(rng, spec)))


def _int_uniform(rng: np.random.Generator, spec: Spec) -> int:
    return int(rng.integers(spec["min"], spec["max"], endpoint=True))


def _beta(rng: np.random.Generator, spec: Spec) -> float:
    return float(rng.beta(spec.get("a", 1), spec.get("b", 1)))


def _categorical(rng: np.random.Generator, spec: Spec) -> Any:
    return spec["values"][int(rng.choice(len(spec["values"]), p=spec.get("probabilities")))]


def _rounded(continuous: Draw) -> Draw:
    def rounded(rng: np.random.Generator, spec: Spec) -> float:
        q = spec.get("q", 1)
        value = round(continuous(rng, spec) / q) * q
        return int(value) if isinstance(q, int) else float(value)

    return rounded


_DISTRIBUTIONS: dict[str, Draw] = {
    "constant": lambda _, spec: spec["value"],
    "categorical": _categorical,
    "categorical_w_probabilities": _categorical,
    "int_uniform": _int_uniform,
    "uniform": _uniform,
    "q_uniform": _rounded(_uniform),
    "log_uniform": _log_uniform,
    "log_uniform_values": _log_uniform_values,
    "q_log_uniform": _rounded(_log_uniform),
    "q_log_uniform_values": _rounded(_log_uniform_values),
    "inv_log_uniform_values": _inv_log_uniform_values,
    "normal": _normal,
    "q_normal": _rounded(_normal),
    "log_normal": _log_normal,
    "q_log_normal": _rounded(_log_normal),
    "beta": _beta,
    "q_beta": _rounded(_beta),
}


# The keys that W&B's schema (wandb/sweeps, config/schema.json) has for each kind of parameter.
_BOUNDS, _NORMAL, _BETA = ("min", "max"), ("mu", "sigma"), ("a", "b")
_KEYS: dict[str, tuple[str, ...]] = {
    "parameters": ("parameters",),
    "constant": ("value",),
    "categorical": ("values", "probabilities"),
    "categorical_w_probabilities": ("values", "probabilities"),
    **dict.fromkeys((kind for kind in _DISTRIBUTIONS if "uniform" in kind), _BOUNDS),
    **dict.fromkeys((kind for kind in _DISTRIBUTIONS if "normal" in kind), _NORMAL),
    **dict.fromkeys((kind for kind in _DISTRIBUTIONS if "beta" in kind), _BETA),
}
# No learning rate, width or batch size is outside of this range. If one is, min and max were not meant as logarithms.
_SMALLEST, _GREATEST = 1e-30, 1e15
_TEN = math.log(10)


def check_parameter(name: str, spec: Spec) -> str:
    """Check a parameter. Returns its kind: `parameters`, `constant` or a distribution.

    Raises InputError, whose message starts with `name`, for keys that W&B's schema does not have for this kind, for
    keys that contradict each other, and for numbers from which no value can be drawn.
    """
    kind = spec.get("distribution") or _implied(name, spec)
    if kind not in _DISTRIBUTIONS and kind != "parameters":
        near = nearest(str(kind), _DISTRIBUTIONS)
        raise InputError(f"{name}: there is no distribution {kind}.{near} It is one of {', '.join(_DISTRIBUTIONS)}.")
    rounded = kind.startswith("q_")
    takes = (*_KEYS[kind], *(("q",) if rounded else ()), "distribution")
    for key in map(str, spec):
        if key not in takes:
            every = {"distribution", "q", *(word for words in _KEYS.values() for word in words)}
            hint = f" `{takes[0]}` and `{key}` contradict each other: keep one." if key in every else ""
            raise InputError(
                f"{name}: {kind} has no {key}.{hint or nearest(key, every - set(spec))} It takes {', '.join(takes)}."
            )
    if missing := [key for key in _KEYS[kind] if key in ("min", "max", "value", "values") and key not in spec]:
        raise InputError(f"{name}: {kind} needs `{missing[0]}`.")
    if "values" in spec and not (isinstance(spec["values"], list) and spec["values"]):
        raise InputError(f"{name}: `values` must be a list with at least one value, such as values: [0, 1, 2].")
    if "parameters" in spec and not (isinstance(spec["parameters"], Mapping) and spec["parameters"]):
        raise InputError(f"{name}: `parameters` must contain parameters, such as lr: {{values: [0.1, 0.01]}}.")
    numbers = {key: spec[key] for key in (*_BOUNDS, *_NORMAL, *_BETA, "q") if key in spec}
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**63:
            raise InputError(f"{name}: {key}: {value}: a finite number is expected.")
    _check_range(name, kind, numbers)
    if kind in _DISTRIBUTIONS and kind != "constant":
        draw(spec, name, 0)
    return str(kind)


def _check_range(name: str, kind: str, numbers: Mapping[str, float]) -> None:
    """Raise InputError for numbers that give no value, or values that cannot be meant."""
    low, high, q = numbers.get("min"), numbers.get("max"), numbers.get("q", 1)
    if q <= 0:
        raise InputError(f"{name}: q: {q}: values are rounded to multiples of q, so it must be above 0.")
    if kind == "q_beta" and "q" not in numbers:
        raise InputError(f"{name}: {kind} needs q: without it every value, between 0 and 1, is rounded to 0 or 1.")
    if low is None or high is None:
        return
    if low > high:
        raise InputError(f"{name}: min: {low} is above max: {high}.")
    if kind.endswith("log_uniform_values") and low <= 0:
        raise InputError(f"{name}: min: {low}: {kind} takes the logarithm, so it must be above 0.")
    if kind.endswith("log_uniform"):
        if not math.log(_SMALLEST) <= low <= high <= math.log(_GREATEST):
            raise InputError(
                f"{name}: min: {low} and max: {high} of {kind} are natural logarithms, so values would be from"
                f" 1e{low / _TEN:.0f} to 1e{high / _TEN:.0f}. To give the values themselves, use {kind}_values."
            )
        low = math.exp(low)
    if kind.startswith("q_") and low > 0 and round(low / q) == 0:
        raise InputError(f"{name}: min: {low:.3g} is rounded to 0 by q: {q}. Use a smaller q, or leave out the `q_`.")


def draw(values: list[Any] | Spec, name: str, number: int) -> Any:
    """The value of parameter `name` in random cell `number`, drawn from a list with equal chances or a distribution.

    Raises InputError if the distribution cannot be drawn from.
    """
    spec: Spec = {"values": values} if isinstance(values, list) else values
    kind = spec.get("distribution") or _implied(name, spec)
    digest = hashlib.sha256(json.dumps([name, number]).encode()).digest()
    try:
        return _DISTRIBUTIONS[kind](np.random.default_rng(int.from_bytes(digest[:8], "big")), spec)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name}: {dict(spec)} is not a {kind} distribution ({error!r}).") from error


def _implied(name: str, spec: Spec) -> str:
    """The kind of a parameter without `distribution`, by W&B's rules."""
    for key, kind in (("parameters", "parameters"), ("value", "constant"), ("values", "categorical")):
        if key in spec:
            return kind
    if {"min", "max"} <= spec.keys():
        return "int_uniform" if isinstance(spec["min"], int) and isinstance(spec["max"], int) else "uniform"
    unknown = [str(key) for key in spec if key not in {word for words in _KEYS.values() for word in words}]
    near = nearest(unknown[0], ("value", "values", "parameters", "min", "max", "distribution")) if unknown else ""
    raise InputError(f"{name}: `value`, `values` or a distribution such as `min` and `max` is expected.{near}")
