"""Logs the same series to all trackers of a run: W&B, and other Lightning loggers."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from ablate.errors import InputError, reason
from ablate.training.assembly import part


class Trackers:
    """The W&B run, if there is one, and other loggers.

    They get losses of steps, learning rates, gradient norms and pictures from here, and what modules log from
    Lightning.
    """

    def __init__(self, wandb_run: Any, loggers: Sequence[Logger] = ()) -> None:
        self.wandb_run, self.loggers = wandb_run, list(loggers)

    def expect(self, names: Iterable[str]) -> None:
        """Series of steps by their names, before their first numbers: W&B keeps them out of its summary.

        Each by itself: a pattern such as grad_norm/* does not match what has a dot in it (wandb 0.31).
        """
        if self.wandb_run is not None:
            for name in names:
                escaped = name.replace(".", r"\.")  # else it is a key within a mapping
                self.wandb_run.define_metric(escaped, step_metric="trainer/global_step", summary="none")

    def log(self, values: Mapping[str, float]) -> None:
        """Log the numbers of a step, by name. `trainer/global_step` is the step."""
        if self.wandb_run is not None:
            self.wandb_run.log(dict(values))
        numbers = {name: value for name, value in values.items() if name != "trainer/global_step"}
        for logger in self.loggers:
            logger.log_metrics(numbers, int(values["trainer/global_step"]))

    def log_pictures(self, paths: Mapping[str, Path], step: int) -> None:
        """Log picture files, by name, to all trackers that can show pictures."""
        if self.wandb_run is not None:
            import wandb

            images = {name: wandb.Image(str(path)) for name, path in paths.items()}
            self.wandb_run.log({**images, "trainer/global_step": step})
        for logger in self.loggers:
            for name, path in paths.items():
                _show(logger, name, path, step)


def _show(logger: Logger, name: str, path: Path, step: int) -> None:
    """Log a picture in the way of TensorBoard, MLflow or W&B. Other loggers get none."""
    experiment = logger.experiment  # type: ignore[attr-defined]
    if hasattr(experiment, "add_image"):
        from PIL import Image

        experiment.add_image(name, np.asarray(Image.open(path).convert("RGB")), step, dataformats="HWC")
    elif hasattr(experiment, "log_artifact") and hasattr(logger, "run_id"):
        experiment.log_artifact(logger.run_id, str(path), name.rpartition("/")[0])
    elif hasattr(logger, "log_image"):
        logger.log_image(key=name, images=[str(path)], step=step)


def configured(cfg: DictConfig, directory: Path, name: str, step: int) -> list[Logger]:
    """The logger that `tracking.logger` names; an empty list if it is null.

    In its values, {directory} is replaced by the run's directory, {runs_dir} by the folder above it, {name} by the
    run's name, and {step} by the optimizer step at which the run resumes. Raises InputError if it is not a Lightning
    logger, or if a package that it needs is missing.
    """
    if cfg.tracking.get("logger") is None:
        return []
    places = {"directory": str(directory), "runs_dir": str(directory.parent), "name": name, "step": step}
    holder = OmegaConf.create({"tracking": {"logger": _filled(cfg.tracking.logger, places)}})
    try:
        logger = part(holder.tracking.logger)
    except (InputError, HydraException) as error:
        if isinstance(cause := error.__cause__, ModuleNotFoundError):
            raise InputError(f"tracking.logger={cfg.tracking.logger._target_}: {reason(cause)}") from error
        raise
    if not isinstance(logger, Logger):
        raise InputError(f"tracking.logger._target_={cfg.tracking.logger._target_}: this is not a Lightning logger.")
    return [logger]


def check(cfg: DictConfig) -> None:
    """Raise InputError if `tracking.logger` cannot be created."""
    with TemporaryDirectory() as folder:
        configured(cfg, Path(folder) / "run", "check", 0)


def _filled(value: Any, places: Mapping[str, Any]) -> Any:
    if isinstance(value, DictConfig):
        value = OmegaConf.to_container(value, resolve=True)
    if isinstance(value, dict):
        return {key: _filled(item, places) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, places) for item in value]
    if not isinstance(value, str):
        return value
    for word, meant in places.items():
        if value == f"{{{word}}}":
            return meant
        value = value.replace(f"{{{word}}}", str(meant))
    return value
