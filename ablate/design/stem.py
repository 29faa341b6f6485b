"""What stands between the image and the first block.

A stem is `(in_channels, width, words, parts) -> (module, channels)`; `words` is what the first block's `pre`
lacks of norm and activation.
"""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from ablate.design.placement import Parts
from ablate.errors import InputError


def conv_stem(
    in_channels: int,
    width: int,
    words: Sequence[str],
    parts: Parts,
    *,
    kernel: int,
    stride: int,
    pool: str | None,
) -> tuple[nn.Module, int]:
    """conv, [norm], [act], [3x3/2 max-pool].

    pool  `padded` like the convolutions: n pixels become ceil(n / 2); `unpadded`: they become floor((n - 1) / 2); or
          null for no pooling

    Images of 32 pixels need a 3x3 convolution (He et al. 2015, section 4.2); images of 224 pixels, 7x7/2 and a
    max-pool (their table 1).
    """
    if pool not in ("padded", "unpadded", None):
        raise InputError(f"stem.pool={pool}: it is `padded`, `unpadded` or null.")
    layers: dict[str, nn.Module] = {"conv": parts.conv(in_channels, width, kernel, stride)}
    layers |= parts.named(words, width, "", fresh=True)
    if pool:
        layers["pool"] = parts.padding.max_pool(3, 2) if pool == "padded" else nn.MaxPool2d(3, stride=2)
    return nn.Sequential(OrderedDict(layers)), width


def no_stem(in_channels: int, width: int, words: Sequence[str], parts: Parts) -> tuple[nn.Module, int]:
    """Nothing: the first block reads the image, as in VGG.

    Raises InputError where the first block would activate before it convolves, and so rectify the pixels.
    """
    if "act" not in words:
        raise InputError(
            "stem=none and this placement clash: the first block's `pre` would rectify the pixels themselves."
            " Use stem=conv3x3, or placement=original."
        )
    return nn.Sequential(), in_channels
