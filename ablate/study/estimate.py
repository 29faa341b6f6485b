"""How long the cells of a plan will train: from those that have a result, else from a few timed steps."""

import json
import logging
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from omegaconf import OmegaConf

from ablate.study.plan import PlannedCell
from ablate.study.record import RESULTS
from ablate.training import build
from ablate.training.assembly import part
from ablate.training.module import decayed_groups

log = logging.getLogger(__name__)

TIMED_STEPS = 3


def estimate(cells: Sequence[PlannedCell], measure: bool = True) -> None:
    """Set `seconds` of the cells that have no result.

    Training time is taken to be proportional to multiply-adds times epochs among cells with the same data and hardware
    settings. Where none of those has a result, one of them is timed for a few steps on random images (`measure`),
    unless it is for another machine, its data are not here, or it fails: then the estimate is None.
    """
    groups: dict[str, list[PlannedCell]] = defaultdict(list)
    for cell in cells:
        if cell.values is not None:
            data = {key: value for key, value in cell.values["data"].items() if key != "seed"}
            trainer = {key: cell.values["trainer"][key] for key in ("accelerator", "devices", "precision")}
            groups[json.dumps([data, trainer, cell.values["threads"]])].append(cell)
    for group in groups.values():
        left = [cell for cell in group if cell.status not in RESULTS]
        rates = [cell.seconds / _work(cell) for cell in group if cell.status == "finished" and cell.seconds]
        if left and not rates and measure:
            typical = sorted(left, key=_work)[len(left) // 2]
            try:
                seconds = _timed(typical.values or {})
            except Exception:  # whatever it is, the run will say it, and no estimate is all that a plan lacks
                log.info("%s cannot be timed", typical.name, exc_info=True)
                seconds = None
            rates = [] if seconds is None else [seconds / _work(typical)]
        for cell in left:
            cell.seconds = statistics.median(rates) * _work(cell) if rates else None


def _work(cell: PlannedCell) -> float:
    assert cell.cost is not None and cell.values is not None
    return cell.cost.macs * float(cell.values["trainer"]["max_epochs"])


def _timed(values: dict[str, Any]) -> float | None:
    """Seconds of training, by the fastest of a few steps: forward, backward, optimizer."""
    on_gpu = values["trainer"]["accelerator"] == "gpu"
    if on_gpu and not torch.cuda.is_available():
        return None
    cfg = OmegaConf.create(values)
    images = build.images(cfg)
    images.setup("fit")
    device = torch.device("cuda" if on_gpu else "cpu")
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    network = build.initialised_network(cfg).to(device)
    optimizer = part(cfg.optimizer)(decayed_groups(network, cfg.weight_decay_on))
    batch = torch.randn(cfg.data.batch_size, cfg.data.channels, cfg.data.image_size, cfg.data.image_size, device=device)
    labels = torch.zeros(len(batch), dtype=torch.int64, device=device)
    times = []
    for _ in range(1 + TIMED_STEPS):
        start = time.perf_counter()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=cfg.trainer.precision == "bf16-mixed"):
            loss = F.cross_entropy(network(batch).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    steps = images.train_size // cfg.data.batch_size * cfg.trainer.max_epochs
    return min(times[1:]) * steps
