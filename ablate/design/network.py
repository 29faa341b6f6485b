"""The network: stem, stages of blocks, head."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ablate.design.block import Block
from ablate.design.branch import Branch
from ablate.design.placement import Parts, Placement
from ablate.design.shortcut import Shortcut
from ablate.errors import ImageSizeError, InputError


def output_shape(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The output shape of `module` for one input of `shape`, found without computing or allocating anything."""
    state = dict(module.named_parameters()) | dict(module.named_buffers())
    on_meta = {name: tensor.to("meta") for name, tensor in state.items()}
    with torch.no_grad():
        # Two images: batch norm in training mode refuses one image with a 1x1 map.
        output = torch.func.functional_call(module, on_meta, torch.empty(2, *shape, device="meta"))
    return tuple(output.shape[1:])


class Network(nn.Module):
    """Stem, stages, head; scores (batch, classes) for images (batch, channels, size, size).

    A stage is [transition], block1, block2, …; layers are addressed as `stage2.block1.conv2`.

    channels, size  of the images
    stages, widths  blocks per stage, and each stage's width, to which the branch's ratios apply
    stem, transition, head  see the modules of the same names

    Raises InputError where two choices clash, ImageSizeError where a stage would have to halve a map of one pixel.
    """

    def __init__(
        self,
        *,
        channels: int,
        size: int,
        classes: int,
        stages: Sequence[int],
        widths: Sequence[int],
        stem: Callable[..., tuple[nn.Module, int]],
        transition: Callable[..., tuple[nn.Module, int, int]],
        head: Callable[..., nn.Module],
        branch: Branch,
        placement: Placement,
        shortcut: Shortcut,
        parts: Parts,
    ) -> None:
        super().__init__()
        counts = [*stages, *widths]
        if not stages or len(stages) != len(widths) or not all(isinstance(n, int) and n >= 1 for n in counts):
            raise InputError(
                f"model.stages={list(stages)} and model.widths={list(widths)} clash: give each stage"
                " a number of blocks and a width, both whole and at least 1."
            )
        new_block = partial(Block, branch=branch, placement=placement, shortcut=shortcut, parts=parts)

        self.stem, channels_now = stem(channels, widths[0], placement.left_to_stem, parts)
        shape = _checked_shape("stem", self.stem, (channels, size, size), size)
        self.stage_names = tuple(f"stage{number}" for number in range(1, len(stages) + 1))
        for index, (name, blocks, width) in enumerate(zip(self.stage_names, stages, widths, strict=True)):
            layers: dict[str, nn.Module] = {}
            stride = 1
            if index > 0:
                if max(shape[1:]) == 1:
                    raise _too_small(name, size)
                before, channels_now, stride = transition(channels_now, width, parts)
                if len(list(before.children())):
                    layers["transition"] = before
            for number in range(1, blocks + 1):
                block = new_block(channels_now, width, stride if number == 1 else 1, index == 0 and number == 1)
                layers[f"block{number}"] = block
                channels_now = block.out_channels
            self.add_module(name, nn.Sequential(OrderedDict(layers)))
            # The blocks after the first keep its shape.
            shape = _checked_shape(name, nn.Sequential(*list(layers.values())[: len(layers) - blocks + 1]), shape, size)
        self.head = head(shape, classes, placement.pre, parts)

    @property
    def blocks(self) -> list[Block]:
        """Every block, from the image to the head."""
        return [module for module in self.modules() if isinstance(module, Block)]

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for name in self.stage_names:
            x = getattr(self, name)(x)
        return self.head(x)


def _checked_shape(name: str, module: nn.Module, shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    try:
        return output_shape(module, shape)
    except RuntimeError as error:
        # Torch names the layer's sizes ("Output size is too small"), not the image's.
        if "too small" in str(error) or "can't be greater than actual input size" in str(error):
            raise _too_small(name, size) from error
        raise


def _too_small(name: str, size: int) -> ImageSizeError:
    return ImageSizeError(
        f"Images of {size}x{size} pixels are too small for this depth: {name} cannot shrink its input any further."
        " Use larger images, a stem or transition that shrinks less (stem=conv3x3, transition=stride), or fewer"
        " stages."
    )
