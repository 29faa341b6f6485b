"""A sweep file: one question, declared in W&B's own format (docs.wandb.ai, "Sweep configuration")."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ablate.errors import InputError, nearest
from ablate.study.distributions import draw, is_distribution

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


@dataclass(frozen=True)
class SweepFile:
    """A sweep file as it was read and found sound.

    description  the question, and what its sources found
    metric       {name, goal}, or None; without a goal W&B minimises
    method       grid or random
    parameters   dotted name -> its values in order, the baseline first; a distribution as W&B writes it
    run_cap      the most cells, or None
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
        """Raises InputError for a file that is not there or not a sweep, and for what only W&B's server can do."""
        content = _yaml(path)
        for key in content:
            if key not in _KEYS:
                raise InputError(f"{path}: a sweep file has no key {key}.{nearest(str(key), list(_KEYS))}")
        metric = content.get("metric")
        if metric is not None and not (isinstance(metric, dict) and isinstance(metric.get("name"), str)):
            raise InputError(f"{path}: metric: {metric}: write metric: {{name: val/acc, goal: maximize}}.")
        method = content.get("method")
        if method not in _LOCAL_METHODS or "early_terminate" in content:
            asks = "early_terminate (hyperband)" if method in _LOCAL_METHODS else f"method: {method}"
            raise InputError(
                f"{path}: {asks} is decided by W&B's server while the runs go on: start it there with"
                f" `wandb sweep {path}` and `wandb agent`. Without a server there are method: grid and method: random."
            )
        if not isinstance(content.get("parameters"), dict) or not content["parameters"]:
            raise InputError(f"{path}: `parameters` is missing: at least one, such as seed: {{values: [0, 1]}}.")
        parameters = dict(_parameters(path, content["parameters"]))
        run_cap = content.get("run_cap")
        if run_cap is not None and (not isinstance(run_cap, int) or run_cap < 1):
            raise InputError(f"{path}: run_cap: {run_cap} is no number of runs.")
        if method == "random" and run_cap is None:
            raise InputError(f"{path}: method: random goes on for ever; `run_cap: 20` ends it after 20 cells.")
        drawn = [name for name, values in parameters.items() if isinstance(values, Mapping)]
        if method == "grid" and drawn:
            raise InputError(
                f"{path}: {drawn[0]} is a distribution: a grid needs `values`, or use method: random with a run_cap."
            )
        return cls(
            path=path,
            name=content.get("name") or path.stem,
            description=" ".join(str(content.get("description") or "").split()),
            method=method,
            metric=metric,
            parameters=parameters,
            run_cap=run_cap,
        )

    @property
    def baseline(self) -> dict[str, Any]:
        """The first value of every parameter that has values."""
        return {name: values[0] for name, values in self.parameters.items() if isinstance(values, list)}

    def cells(self) -> list[dict[str, Any]]:
        """The parameters of every cell: the grid in order, the first parameter slowest; or `run_cap` draws.

        A draw depends on its number and the parameter's name alone, so that a larger run_cap keeps the earlier cells.
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


def _yaml(path: Path) -> dict[Any, Any]:
    try:
        # Hydra's reader, to which 1e-4 is a number. `${env}` and the like in `command` stay as they are.
        content = OmegaConf.to_container(OmegaConf.create(path.read_text()))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}. A sweep file is expected, such as sweeps/quick.yaml.") from error
    except (YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is no sweep file: it has no `method` and `parameters`.")
    return content


def _parameters(
    path: Path, parameters: Mapping[Any, Any], prefix: str = ""
) -> Iterator[tuple[str, list[Any] | dict[str, Any]]]:
    """Each parameter by its dotted name, those nested below `parameters` too."""
    for key, spec in parameters.items():
        name = f"{prefix}{key}"
        if not isinstance(spec, dict):
            raise InputError(f"{path}: {name}: {spec}: write `value: {spec}`, or `values: […]`.")
        if "parameters" in spec:
            yield from _parameters(path, spec["parameters"], f"{name}.")
        elif "values" in spec and "probabilities" not in spec:
            if not isinstance(spec["values"], list) or not spec["values"]:
                raise InputError(f"{path}: {name}: `values` is a list with at least one value.")
            yield name, spec["values"]
        elif "value" in spec:
            yield name, [spec["value"]]
        elif is_distribution(spec):
            yield name, spec
        else:
            raise InputError(
                f"{path}: {name}: `value`, `values` or a distribution such as `min` and `max` is expected."
            )
