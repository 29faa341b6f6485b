"""The residual branch as data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ablate.errors import InputError


class Conv(NamedTuple):
    """One convolution of a branch: its kernel size, output channels and stride."""

    kernel: int
    channels: int
    stride: int


@dataclass(frozen=True)
class Branch:
    """The convolutions of a block's branch.

    convs      (kernel, width ratio) in order; a convolution has ratio * width output channels, and the
               last ratio is the block's expansion. Bottleneck: [[1, 1], [3, 1], [1, 4]].
    depth      how many times in a row each convolution larger than 1x1 is repeated
    stride_on  which convolution has the block's stride: `first` (He et al. 2015), or `spatial`, the first one
               larger than 1x1 (torchvision's ResNet "v1.5")
    """

    convs: Sequence[Sequence[float]]
    depth: int
    stride_on: str

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise InputError(f"block.depth={self.depth}: a block needs at least one convolution; use 1 to 4.")
        if self.stride_on not in ("first", "spatial"):
            raise InputError(f"block.stride_on={self.stride_on}: it is `first` or `spatial`.")
        for conv in self.convs:
            if len(conv) != 2 or conv[0] % 2 != 1 or conv[1] <= 0:
                raise InputError(
                    f"block.convs: {list(conv)} is not a (kernel, width ratio) with an odd kernel and a ratio above 0."
                )

    def unrolled(self, width: int, stride: int) -> list[Conv]:
        """The convolutions of a block of this `width`, in order."""
        convs = [
            (int(kernel), round(ratio * width))
            for kernel, ratio in self.convs
            for _ in range(self.depth if kernel > 1 else 1)
        ]
        spatial = next((i for i, (kernel, _) in enumerate(convs) if kernel > 1), 0)
        strided = 0 if self.stride_on == "first" else spatial
        return [Conv(k, channels, stride if i == strided else 1) for i, (k, channels) in enumerate(convs)]
