"""What a run has recorded of its gradients, and the same norms by a loop without Lightning."""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import nn

from ablate.training import build

Norms = dict[tuple[int, str], float]
BASE = ("optimizer=sgd", "schedule=constant", "optimizer.lr=0.05", "trainer.precision=32-true", "trainer.max_epochs=2")


def recorded(directory: Any, column: str = "norm") -> Norms:
    rows = pq.read_table(directory / "gradient_norms.parquet").to_pylist()
    norms = {(row["step"], row["layer"]): row[column] for row in rows}
    assert len(norms) == len(rows), "a step and layer twice"
    return {key: norm for key, norm in norms.items() if norm is not None}


def layer_norms(net: nn.Module) -> Iterator[tuple[str, float]]:
    for name, module in net.named_modules():
        gradients = [p.grad for p in module.parameters(recurse=False) if p.grad is not None]
        if gradients:
            yield name, math.sqrt(sum(float(g.double().square().sum()) for g in gradients))


def weight_norms(net: nn.Module, before: dict[str, torch.Tensor] | None = None) -> Iterator[tuple[str, float]]:
    """The norms of the layers' weights, or of their change since `before`."""
    for name, module in net.named_modules():
        own = {f"{name}.{key}": p.detach().double() for key, p in module.named_parameters(recurse=False)}
        if own:
            changes = own.values() if before is None else [p - before[key].double() for key, p in own.items()]
            yield name, math.sqrt(sum(float(change.square().sum()) for change in changes))


def by_hand(
    cfg: Any, *, autocast: torch.dtype | None = None, scaled: bool = False, others: dict[str, Norms] | None = None
) -> Norms:
    """The norms of the whole training of `cfg`, by plain SGD; `others` is filled with the other columns, and with
    every step's loss, whose layer is ""."""
    net = build.initialised_network(cfg)
    data = build.images(cfg)
    data.prepare_data()
    data.setup("fit")
    chosen = {key: cfg.optimizer[key] for key in ("lr", "momentum", "nesterov", "weight_decay", "fused")}
    parameters = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, **chosen)
    scaler = torch.amp.GradScaler("cpu", enabled=scaled)
    micro_batches, clip = cfg.trainer.accumulate_grad_batches, cfg.trainer.gradient_clip_val
    norms: Norms = {}
    others = {} if others is None else others
    others |= {"clipped": {}, "weight": {}, "update": {}, "loss": {}}
    step, step_loss = 0, 0.0
    net.train()
    for epoch in range(cfg.trainer.max_epochs):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        for number, batch in enumerate(loader, 1):
            images, labels = data.on_after_batch_transfer(batch, 0)
            with torch.autocast("cpu", autocast) if autocast else nullcontext():
                scores = net(images)
            loss = F.cross_entropy(scores.float(), labels, label_smoothing=cfg.label_smoothing)
            window = min(micro_batches, len(loader) - (number - 1) // micro_batches * micro_batches)
            step_loss += loss.item() / window
            scaler.scale(loss / window).backward()
            if number % micro_batches and number < len(loader):
                continue
            scaler.unscale_(optimizer)
            norms |= {(step, layer): norm for layer, norm in layer_norms(net)}
            if clip and cfg.trainer.gradient_clip_algorithm == "norm":
                nn.utils.clip_grad_norm_(parameters, clip)
            elif clip:
                nn.utils.clip_grad_value_(parameters, clip)
            before = {name: p.detach().clone() for name, p in net.named_parameters(remove_duplicate=False)}
            others["clipped"] |= {(step, layer): norm for layer, norm in layer_norms(net)}
            others["weight"] |= {(step, layer): norm for layer, norm in weight_norms(net)}
            scaler.step(optimizer)
            scaler.update()
            for layer, change in weight_norms(net, before):
                others["update"][step, layer] = change / others["weight"][step, layer]
            optimizer.zero_grad()
            others["loss"][step, ""] = step_loss
            step, step_loss = step + 1, 0.0
    return norms


def assert_equal(one: Norms, other: Norms, rel: float = 1e-5) -> None:
    assert one.keys() == other.keys() and one
    keys = sorted(one)
    left, right = (np.array([norms[key] for key in keys]) for norms in (one, other))
    np.testing.assert_allclose(left, right, rtol=rel, atol=1e-12)
