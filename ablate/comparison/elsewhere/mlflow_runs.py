"""Runs of an MLflow store: a folder, or the address of a server; the extra `mlflow`."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ablate.comparison.elsewhere import configured
from ablate.comparison.elsewhere.configured import Logged
from ablate.comparison.elsewhere.source import Asked, Found
from ablate.comparison.elsewhere.table import typed
from ablate.errors import InputError

MOST = 10_000


def read(names: Sequence[str], asked: Asked) -> Found:
    """The runs of every experiment in mlflow:FOLDER, or mlflow:ADDRESS. Raises InputError where there are none."""
    name, where = names[0], names[0].partition(":")[2]
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise InputError(f"{name} takes MLflow: python -m pip install 'ablate-resnet[mlflow]'.") from error
    if asked.where:
        raise InputError("--filter: MLflow's runs are chosen by KEY=VALUE behind the name.")
    try:
        client = MlflowClient(where)
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        runs: list[Any] = client.search_runs(experiments, max_results=MOST) if experiments else []
    except (MlflowException, OSError) as error:
        raise InputError(f"{name}: MLflow cannot read it ({' '.join(str(error).split())[:200]}).") from error
    runs.sort(key=lambda run: run.info.start_time)
    # Parameters are words.
    table = pd.DataFrame([run.data.params for run in runs], dtype=object).fillna("").apply(typed)
    configs = [{key: value for key, value in row.items() if not pd.isna(value)} for row in table.to_dict("records")]
    logged = [_logged(client, run, config) for run, config in zip(runs, configs, strict=True)]
    return configured.found(name, logged, asked)


def _logged(client: Any, run: Any, config: dict[str, Any]) -> Logged:
    info = run.info
    seconds = {"seconds": (info.end_time - info.start_time) / 1000} if info.end_time else {}
    return Logged(
        {str(key): value for key, value in config.items()},
        run.data.metrics,
        info.status,
        f"run {info.run_id}",
        partial(_curve, client, info.run_id),
        seconds,
    )


def _curve(client: Any, run: str, metric: str) -> np.ndarray:
    points = [(point.step, point.value) for point in client.get_metric_history(run, metric)]
    return np.array(sorted(point for point in points if np.isfinite(point[1])), dtype=float).reshape(-1, 2)
