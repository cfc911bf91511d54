"""Ten values of what can be planted in gray images of objects: colours, textures, places, blur, rotation."""

import math
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

BiasName = Literal["background", "foreground", "texture", "patch", "blur", "rotation"]
BIASES: tuple[BiasName, ...] = get_args(BiasName)

_PATCH = 5  # pixels
_STRIPES = (  # direction in degrees, pixels of a period
    (0, 8), (90, 8), (45, 8), (135, 8), (0, 4), (90, 4), (45, 4), (135, 4),
)  # fmt: skip


def render(
    gray: NDArray[np.uint8],
    planted: Mapping[BiasName, Tensor],
    backgrounds: NDArray[np.float64],
    foregrounds: NDArray[np.float64],
    rng: np.random.Generator,
) -> Tensor:
    """Images (n, 3, h, w) in [0, 1], channels last in memory, of gray ones with these biases' values (n,) in 0 to 9.

    The object turns first, gets its colour, then its background; blur and the patch come last. Without "background"
    or "texture" the background is black. ``rng`` draws the phases of textures.
    """
    objects = torch.from_numpy(gray)[:, None].float().div_(255)
    if "rotation" in planted:
        objects = _rotate(objects, planted["rotation"])
    opaque = objects > 0
    images = objects.expand(-1, 3, -1, -1)
    if "foreground" in planted:
        images = images * _paint(foregrounds, planted["foreground"])
    behind = _paint(backgrounds, planted["background"]) if "background" in planted else None
    if "texture" in planted:
        pattern = _draw_textures(planted["texture"], gray.shape[1:], rng)
        behind = pattern * (_paint(backgrounds, planted["texture"]) if behind is None else behind)
    if behind is not None:
        images = torch.where(opaque, images, behind)
    if "blur" in planted:
        images = _blur(images, planted["blur"])
    if "patch" in planted:
        images = _place_patches(images, planted["patch"])
    return images.contiguous(memory_format=torch.channels_last)


def _paint(colours: NDArray[np.float64], values: Tensor) -> Tensor:
    return torch.from_numpy(colours).float()[values][:, :, None, None]


def _rotate(objects: Tensor, values: Tensor) -> Tensor:
    """By -81 to 81 degrees, in steps of 18."""
    angle = (values - 4.5) * math.radians(18)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, -sin, 0 * cos], 1), torch.stack([sin, cos, 0 * cos], 1)], 1)
    grid = functional.affine_grid(turn, list(objects.shape), align_corners=False)
    return functional.grid_sample(objects, grid, align_corners=False)


def _draw_textures(values: Tensor, size: tuple[int, ...], rng: np.random.Generator) -> Tensor:
    """Stripes of four directions and two widths, a chequerboard, rings: (n, 1, h, w) in [0.4, 1]; phase at random."""
    v, u = torch.meshgrid(torch.arange(size[0]).float(), torch.arange(size[1]).float(), indexing="ij")
    phase = torch.from_numpy(rng.uniform(0, 2 * math.pi, size=len(values))).float()[:, None, None]
    pattern = torch.empty(len(values), *size)
    for k, (degrees, period) in enumerate(_STRIPES):
        along = u * math.cos(math.radians(degrees)) + v * math.sin(math.radians(degrees))
        pattern[values == k] = torch.sin(2 * math.pi / period * along + phase[values == k])
    chequers = torch.sin(math.pi / 4 * u + phase) * torch.sin(math.pi / 4 * v + phase)
    pattern[values == 8] = chequers.sign()[values == 8]
    radius = torch.hypot(u - size[1] / 2, v - size[0] / 2)
    pattern[values == 9] = torch.sin(math.pi / 3 * radius + phase[values == 9])
    return 0.7 + 0.3 * pattern[:, None]


def _blur(images: Tensor, values: Tensor) -> Tensor:
    """By a Gaussian of standard deviation 0 to 1.8 pixels, in steps of 0.2."""
    out = images.clone()
    offsets = torch.arange(-6, 7).float()
    for k in range(1, 10):
        kernel = torch.exp(-0.5 * (offsets / (0.2 * k)).square())
        kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
        rows = functional.pad(images[values == k], (6, 6, 6, 6), mode="replicate")
        rows = functional.conv2d(rows, kernel, groups=3)
        out[values == k] = functional.conv2d(rows, kernel.transpose(2, 3), groups=3)
    return out.clamp_(0, 1)  # what rounding adds


def _place_patches(images: Tensor, values: Tensor) -> Tensor:
    """A gray square at one of ten places along the border."""
    out, (height, width) = images.clone(), images.shape[2:]
    bottom, right = height - _PATCH, width - _PATCH
    places = [(0, round(right * k / 3)) for k in range(4)] + [(bottom, round(right * k / 3)) for k in range(4)]
    places += [(bottom // 2, 0), (bottom // 2, right)]
    for k, (top, left) in enumerate(places):
        out[values == k, :, top : top + _PATCH, left : left + _PATCH] = 0.5
    return out
