"""Networks: the statistics network (critic) and the encoders of the paper."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from .protocols import InputError
from .representations import FeatureMap, Shape

__all__ = ["Classifier", "DigitClassifier", "GlobalPoolClassifier", "JoinedCritic", "seeded"]


class seeded:
    """Context in which modules draw their initial weights from a seed; the global generator is restored.

    Examples
    --------
    >>> import torch
    >>> before = torch.get_rng_state()
    >>> with seeded(0):
    ...     _ = torch.nn.Linear(2, 2)
    >>> bool((before == torch.get_rng_state()).all())
    True
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        self._state = torch.get_rng_state()
        torch.default_generator.manual_seed(self.seed)

    def __exit__(self, *exc: object) -> None:
        torch.set_rng_state(self._state)


class JoinedCritic(nn.Module):
    """Statistics network T(c, z, g): c joined to z (and to a group code), LeakyReLU layers, one output.

    Parameters
    ----------
    dim, attribute_dim : int
        Columns of z and of the encoded attribute.
    hidden : sequence of int, default (64, 64, 64)
        The released recipe has three layers, 64 wide for digits and 512 for faces.
    n_groups : int, default 0
        Conditional critics see the group as a one-hot of this width.
    """

    def __init__(
        self, dim: int, attribute_dim: int, *, hidden: Sequence[int] = (64, 64, 64), n_groups: int = 0
    ) -> None:
        super().__init__()
        self.n_groups = n_groups
        sizes = [attribute_dim + dim + n_groups, *hidden]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], 1))

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Score pairs: z (n, dim), c (n, attribute_dim), groups (n,) -> (n,)."""
        parts = [c, z]
        if self.n_groups:
            if groups is None:
                groups = torch.zeros(len(z), dtype=torch.long, device=z.device)
            if len(groups) and int(groups.max()) >= self.n_groups:
                raise InputError(f"y holds label {int(groups.max())} but n_groups is {self.n_groups}")
            parts.append(nn.functional.one_hot(groups, self.n_groups).to(z.dtype))
        out: Tensor = self.layers(torch.cat(parts, dim=1))
        return out.squeeze(1)


class Classifier(nn.Module, ABC):
    """An encoder whose representations can be had at several depths, of the declared ``shapes``, and a head."""

    head: nn.Linear
    dim: int
    shapes: tuple[Shape, ...]

    @abstractmethod
    def depths(self, x: Tensor) -> tuple[Tensor, ...]:
        """Representations of x, early to late; the last is z of shape (n, dim)."""

    def encode(self, x: Tensor) -> Tensor:
        """The representation z (n, dim)."""
        return self.depths(x)[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, n_classes)."""
        out: Tensor = self.head(self.encode(x))
        return out


class DigitClassifier(Classifier):
    """The paper's network for 28x28 colour digits (arXiv 2003.06430, section 4.1).

    conv5x5x64-ReLU-pool2, conv5x5x64-ReLU-pool2 (valid), fc512-ReLU, fc64-ReLU = z; head fc10.
    """

    def __init__(self, *, channels: int = 3, n_classes: int = 10, dim: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 5)
        self.conv2 = nn.Conv2d(64, 64, 5)
        self.hidden = nn.Linear(64 * 4 * 4, 512)
        self.embedding = nn.Linear(512, dim)
        self.head = nn.Linear(dim, n_classes)
        self.dim, self.n_classes = dim, n_classes
        self.shapes = (FeatureMap(64), FeatureMap(64), dim)

    def depths(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode x (n, 3, 28, 28): both pooled feature maps (n, 64, 12, 12), (n, 64, 4, 4), and z (n, dim)."""
        pool, relu = nn.functional.max_pool2d, nn.functional.relu
        first = relu(pool(self.conv1(x), 2))  # pool before ReLU: equal, and a quarter of the work
        second = relu(pool(self.conv2(first), 2))
        z = relu(self.embedding(relu(self.hidden(second.flatten(1)))))
        return first, second, z


class GlobalPoolClassifier(Classifier):
    """The network of "Learning Not to Learn" for 28x28 colour digits, as its authors released it.

    Batch norm on the input; conv5x5x32-ReLU, max-pool 3 stride 2; conv3x3x32-ReLU; conv3x3x64 stride 2-ReLU;
    conv3x3x64-ReLU, whose global average is z; head fc10.
    """

    def __init__(self, *, channels: int = 3, n_classes: int = 10) -> None:
        super().__init__()
        self.normalize = nn.BatchNorm2d(channels)
        self.conv1 = _conv(channels, 32, 5)
        self.conv2 = _conv(32, 32, 3)
        self.conv3 = _conv(32, 64, 3, stride=2)
        self.conv4 = _conv(64, 64, 3)
        self.head = nn.Linear(64, n_classes)
        self.dim, self.n_classes = 64, n_classes
        self.shapes = (FeatureMap(32), FeatureMap(32), FeatureMap(64), 64)

    def depths(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode x (n, 3, 28, 28): three feature maps (32, 32 and 64 channels), and z (n, 64)."""
        first = self.conv1(self.normalize(x))
        second = self.conv2(nn.functional.max_pool2d(first, 3, stride=2, padding=1))
        third = self.conv3(second)
        return first, second, third, self.conv4(third).mean(dim=(2, 3))


def _conv(inputs: int, outputs: int, size: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2), nn.ReLU())
