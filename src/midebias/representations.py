"""Representations of several shapes, read as one row of numbers per sample."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from .arguments import check_finite, check_kind, check_representation
from .errors import InputError


@dataclass(frozen=True)
class FeatureMap:
    """A representation of shape (n, channels, ...): read as each channel's mean and maximum over positions.

    Parameters
    ----------
    channels : int
        At least 1. The penalty sees twice as many columns.

    Raises
    ------
    InputError
        When channels is not a whole number >= 1.

    Examples
    --------
    >>> import torch
    >>> from midebias import FeatureMap, MIPenalty
    >>> from midebias.attributes import Categorical
    >>> penalty = MIPenalty([FeatureMap(16), 8], Categorical(2), criterion="independence")
    >>> c = torch.arange(64) % 2
    >>> penalty([torch.zeros(64, 16, 5, 5), torch.zeros(64, 8)], c).shape
    torch.Size([])
    """

    channels: int

    def __post_init__(self) -> None:
        _check_size("channels", self.channels)


@dataclass(frozen=True)
class Tokens:
    """A representation of shape (n, tokens, dim): read as each column's mean and maximum over tokens.

    A feature map whose channels come last, (n, height, width, dim), is read so, too.

    Parameters
    ----------
    dim : int
        Columns of a token, at least 1. The penalty sees twice as many.

    Raises
    ------
    InputError
        When dim is not a whole number >= 1.

    Examples
    --------
    >>> import torch
    >>> from midebias import MIPenalty, Tokens
    >>> from midebias.attributes import Categorical
    >>> penalty = MIPenalty(Tokens(16), Categorical(2), criterion="independence")
    >>> penalty(torch.zeros(64, 7, 16), torch.arange(64) % 2).shape
    torch.Size([])
    """

    dim: int

    def __post_init__(self) -> None:
        _check_size("dim", self.dim)


Shape = int | FeatureMap | Tokens


def _check_size(name: str, size: object) -> None:
    if not isinstance(size, Integral) or size < 1:
        raise InputError(f"{name} must be a whole number >= 1, got {size!r}")


def compute_width(shape: Shape) -> int:
    """Columns of the summary."""
    if isinstance(shape, FeatureMap):
        return 2 * shape.channels
    return 2 * shape.dim if isinstance(shape, Tokens) else shape


def check_shape(h: Tensor, shape: Shape, name: str) -> None:
    """Raise `InputError` unless h is a floating tensor shaped as declared."""
    check_kind(name, h, Tensor)
    if isinstance(shape, FeatureMap):
        right = h.ndim >= 3 and h.shape[1] == shape.channels
        expected = f"(n, {shape.channels}, ...)"
    elif isinstance(shape, Tokens):
        right = h.ndim >= 3 and h.shape[-1] == shape.dim
        expected = f"(n, tokens, {shape.dim})"
    else:
        right, expected = h.ndim >= 2 and h.shape[1] == shape == math.prod(h.shape[1:]), f"(n, {shape})"
    if not right:
        raise InputError(f"{name} must have shape {expected}, got {tuple(h.shape)}")
    if not h.is_floating_point():
        raise InputError(f"{name} must have a floating dtype, got {h.dtype}")


def infer_shape(h: Tensor, x: Tensor, name: str, *, sequence_channels: Collection[int] = ()) -> Shape:
    """The shape of a representation h of inputs x; raise `InputError` where h has no row for each of them.

    Channels of a map are where its other two sizes go with those of the image, first if both may be. Of three
    dimensions the last holds columns of tokens, unless the second is one of ``sequence_channels``.
    """
    if h.ndim < 2 or len(h) != len(x):
        raise InputError(f"{name} has shape {tuple(h.shape)}, which is not a row or map for each of {len(x)} inputs")
    if h.shape[1] == math.prod(h.shape[1:]):  # a vector, or a map of one position
        return h.shape[1]
    if h.ndim == 3:
        return FeatureMap(h.shape[1]) if h.shape[1] in sequence_channels else Tokens(h.shape[2])
    height, width = x.shape[-2:] if x.ndim >= 4 else (1, 1)
    first, last = (abs(a * width - b * height) for a, b in (h.shape[-2:], h.shape[-3:-1]))
    return FeatureMap(h.shape[1]) if first <= last or x.ndim < 4 else Tokens(h.shape[-1])


class Summary:
    """One row of numbers per sample, and the way of a gradient back to the representation.

    A feature map is large and its summary small. A gradient found at the summary is measured and added at
    the representation without a second array of that size being made.

    ``values`` (n, width) are vectors as they are, positions or tokens as mean and maximum: float32 at least, and
    differentiable in h. NaN and infinity make a mean not finite.
    """

    def __init__(self, h: Tensor, shape: Shape, *, name: str = "z") -> None:
        self._shape, self._at = shape, None
        if isinstance(shape, int):
            self.values = _at_least_float32(h).flatten(1)
        else:
            grid = _as_grid(h, shape)
            # A sum keeps a bfloat16 accumulator in float32; one in float16 would overflow.
            total = grid.sum(dim=(2, 3), dtype=torch.float32 if h.dtype == torch.float16 else None)
            self._positions = grid.shape[2] * grid.shape[3]
            top, at = torch.nn.functional.max_pool2d(grid, grid.shape[2:], return_indices=True)
            self._at = at.flatten(1)
            means = _at_least_float32(total) / self._positions
            self.values = torch.cat([means, top.flatten(1).to(means.dtype)], dim=1)
        check_representation(self.values, name=name, least=0, finite=False)

    @torch.no_grad()
    def gradient_norm(self, g: Tensor) -> Tensor:
        """Length, at the representation, of the gradient that is ``g`` (n, width) at the summary."""
        if self._at is None:
            return torch.linalg.vector_norm(g)
        # Every position has a share of the mean's gradient; one of them also has all of the maximum's.
        mean, top = g.chunk(2, dim=1)
        squares = mean.square() / self._positions + top.square() + 2 / self._positions * mean * top
        return squares.sum().clamp(min=0).sqrt()

    @torch.no_grad()
    def add_gradient(self, g_task: Tensor, g: Tensor) -> Tensor:
        """``g_task``, a gradient at the representation, plus the one that is ``g`` (n, width) at the summary."""
        if self._at is None:
            return g_task + _as_precise_as(g, g_task.dtype).view_as(g_task)
        mean, top = _as_precise_as(g, g_task.dtype).chunk(2, dim=1)
        share = (mean / self._positions)[:, :, None, None]
        combined = torch.add(_as_grid(g_task, self._shape), share)
        rows = torch.arange(len(top), device=top.device)[:, None]
        columns = torch.arange(top.shape[1], device=top.device)
        combined.flatten(2)[rows, columns, self._at] += top  # in place: scatter_add_ would copy a channels-last map
        if isinstance(self._shape, Tokens):
            combined = combined.flatten(2).transpose(1, 2)
        return combined.reshape(g_task.shape)


def summarize(representations: Sequence[Tensor], shapes: Sequence[Shape], names: Sequence[str]) -> list[Summary]:
    """Summaries of representations. Raises `InputError` for those that hold NaN or infinity."""
    summaries = [Summary(h, s, name=n) for h, s, n in zip(representations, shapes, names, strict=True)]
    check_finite([summary.values for summary in summaries], names)
    return summaries


def _as_precise_as(gradient: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.float16:
        most = torch.finfo(dtype).max
        gradient = gradient.clamp(-most, most)
    return gradient.to(dtype)


def _at_least_float32(values: Tensor) -> Tensor:
    if values.dtype not in (torch.float16, torch.bfloat16):
        return values
    wide = values.float()
    if wide.requires_grad:  # a gradient too large for float16 becomes its largest number instead of infinity
        wide.register_hook(lambda gradient: _as_precise_as(gradient, values.dtype).float())
    return wide


def _as_grid(h: Tensor, shape: Shape) -> Tensor:
    """View as (n, channels, height, width), with height 1 unless h is an image's feature map."""
    if isinstance(shape, Tokens):
        h = h.flatten(1, -2).transpose(1, 2)
    return h if h.ndim == 4 else h.flatten(2)[:, :, None]
