"""Numbers of a kernel that meet nothing but padding have no gradient, whatever a library leaves there."""

import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from ablate.design.convolution import SameConv
from ablate.runs import cell
from ablate.training.gradients.unread import keep_at_zero, meets_pixels


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("kernel", "padding", "dilation"), [(3, 1, 1), (5, 2, 1), (3, 2, 2), ((1, 3), (0, 1), 1)])
def test_they_are_those_whose_gradient_is_0_by_autograd(size, stride, kernel, padding, dilation):
    conv = nn.Conv2d(2, 3, kernel, stride, padding, dilation).double()
    conv(torch.rand(4, 2, size, size, dtype=torch.float64)).sum().backward()
    assert torch.equal(meets_pixels(conv, (size, size)), conv.weight.grad.abs().sum((0, 1)) > 0)


def test_garbage_there_becomes_0():
    network = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 1), nn.Flatten())
    keep_at_zero(network, (1, 2, 2))  # the second one's maps have one pixel
    network(torch.rand(2, 1, 2, 2)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    (hook,) = network[1].weight._backward_hooks.values()
    left = hook(torch.full_like(network[1].weight, torch.nan))
    assert left[:, :, 1, 1].isnan().all() and left.isnan().sum() == 16
    assert (left.nan_to_num(0) == 0).all() and not network[2].weight._backward_hooks
    padding_itself = nn.Sequential(SameConv(1, 1, 3, stride=2))
    keep_at_zero(padding_itself, (1, 2, 2))
    assert not padding_itself[0].weight._backward_hooks
    (hook,) = network[0].weight._backward_hooks.values()
    assert hook(torch.full_like(network[0].weight, torch.nan)).isnan().sum() == 4 * 4


def test_a_network_that_halves_maps_of_one_pixel_has_finite_norms(their_cell):
    """In bfloat16, which has the fault on some processors."""
    chosen = their_cell("model=timm", "trainer.precision=bf16-mixed", "trainer.max_epochs=1", "data.batch_size=64")
    record, _ = cell.run(chosen)
    norms = pq.read_table(chosen.directory / "gradient_norms.parquet")["norm"].to_numpy()
    assert record.status == "finished" and max(norms) < 1e3
