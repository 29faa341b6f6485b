"""The same network, once as this project's own and once as somebody else's: the whole harness makes no difference."""

import pyarrow.parquet as pq
import pytest
import torch

from ablate.design import convolution
from ablate.runs import cell
from ablate.training import build
from tests.design.test_torchvision import resnet_name


def recorded(chosen: cell.Cell) -> tuple[dict[tuple[str, int], float], dict[tuple[str, int], float], list[str]]:
    """Losses and metrics, gradient norms by layer, and the layers from the image to the head."""
    metrics, norms = (pq.read_table(chosen.directory / f"{name}.parquet") for name in ("metrics", "gradient_norms"))
    losses = {(row["name"], row["step"]): row["value"] for row in metrics.to_pylist()}
    rows = norms.to_pylist()
    layers = sorted({(row["depth"], row["layer"]) for row in rows})
    return losses, {(row["layer"], row["step"]): row["norm"] for row in rows}, [layer for _, layer in layers]


def test_torchvisions_resnet18_is_ours(their_cell, write_cifar, tmp_path, monkeypatch):
    write_cifar(tmp_path, 10)
    common = ["data=cifar10", f"data.root={tmp_path}", "data.batch_size=64", "trainer.max_epochs=1"]
    # Steps so small that roundings, of sums in another order, do not grow.
    common += ["+trainer.limit_train_batches=5", "optimizer.lr=1e-3"]
    ours = their_cell("model=resnet18", "stem=conv7x7_pool", *common)
    theirs = their_cell("model=torchvision", "model.name=resnet18", *common)
    assert (ours.cost.params, ours.cost.macs, ours.cost.buffers) == (
        theirs.cost.params,
        theirs.cost.macs,
        theirs.cost.buffers,
    )
    weights = {resnet_name(name): tensor for name, tensor in build.initialised_network(ours.cfg).state_dict().items()}
    original = build.initialised_network

    def with_our_weights(cfg):
        net = original(cfg)
        if "_target_" in cfg.model:
            net.load_state_dict(weights)
        return net

    monkeypatch.setattr(build, "initialised_network", with_our_weights)
    monkeypatch.setattr(convolution, "TINY", 0)  # torch's kernels for both: batch norm of 1x1 maps amplifies roundings
    for chosen in (ours, theirs):
        assert cell.run(chosen)[0].status == "finished"
    losses, norms, layers = recorded(ours)
    their_losses, their_norms, their_layers = recorded(theirs)
    assert losses.keys() == their_losses.keys() and ("train/loss_step", 4) in losses
    assert list(their_losses.values()) == pytest.approx(list(losses.values()), rel=1e-5)
    renamed = {
        (resnet_name(f"{layer}.weight").removesuffix(".weight"), step): norm for (layer, step), norm in norms.items()
    }
    assert renamed.keys() == their_norms.keys() and len(renamed) == 5 * 41
    assert [their_norms[key] for key in renamed] == pytest.approx(list(renamed.values()), rel=1e-4)
    # Of a block, torchvision's shortcut runs after the branch; ours is registered there.
    assert their_layers == [resnet_name(f"{layer}.weight").removesuffix(".weight") for layer in layers]
    assert torch.initial_seed() == ours.cfg.seed
