"""The verdict on a network that is not this project's own."""

import numpy as np
import pytest
import torch
from torch import nn

from ablate.design.libraries import torchvision_model
from ablate.runs import cell
from ablate.training.gradients.flow import judged, judged_layers


def test_all_layers_with_a_matrix_or_a_kernel_are_asked_but_the_first_and_the_last():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 8)
    )
    assert judged_layers(network) == (["2", "4"], 1)
    mobile = torchvision_model("mobilenet_v3_small", channels=3, num_classes=10)
    layers = [name for name, m in mobile.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert judged_layers(mobile) == (layers[1:-1], 13) and len(layers) == 54


@pytest.mark.parametrize(("image", "verdict"), [(0.02, "even"), (0.2, "exploding")])
def test_a_gradient_that_is_small_at_the_head_alone_has_not_grown(image, verdict):
    """As where branches start at zero: the quarter at the image is 200 times that at the head, and twice the head's."""
    rms = np.tile([image, image, *[image / 200] * 6], (100, 1))
    flow = judged(rms, np.full(100, 0.01), ends=2, of_others=True)
    assert flow.verdict == verdict and flow.first_to_last == pytest.approx(200)
    assert judged(rms, np.full(100, 0.01), ends=2).verdict == "exploding", "of this project's own the ratio decides"


class Deep(nn.Module):
    """Fifty linear layers and ReLUs."""

    def __init__(self, pixels: int, classes: int) -> None:
        super().__init__()
        first = [nn.Linear(pixels, 32), nn.ReLU()]
        self.layers = nn.Sequential(*first, *(part for _ in range(49) for part in (nn.Linear(32, 32), nn.ReLU())))
        self.head = nn.Linear(32, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x.flatten(1)))


@pytest.mark.parametrize(
    ("overrides", "verdict"),
    [
        (["model=perceptron", "model._target_=tests.whole.test_flow.Deep"], "vanishing"),
        (["model=torchvision"], "even"),
        (["model=timm", "model.name=test_resnet"], "even"),  # whose branches start at zero
        (["model=timm", "model.name=vit_tiny_patch16_224", "+model.img_size=8", "+model.patch_size=4"], "even"),
    ],
)
def test_verdicts(overrides, verdict, their_cell):
    record, _ = cell.run(their_cell(*overrides, "optimizer=adamw", "optimizer.lr=0.001", "trainer.max_epochs=3"))
    assert record.gradient_flow == verdict, record.summary
