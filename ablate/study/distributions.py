"""Random values for a sweep's parameters: the distributions of W&B's sweep format."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ablate.errors import InputError

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
    return float(rng.beta(spec["a"], spec["b"]))


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


def is_distribution(spec: Spec) -> bool:
    """Whether `spec` says how to draw a value."""
    return "distribution" in spec or {"min", "max"} <= spec.keys() or {"values", "probabilities"} <= spec.keys()


def draw(values: list[Any] | Spec, name: str, number: int) -> Any:
    """The value of parameter `name` in random cell `number`: one of a list, each as likely, or from a distribution.

    Raises InputError for a distribution that W&B does not have, or one that lacks its bounds.
    """
    spec: Spec = {"values": values} if isinstance(values, list) else values
    kind = spec.get("distribution") or _implied(spec)
    if kind not in _DISTRIBUTIONS:
        raise InputError(f"{name}: distribution {kind} is not one of {', '.join(_DISTRIBUTIONS)}.")
    digest = hashlib.sha256(json.dumps([name, number]).encode()).digest()
    try:
        return _DISTRIBUTIONS[kind](np.random.default_rng(int.from_bytes(digest[:8], "big")), spec)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{name}: {dict(spec)} is no {kind} distribution ({error!r}).") from error


def _implied(spec: Spec) -> str:
    """W&B's rules for a parameter that names no distribution."""
    if "values" in spec:
        return "categorical"
    return "int_uniform" if isinstance(spec["min"], int) and isinstance(spec["max"], int) else "uniform"
