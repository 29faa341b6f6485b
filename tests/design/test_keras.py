"""The networks of "ResNet networks" and "deep residual network" against their own code in Keras, with the same weights.

The scores below come from TensorFlow 2.21.0 and Keras 3.15.1 in float64: the notebooks' code at 224 pixels and 1000
classes, without its softmax; the second one's deep network runs all of its 50 blocks. There, layer n of the
forward (a block's branch, then its shortcut) was given `uniform(2 * n, kernel.shape, sqrt(3 / inputs of one output))`
and the biases `uniform(2 * n + 1, bias.shape, 0.1)`; the image is `uniform(1000, (1, 224, 224, 3), 1)`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from ablate.training.assembly import network

FIRST_SCORES = {
    "patterns_resnet34": [
        -0.29810961493793053,
        -0.32410271968626897,
        0.39758221109786906,
        -0.9144809986934588,
        1.0115738371520693,
        -0.17151027303656866,
    ],
    "notebook_resnet34": [
        -0.06522391948563484,
        0.0956333904918716,
        0.29399205098183645,
        -0.02294259487441526,
        0.08755098283601667,
        -0.031180730771603507,
    ],
    "notebook_deep": [
        -0.12054883696491983,
        0.18243224690027807,
        0.012036681605143887,
        -0.08078129675605386,
        0.04814866460140819,
        0.04452103952212991,
    ],
}


def uniform(seed: int, shape: Sequence[int], bound: float) -> Tensor:
    """NumPy's first generator, whose numbers are the same in every version."""
    return torch.from_numpy(np.random.RandomState(seed).uniform(-bound, bound, shape))


def fill(number: int, layer: nn.Conv2d | nn.Linear, pooled: tuple[int, int]) -> None:
    """The weights that Keras's layer `number` had. Keras has a kernel as (height, width, in, out), and flattens a map
    as (height, width, channels); `pooled` is the size of the one before the linear layer."""
    if isinstance(layer, nn.Conv2d):
        shape = [*layer.kernel_size, layer.in_channels, layer.out_channels]
        weight = uniform(2 * number, shape, (3 / np.prod(shape[:-1])) ** 0.5).permute(3, 2, 0, 1)
    else:
        shape = [layer.in_features, layer.out_features]
        flat = uniform(2 * number, shape, (3 / layer.in_features) ** 0.5)
        weight = flat.unflatten(0, (*pooled, -1)).permute(3, 2, 0, 1).flatten(1)
    layer.weight.data.copy_(weight)
    layer.bias.data.copy_(uniform(2 * number + 1, [shape[-1]], 0.1))


@pytest.mark.parametrize("experiment", ["patterns_resnet34", "patterns_vgg16"])
def test_adam(experiment: str, compose_cfg: Callable[..., DictConfig]) -> None:
    """`optimizer="adam"` is keras.optimizers.Adam with its defaults."""
    adam = compose_cfg(f"experiment={experiment}").optimizer
    assert (adam.lr, list(adam.betas), adam.eps, adam.weight_decay) == (1e-3, [0.9, 0.999], 1e-7, 0.0)


@pytest.mark.parametrize("experiment", FIRST_SCORES)
def test_scores(experiment: str, compose_cfg: Callable[..., DictConfig]) -> None:
    net = network(compose_cfg(f"experiment={experiment}")).double().eval()
    image = uniform(1000, (1, 224, 224, 3), 1.0).permute(0, 3, 1, 2)
    pooled: list[torch.Size] = []
    net.head.pool.register_forward_hook(lambda module, inputs, output: pooled.append(output.shape[2:]))
    with torch.no_grad():
        net(image)
        layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        for number, layer in enumerate(layers):
            fill(number, layer, pooled[0])
        scores = net(image)[0]
    expected = torch.tensor(FIRST_SCORES[experiment], dtype=torch.float64)
    torch.testing.assert_close(scores[: len(expected)], expected, rtol=1e-12, atol=1e-12)
