"""Augmentation of training images, by name; none of them changes colours unless asked for by a name that says so."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from ..errors import InputError

Augmentation = Literal["none", "light", "trivial"]


def build_augmentation(name: Augmentation, size: Sequence[int]) -> Callable[[Tensor], Tensor] | None:
    """Make a function of a batch (n, channels, height, width) of images of ``size`` that draws for each by itself.

    "light" mirrors half of them and shifts them by up to a sixteenth of their size: no colour changes, and nothing but
    the edges leaves the image. "trivial" is TrivialAugment (Mueller and Hutter, ICCV 2021), which may change colours,
    brightness, contrast and orientation, and with them the attribute.
    """
    if name == "none":
        return None
    try:
        from torchvision.transforms import v2
    except ImportError as error:
        raise InputError(f"augment {name!r} needs torchvision ({error}): pip install 'midebias[vision]'") from error
    height, width = size
    if name == "light":
        shifted = v2.RandomCrop((height, width), padding=[width // 16, height // 16], padding_mode="reflect")
        transform = v2.Compose([v2.RandomHorizontalFlip(), shifted])
    else:
        transform = v2.TrivialAugmentWide()
    return lambda x: torch.stack([transform(image) for image in x]).contiguous(memory_format=torch.channels_last)
