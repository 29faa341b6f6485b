"""A sweep file, in W&B's format (docs.wandb.ai, "Sweep configuration")."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, product
from math import prod
from pathlib import Path
from typing import Any

from ablate.configuration import variant, yaml_file
from ablate.configuration.overrides import flattened
from ablate.errors import InputError, nearest
from ablate.sweep.distributions import check_parameter, draw
from ablate.sweep.faults import Faults
from ablate.training.goal import goal_of

_KEYS = (
    "command",
    "description",
    "early_terminate",
    "entity",
    "method",
    "metric",
    "name",
    "parameters",
    "program",
    "project",
    "run_cap",
)
_LOCAL_METHODS = ("grid", "random")
_SERVER_METHODS = ("bayes",)
_MOST_CELLS = 100_000


@dataclass(frozen=True)
class SweepFile:
    """The content of a valid sweep file.

    description  the question, and what earlier work found
    metric       {name, goal}, or None. Without a goal W&B would minimise; here the metric's usual goal is taken
    method       grid or random
    parameters   dotted name -> its values in order, the baseline first; or a distribution, as W&B writes it
    run_cap      the maximal number of cells, or None
    """

    path: Path
    name: str
    description: str
    method: str
    metric: Mapping[str, str] | None
    parameters: Mapping[str, list[Any] | Mapping[str, Any]]
    run_cap: int | None

    @classmethod
    def read(cls, path: Path) -> "SweepFile":
        """Read the file. Raises InputError if it cannot be read, is not a sweep, or needs W&B's server."""
        file = cls.of(path, mapping(path))
        _check_count(file)
        return file

    @classmethod
    def of(cls, path: Path, content: Mapping[Any, Any]) -> "SweepFile":
        """Check the content of a file at `path`, except for the number of cells. Raises InputError."""
        faults, metric, method = Faults(path), content.get("metric"), content.get("method")
        for key in content:
            with faults.noted():
                _check_key(path, key)
        with faults.noted():
            _check_metric(path, metric)
        with faults.noted():
            _check_method(path, content)
        pairs = []
        with faults.noted():
            for key, spec in _given(path, content).items():
                with faults.noted():
                    pairs += list(_parameters(path, {key: spec}))
        run_cap = content.get("run_cap")
        with faults.noted():
            _check_run_cap(path, run_cap, method)
        faults.check()
        assert isinstance(method, str)
        if twice := [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]:
            raise InputError(f"{path}: {twice[0]} is set twice, once in a nested `parameters`: keep one.")
        parameters = dict(pairs)
        _check_twice(path, parameters)
        drawn = [name for name, values in parameters.items() if isinstance(values, Mapping)]
        if method == "grid" and drawn:
            raise InputError(
                f"{path}: {drawn[0]} is a distribution: give a grid `values`, or use method: random with a run_cap."
            )
        return cls(
            path=path,
            name=str(content.get("name") or path.stem),
            description=" ".join(str(content.get("description") or "").split()),
            method=method,
            metric=metric,
            parameters=parameters,
            run_cap=run_cap,
        )

    @property
    def metric_name(self) -> str:
        """The metric by which the sweep compares cells."""
        return self.metric["name"] if self.metric else "val/acc"

    @property
    def goal(self) -> str:
        """maximize or minimize."""
        return goal_of(self.metric_name, (self.metric or {}).get("goal"))

    @property
    def baseline(self) -> dict[str, Any]:
        """The first value of every parameter that has values. The first variant is replaced by what it sets."""
        first = {name: values[0] for name, values in self.parameters.items() if isinstance(values, list)}
        return variant.expanded(first)

    @property
    def grid_size(self) -> int:
        """The number of combinations of values; a distribution counts as one value."""
        return prod(len(values) for values in self.parameters.values() if isinstance(values, list))

    def cells(self) -> list[dict[str, Any]]:
        """The parameters of every cell: the grid in order, where the first parameter varies slowest; or `run_cap`
        draws.

        A draw depends only on its number and the parameter's name. So with a larger run_cap the earlier cells stay.
        """
        names = list(self.parameters)
        if self.method == "grid":
            grid = product(*(list(values) for values in self.parameters.values()))
            return [dict(zip(names, cell, strict=True)) for cell in islice(grid, self.run_cap)]
        assert self.run_cap is not None
        return [
            {name: draw(values, name, number) for name, values in self.parameters.items()}
            for number in range(self.run_cap)
        ]


def mapping(path: Path) -> dict[Any, Any]:
    """The content of a file that may be a sweep file. Raises InputError if it is not a mapping."""
    content = yaml_file.content(path)
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path} is not a sweep file: it has no `method` and no `parameters`.")
    return content


