"""Strided 1x1 convolutions, and padding at a map's edge, against sums written out pixel by pixel."""

import re
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from ablate.design.convolution import PADDINGS

CASES = [*product((1, 2, 3, 5, 7), (1, 2, 3), (1, 2, 7, 8, 9))]


def windows(x: Tensor, kernel: int, stride: int, outside: float) -> Tensor:
    """(batch, channels, rows, columns, kernel, kernel): what each window sees with TensorFlow's padding='SAME'.

    By its documentation: out = ceil(in / stride); along an axis pad = max(kernel - stride, 0) where stride divides
    in, else max(kernel - in % stride, 0); pad // 2 of it before.
    """
    size = x.shape[-1]
    pad = max(kernel - (stride if size % stride == 0 else size % stride), 0)
    out = -(-size // stride)
    seen = torch.full((*x.shape[:2], out, out, kernel, kernel), outside, dtype=x.dtype)
    for row, column, i, j in product(range(out), range(out), range(kernel), range(kernel)):
        y, z = (place * stride - pad // 2 + offset for place, offset in ((row, i), (column, j)))
        if 0 <= y < size and 0 <= z < size:
            seen[:, :, row, column, i, j] = x[:, :, y, z]
    return seen


@pytest.fixture
def image() -> Tensor:
    return torch.randn(2, 3, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("kernel", "stride", "size"), CASES)
def test_same(kernel: int, stride: int, size: int, image: Tensor) -> None:
    x = image[:, :, :size, :size]
    conv = PADDINGS["same"].conv(3, 4, kernel, stride, True).double()
    sums = torch.einsum("bcyxij,ocij->boyx", windows(x, kernel, stride, 0.0), conv.weight)
    torch.testing.assert_close(conv(x), sums + conv.bias.view(-1, 1, 1), rtol=1e-12, atol=1e-12)
    largest = windows(x, kernel, stride, -float("inf")).amax((4, 5))
    assert torch.equal(PADDINGS["same"].max_pool(kernel, stride)(x), largest)


@pytest.mark.parametrize(("kernel", "stride", "size"), CASES)
def test_both(kernel: int, stride: int, size: int, image: Tensor) -> None:
    """Torch's own layers, and the same gradients."""
    x = image[:, :, :size, :size].clone().requires_grad_()
    conv = PADDINGS["both"].conv(3, 4, kernel, stride, True).double()
    theirs = nn.Conv2d(3, 4, kernel, stride=stride, padding=kernel // 2).double()
    theirs.load_state_dict(conv.state_dict())
    ours, expected = conv(x), theirs(x)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
    downstream = torch.randn_like(ours)
    for mine, hers in zip(
        torch.autograd.grad(ours, (x, *conv.parameters()), downstream),
        torch.autograd.grad(expected, (x, *theirs.parameters()), downstream),
        strict=True,
    ):
        torch.testing.assert_close(mine, hers, rtol=1e-12, atol=1e-12)
    pooled = nn.MaxPool2d(kernel, stride=stride, padding=kernel // 2)(x)
    assert torch.equal(PADDINGS["both"].max_pool(kernel, stride)(x), pooled)


def test_tiny_maps_are_one_matrix_product(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = PADDINGS["both"].conv(3, 4, 3, 1, False)

    def refuse(*arguments: object) -> None:
        raise AssertionError("convolved")

    monkeypatch.setattr(nn.Conv2d, "_conv_forward", refuse)
    for size in (1, 2):
        assert conv(torch.rand(5, 3, size, size)).shape == (5, 4, size, size)
    with pytest.raises(AssertionError, match="convolved"):
        conv(torch.rand(5, 3, 3, 3))


CHANGES = [
    *({"dilation": (2, 2)}, {"dilation": (2, 2), "padding": (2, 2)}, {"padding_mode": "reflect"}, {"groups": 2}),
    *({"padding": (0, 0)}, {"padding": "same"}, {"stride": (2, 1)}, {"stride": (2, 2)}, {"padding_mode": "circular"}),
]


@pytest.mark.parametrize("changed", CHANGES, ids=str)
@pytest.mark.parametrize("size", [(2, 2), (1, 2), (2, 1)], ids=str)
def test_what_is_changed_in_a_layer_counts_on_tiny_maps_too(changed: dict[str, object], size: tuple[int, int]) -> None:
    """Such as by a user's module that dilates a network. As in torch's own layer, a refusal too."""
    ours, theirs = PADDINGS["both"].conv(4, 4, 3, 1, True), nn.Conv2d(4, 4, 3, padding=1)
    for layer in (ours, theirs):
        for name, value in changed.items():
            setattr(layer, name, value)
        around = layer.padding if isinstance(layer.padding, tuple) else (1, 1)
        layer._reversed_padding_repeated_twice = [around[1]] * 2 + [around[0]] * 2
        generator = torch.Generator().manual_seed(0)
        shape = (4, 4 // layer.groups, 3, 3)
        layer.weight, layer.bias = (nn.Parameter(torch.randn(of, generator=generator)) for of in (shape, shape[:1]))
    x = torch.randn(2, 4, *size)
    try:
        expected = theirs(x)
    except RuntimeError as error:
        with pytest.raises(RuntimeError, match=re.escape(str(error).partition(".")[0])):
            ours(x)
        return
    torch.testing.assert_close(ours(x), expected)


def test_a_tiny_map_need_not_be_in_a_batch() -> None:
    conv, plain = PADDINGS["both"].conv(3, 4, 3, 1, True), nn.Conv2d(3, 4, 3, padding=1)
    plain.load_state_dict(conv.state_dict())
    x = torch.randn(3, 2, 2)
    torch.testing.assert_close(conv(x), plain(x))


def test_tiny_maps_have_the_same_gradients_with_several_threads() -> None:
    """Bit for bit, each time."""
    conv = PADDINGS["both"].conv(128, 128, 3, 1, False).to(memory_format=torch.channels_last)
    x = torch.randn(64, 128, 2, 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = [torch.autograd.grad(conv(x).square().sum(), conv.weight)[0] for _ in range(5)]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [1, 2, 7, 8])
@pytest.mark.parametrize("kernel", [1, 3])
def test_channels_last_stays(kernel: int, size: int, padding: str) -> None:
    conv = PADDINGS[padding].conv(8, 16, kernel, 2, False).to(memory_format=torch.channels_last)
    x = torch.randn(2, 8, size, size).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = conv(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient.is_contiguous(memory_format=torch.channels_last)
