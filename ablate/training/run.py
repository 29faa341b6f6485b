"""Trains and tests a resolved configuration, and records it in a directory."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, Timer
from pytorch_lightning.loggers import Logger, WandbLogger

from ablate.process import streams
from ablate.process.interrupt import StopRequest, stop_request
from ablate.process.ranks import first_of, refusals_told
from ablate.training import build
from ablate.training.gradients.flow import Flow, flow_of
from ablate.training.gradients.flow_pictures import FlowPictures
from ablate.training.gradients.norms import GradientNorms
from ablate.training.gradients.recorder import StepRecorder
from ablate.training.gradients.unread import keep_at_zero
from ablate.training.hopeless import Hopeless, Stopped
from ablate.training.images.own import Data
from ablate.training.objective import named
from ablate.training.progress import progress
from ablate.training.saving.best import BestWeights
from ablate.training.saving.checkpoints import Checkpoints, step_of
from ablate.training.saving.history import RunHistory
from ablate.training.saving.resume import Start, loaded
from ablate.training.saving.staging import Staging
from ablate.training.saving.stopping import Stopping
from ablate.training.saving.trackers import Trackers, configured
from ablate.training.seeds import seed_of
from ablate.training.trainer import max_seconds, new_trainer, quieten


@dataclass
class Outcome:
    """The outcome of a run.

    summary      the last value of every metric, and the numbers of `flow`, by name
    diverged_at  the optimizer step whose loss was not finite, or None
    seconds      training time, without interruptions
    resumed      whether it was resumed from a checkpoint
    grad_norms   the last recorded gradient norm of the first and of the last layer, by layer
    flow         how the gradient flowed through the network at the end; None if too little was recorded
    stopped      where and why it was ended as hopeless, or None
    """

    summary: dict[str, float]
    diverged_at: int | None
    seconds: float
    resumed: bool
    grad_norms: dict[str, float]
    flow: Flow | None
    stopped: Stopped | None = None

    @property
    def status(self) -> str:
        """finished, diverged or stopped."""
        return "diverged" if self.diverged_at is not None else "stopped" if self.stopped else "finished"


@dataclass(frozen=True)
class Watch:
    """What surrounds the training of a run.

    stop      remembers a signal that asks the run to stop
    staging   changes the run's directory; raises LostError once another process holds the run
    data      the data's checksum, which is stored in checkpoints
    progress  (whether a bar is wanted) -> callback that shows the run's progress
    name      the run's name, for trackers
    """

    stop: StopRequest
    staging: Staging
    data: str = ""
    progress: Callable[[bool], Callback] = progress
    name: str = ""


def train(cfg: DictConfig, data: Data, directory: Path, wandb_run: Any, start: Start, watch: Watch) -> Outcome:
    """Train and test what the resolved `cfg` describes, from `start`.

    data  those of `cfg`, set up or not; other ranks read their own

    Writes metrics.parquet, gradient_norms.parquet, gradient_flow/ and checkpoints/ into `directory`, and logs to
    `wandb_run` unless it is None. The test set is used once, at the end, with the weights that `cfg.result` names.

    Raises Interrupted if a signal asks to stop (interrupt.SIGNALS) and OutOfTimeError when `trainer.max_time` is over,
    both after saving the state; LostError if another process has taken the run over.
    """
    with first_of(directory, cfg.trainer.devices, start.checkpoint):
        return _train(cfg, data, directory, wandb_run, start, watch)


def set_numerics(cfg: DictConfig) -> None:
    """Set this process's number of threads and precision of float32 products, as the resolved `cfg` says."""
    torch.set_float32_matmul_precision(cfg.matmul_precision)
    torch.backends.cudnn.allow_tf32 = cfg.matmul_precision != "highest"  # a separate switch for convolutions
    if cfg.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(cfg.threads)  # otherwise Lightning sets it under DDP
        torch.set_num_threads(cfg.threads)


