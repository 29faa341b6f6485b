"""One run: a resolved configuration trained, tested and recorded in a directory."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger, WandbLogger

from ablate import streams
from ablate.training import build
from ablate.training.checkpoints import Checkpoints, latest, step_of
from ablate.training.data import Images
from ablate.training.flow_pictures import FlowPictures
from ablate.training.gradient_flow import Flow, flow_of
from ablate.training.history import RunHistory
from ablate.training.interrupt import StopRequest, stop_request
from ablate.training.progress import progress
from ablate.training.ranks import first_of
from ablate.training.recorder import StepRecorder
from ablate.training.trainer import new_trainer, quieten


@dataclass
class Outcome:
    """What a run came to.

    summary      the last value of every metric, and the flow's numbers, by name
    diverged_at  the optimizer step whose loss was not finite, or None
    seconds      spent training, interruptions not counted
    grad_norms   the last recorded gradient norm of the first and of the last layer, by layer
    flow         how the gradient ran through the network at the end; None where too little was recorded
    """

    summary: dict[str, float]
    diverged_at: int | None
    seconds: float
    resumed: bool
    grad_norms: dict[str, float]
    flow: Flow | None


@dataclass(frozen=True)
class Watch:
    """Who looks on while a run is trained.

    stop        a signal that has arrived ends the run, its state saved
    may_write   called before every write; raises LostError where the run belongs to another process now
    progress    makes the callback that shows the run's progress, told whether a bar is wanted
    """

    stop: StopRequest
    may_write: Callable[[], None] = lambda: None
    progress: Callable[[bool], Callback] = progress


def train(cfg: DictConfig, data: Images, directory: Path, wandb_run: Any, watch: Watch) -> Outcome:
    """Train what the resolved `cfg` describes, from the newest whole checkpoint in `directory` if there is one.

    data: of this `cfg`, set up or not. The run's other processes read theirs themselves.

    Writes metrics.parquet, gradient_norms.parquet, gradient_flow/ and checkpoints/ into `directory`, and to
    `wandb_run` unless it is None. The test set is touched once, at the end, with the weights that `cfg.result` names.

    Raises Interrupted, its state saved, when it is asked to stop (interrupt.SIGNALS), and LostError
    when the run was taken over.
    """
    checkpoint = latest(directory / "checkpoints")
    with first_of(directory, cfg.trainer.devices, checkpoint):
        return _train(cfg, data, directory, wandb_run, checkpoint, watch)


def set_numerics(cfg: DictConfig) -> None:
    """This process computes as the resolved `cfg` says: threads, and what float32 products may be rounded to."""
    torch.set_float32_matmul_precision(cfg.matmul_precision)
    torch.backends.cudnn.allow_tf32 = cfg.matmul_precision != "highest"  # convolutions have a switch of their own, on
    if cfg.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(cfg.threads)  # or Lightning sets a number of its own under DDP
        torch.set_num_threads(cfg.threads)


def _train(
    cfg: DictConfig, data: Images, directory: Path, wandb_run: Any, checkpoint: Path | None, watch: Watch
) -> Outcome:
    quieten()
    set_numerics(cfg)
    watch.may_write()
    history = RunHistory(directory, watch.may_write)
    if checkpoint is not None:
        history.cut(step_of(checkpoint))
    else:
        history.discard_parts()
    recorder = StepRecorder(history, wandb_run, cfg.gradient_norms, cfg.trainer.log_every_n_steps)

    def write_history(trainer: pl.Trainer) -> None:
        recorder.flush(trainer)
        history.save()

    checkpoints = Checkpoints(
        directory / "checkpoints",
        every_n_epochs=cfg.checkpoint.every_n_epochs,
        every_n_steps=cfg.checkpoint.every_n_steps,
        keep_best=cfg.result == "best",
        may_write=watch.may_write,
        before_save=write_history,
        has_diverged=lambda: recorder.diverged_at is not None,
        stop=watch.stop,
    )
    network = build.initialised_network(cfg)
    model = build.classifier(cfg, network)
    if cfg.compile is not None:
        torch.compiler.reset()  # after some networks in one process the next would be left as it is
        network.compile(mode=cfg.compile)
    pictures = [FlowPictures(history, wandb_run, network, write_history)] if cfg.gradient_norms.pictures else []
    loggers: list[Logger] = [history] if wandb_run is None else [WandbLogger(experiment=wandb_run), history]
    trainer = new_trainer(cfg, directory, loggers, [recorder, *pictures, checkpoints], watch.progress)

    torch.manual_seed(cfg.seed)  # dropout; initialisation, order and augmentation have streams of their own
    trainer.fit(model, data, ckpt_path=checkpoint)
    seconds = checkpoints.seconds
    if recorder.diverged_at is None:
        if cfg.result == "best":
            weights = torch.load(directory / "checkpoints" / "best.pt", map_location="cpu", weights_only=True)
            network.load_state_dict(weights)
        trainer.test(model, data, verbose=False)
    history.join()
    outcome = Outcome({}, recorder.diverged_at, seconds, checkpoint is not None, {}, None)
    if trainer.is_global_zero:
        for picture in pictures:
            picture.draw([directory / "gradient_norms.parquet"], trainer.global_step)
        outcome.summary, outcome.grad_norms = history.last_values(), history.outer_norms()
        outcome.flow = flow_of(directory / "gradient_norms.parquet", network)
        if outcome.flow is not None:
            for name in ("first_to_last", "decay_per_layer"):
                outcome.summary[f"gradient_flow/{name}"] = getattr(outcome.flow, name)
    return outcome


def main(arguments: list[str]) -> None:
    """A rank other than 0: `DIRECTORY [CHECKPOINT]`, the run's directory and where rank 0 goes on from."""
    streams.hold()
    directory, checkpoint = Path(arguments[0]), arguments[1]
    cfg = OmegaConf.load(directory / "config.yaml")
    assert isinstance(cfg, DictConfig)
    with stop_request() as stop:
        _train(cfg, build.images(cfg), directory, None, Path(checkpoint) if checkpoint else None, Watch(stop))


if __name__ == "__main__":
    main(sys.argv[1:])