def _check_key(path: Path, key: Any) -> None:
    if key not in _KEYS:
        raise InputError(f"{path}: a sweep file has no key {key}.{nearest(str(key), list(_KEYS))}")


def _check_metric(path: Path, metric: Any) -> None:
    if metric is None:
        return
    if not (isinstance(metric, dict) and isinstance(metric.get("name"), str)):
        raise InputError(f"{path}: metric: {metric}: write metric: {{name: val/acc, goal: maximize}}.")
    _check_goal(path, metric)


def _check_run_cap(path: Path, run_cap: Any, method: Any) -> None:
    if run_cap is not None and (type(run_cap) is not int or run_cap < 1):
        raise InputError(f"{path}: run_cap: {run_cap}: a whole number of runs is expected, at least 1.")
    if method == "random" and run_cap is None:
        raise InputError(f"{path}: method: random needs a run_cap: `run_cap: 20` makes 20 cells.")


def _given(path: Path, content: Mapping[Any, Any]) -> dict[Any, Any]:
    parameters = content.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        raise InputError(f"{path}: `parameters` is missing: at least one, such as seed: {{values: [0, 1]}}.")
    return parameters


def _check_method(path: Path, content: Mapping[Any, Any]) -> None:
    """Raise InputError for an unknown method, and for one that needs W&B's server."""
    method, here = content.get("method"), "Without a server, use method: grid or method: random."
    if "method" not in content:
        raise InputError(f"{path}: `method` is missing. {here}")
    if method not in (*_LOCAL_METHODS, *_SERVER_METHODS):
        near = nearest(str(method).lower(), (*_LOCAL_METHODS, *_SERVER_METHODS))
        raise InputError(
            f"{path}: there is no method: {method}.{near} {here} W&B's server also has {', '.join(_SERVER_METHODS)}."
            f" For other designs, `python -m ablate design {path} --one-at-a-time -o NEW.yaml` writes a new sweep file;"
            " so do --leave-one-out, --pairs and --screen."
        )
    if method in _SERVER_METHODS or "early_terminate" in content:
        asks = "early_terminate (hyperband)" if method in _LOCAL_METHODS else f"method: {method}"
        raise InputError(
            f"{path}: {asks} needs W&B's server: start the sweep with `wandb sweep {path}` and `wandb agent`. {here}"
        )


def _check_count(file: SweepFile) -> None:
    """Raise InputError for more than _MOST_CELLS cells, before they are made."""
    count = min(
        file.grid_size if file.method == "grid" else math.inf, math.inf if file.run_cap is None else file.run_cap
    )
    if count > _MOST_CELLS:
        raise InputError(
            f"{file.path}: {count:,} cells; at most {_MOST_CELLS:,} are allowed. Use fewer values, a smaller run_cap"
            " or a design with fewer combinations (`python -m ablate design --help`)."
        )


def _check_twice(path: Path, parameters: Mapping[str, Any]) -> None:
    """Raise InputError if two parameters set the same key: the later one would win silently."""
    set_by: dict[str, str] = {}
    for name, values in parameters.items():
        given = values if isinstance(values, list) else values.get("values", [None])
        for key in {inner.lstrip("+") for value in given for inner in _keys(path, name, value)}:
            if key in set_by:
                raise InputError(f"{path}: {key} is set twice, by {set_by[key]} and by {name}: keep one.")
            set_by[key] = name


def _keys(path: Path, name: str, value: Any) -> Iterator[str]:
    """The keys that a parameter's value sets."""
    try:
        yield from variant.expanded(flattened({name: value}))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _check_goal(path: Path, metric: Mapping[str, Any]) -> None:
    try:
        goal_of(metric["name"], metric.get("goal"))
    except InputError as error:
        raise InputError(f"{path}: metric: {error}") from error


def _parameters(
    path: Path, parameters: Mapping[Any, Any], prefix: str = ""
) -> Iterator[tuple[str, list[Any] | dict[str, Any]]]:
    """Each parameter by its dotted name, also those in a nested `parameters`."""
    for key, spec in parameters.items():
        name = f"{prefix}{key}"
        if not isinstance(spec, dict):
            instead = f"values: {spec}" if isinstance(spec, list) else f"value: {spec}"
            raise InputError(f"{path}: {name}: {spec}: write {name}: {{{instead}}}.")
        kind = check_parameter(f"{path}: {name}", spec)
        if kind == "parameters":
            yield from _parameters(path, spec["parameters"], f"{name}.")
        elif kind == "constant":
            yield name, [spec["value"]]
        else:
            yield name, spec["values"] if kind == "categorical" and "probabilities" not in spec else spec