def _train(cfg: DictConfig, data: Data, directory: Path, wandb_run: Any, start: Start, watch: Watch) -> Outcome:
    quieten()
    set_numerics(cfg)
    checkpoint = start.checkpoint
    network = build.initialised_network(cfg)
    build.lay_out(data, network, cfg)
    if cfg.trainer.accelerator == "cpu" and "bf16" in str(cfg.trainer.precision):
        keep_at_zero(network, (cfg.data.channels, cfg.data.image_size, cfg.data.image_size))
    history = RunHistory(directory, watch.staging, GradientNorms(network).described)
    if checkpoint is not None:
        history.cut(step_of(checkpoint), start.joined)
    else:
        history.discard_parts()
    trackers = Trackers(wandb_run)
    recorder = StepRecorder(history, trackers, network, cfg.gradient_norms, cfg.trainer.log_every_n_steps)

    hopeless = (
        [Hopeless(cfg.stop_hopeless, cfg.data.num_classes, lambda: recorder.warning.verdict)]
        if cfg.stop_hopeless
        else []
    )

    def has_ended() -> bool:
        return recorder.diverged_at is not None or any(watching.stopped for watching in hopeless)

    def write_history(trainer: pl.Trainer) -> None:
        recorder.flush(trainer)
        history.save()

    timer, best = Timer(), directory / "checkpoints" / "best.pt"
    by = named.best_by(cfg) if cfg.result == "best" else None
    checkpoints = Checkpoints(
        directory / "checkpoints",
        every_n_epochs=cfg.checkpoint.every_n_epochs,
        every_n_steps=cfg.checkpoint.every_n_steps,
        timer=timer,
        stopping=Stopping(watch.stop, timer, max_seconds(cfg.trainer)),
        best=None if by is None else BestWeights(best, network, by, watch.staging, has_ended),
        staging=watch.staging,
        data=watch.data,
        before_save=write_history,
        rows=lambda: history.rows,
        has_ended=has_ended,
    )
    model = named.module(cfg, network)
    if cfg.compile is not None:
        torch.compiler.reset()  # torch compiles only so many networks in a process, then runs the next uncompiled
        network.compile(mode=cfg.compile)
    pictures = [FlowPictures(history, trackers, write_history)] if cfg.gradient_norms.pictures else []
    wandb_logger = None if wandb_run is None else WandbLogger(experiment=wandb_run)
    loggers: list[Logger] = [history] if wandb_logger is None else [wandb_logger, history]
    loggers += configured(cfg, directory, watch.name or directory.name, step_of(checkpoint) if checkpoint else 0)
    trainer = new_trainer(cfg, directory, loggers, [recorder, *hopeless, *pictures, checkpoints], watch.progress)
    trackers.loggers = [logger for logger in trainer.loggers if logger is not history and logger is not wandb_logger]
    for logger in trackers.loggers:
        logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]

    # The seed of dropout. Initialisation, order and augmentation have their own random streams.
    torch.manual_seed(seed_of(cfg, "order"))
    trainer.fit(model, data, ckpt_path=checkpoint)
    seconds = timer.time_elapsed()
    if not has_ended():
        if cfg.result == "best":
            weights = loaded(best)
            assert weights is not None, "best.pt has been damaged since it was written"
            network.load_state_dict(weights)
        trainer.test(model, data, verbose=False)
    history.join()
    stopped = None if recorder.diverged_at is not None else next((w.stopped for w in hopeless if w.stopped), None)
    outcome = Outcome({}, recorder.diverged_at, seconds, checkpoint is not None, {}, None, stopped)
    if trainer.is_global_zero:
        outcome.summary, outcome.grad_norms = history.last_values(), history.outer_norms()
        outcome.flow = flow_of(directory / "gradient_norms.parquet", network)
        for picture in pictures:
            verdict = outcome.flow.verdict if outcome.flow else "not judged"
            picture.draw([directory / "gradient_norms.parquet"], trainer.global_step, verdict)
        if outcome.flow is not None:
            for name in ("first_to_last", "decay_per_layer", "size"):
                outcome.summary[f"gradient_flow/{name}"] = getattr(outcome.flow, name)
    return outcome


def main(arguments: list[str]) -> None:
    """Run a rank other than 0. Arguments: the run's directory, and the checkpoint to resume from (may be empty)."""
    streams.hold()
    directory, checkpoint = Path(arguments[0]), arguments[1]
    cfg = OmegaConf.load(directory / "config.yaml")
    assert isinstance(cfg, DictConfig)
    start = Start(Path(checkpoint) if checkpoint else None)
    with stop_request() as stop, refusals_told():  # rank 0 alone writes
        _train(cfg, build.images(cfg), directory, None, start, Watch(stop, Staging(directory)))


if __name__ == "__main__":
    main(sys.argv[1:])
