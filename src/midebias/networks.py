"""Networks: the statistics network (critic) and the encoders of the paper."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from .perceptron_gradients import backward_from_output, forward_from_first, set_gradients
from .protocols import InputError
from .representations import FeatureMap, Shape

__all__ = [
    "NETWORKS",
    "BilinearCritic",
    "Classifier",
    "Critic",
    "CriticName",
    "DigitClassifier",
    "GlobalPoolClassifier",
    "JoinedCritic",
    "SeparableCritic",
    "build_critic",
    "perceptron",
    "seeded",
]

CriticName = Literal["joined", "separable", "bilinear"]


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


def perceptron(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Linear layers with LeakyReLU between them. Raises `InputError` unless widths are at least 1."""
    if any(width < 1 for width in hidden):
        raise InputError(f"hidden must hold widths of at least 1, got {tuple(hidden)}")
    sizes = [inputs, *hidden]
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))


class Critic(nn.Module, ABC):
    """A statistics network T(z, c), or T(z, c, g) with ``n_groups``."""

    n_groups: int
    has_own_gradients = False

    @abstractmethod
    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Score pairs: z (n, dim), c (n, attribute_dim), groups (n,) -> (n,)."""

    @abstractmethod
    def pairwise(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Score all combinations: z (m, dim), c (n, attribute_dim), groups (m,) of z's rows -> (m, n)."""

    def joint_and_marginal(
        self, z: Tensor, c: Tensor, permutation: Tensor, groups: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Scores (n,) of the pairs, and of z with permuted c: what both have in common is computed once."""
        n = len(z)
        twice = groups if groups is None else torch.cat([groups, groups])
        both: Tensor = self(torch.cat([z, z]), torch.cat([c, c[permutation]]), twice)
        return both[:n], both[n:]

    def scored(
        self, z: Tensor, c: Tensor, permutation: Tensor, groups: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Callable[[Tensor, Tensor], None]]:
        """As `joint_and_marginal`; the function sets the weights' gradients from those of the scores.

        Where ``has_own_gradients``. Both are to be called under `torch.no_grad`.
        """
        raise NotImplementedError

    def _with_groups(self, parts: list[Tensor], groups: Tensor | None) -> Tensor:
        if self.n_groups:
            z = parts[-1]
            if groups is None:
                groups = torch.zeros(len(z), dtype=torch.long, device=z.device)
            if len(groups) and int(groups.max()) >= self.n_groups:
                raise InputError(f"y holds label {int(groups.max())} but n_groups is {self.n_groups}")
            parts = [*parts, nn.functional.one_hot(groups.long(), self.n_groups).to(z.dtype)]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


class JoinedCritic(Critic):
    """Statistics network of the paper: c (and the group) joined to z, then a LeakyReLU perceptron.

    Parameters
    ----------
    dim, attribute_dim : int
    hidden : sequence of int, default (64, 64, 64)
        The released recipe has three layers, 64 wide for digits and 512 for faces.
    n_groups : int, default 0
        Conditional critics see the group as a one-hot of this width.
    """

    has_own_gradients = True

    def __init__(
        self, dim: int, attribute_dim: int, *, hidden: Sequence[int] = (64, 64, 64), n_groups: int = 0
    ) -> None:
        super().__init__()
        self.n_groups, self.attribute_dim = n_groups, attribute_dim
        self.layers = perceptron(attribute_dim + dim + n_groups, hidden, 1)

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """See `Critic.forward`."""
        out: Tensor = self.layers(self._with_groups([c, z], groups))
        return out.squeeze(1)

    def pairwise(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """See `Critic.pairwise`. The first layer is linear: z and c pass it once each, not once a pair."""
        of_z, of_c = self._first(z, c, groups)
        return self._rest((of_z[:, None] + of_c).flatten(0, 1)).reshape(len(z), len(c))

    def joint_and_marginal(
        self, z: Tensor, c: Tensor, permutation: Tensor, groups: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Critic.joint_and_marginal`. The first layer is linear, as in `pairwise`."""
        of_z, of_c = self._first(z, c, groups)
        out = self._rest(torch.cat([of_z + of_c, of_z + of_c[permutation]]))
        return out[: len(z)], out[len(z) :]

    def scored(
        self, z: Tensor, c: Tensor, permutation: Tensor, groups: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Callable[[Tensor, Tensor], None]]:
        """See `Critic.scored`."""
        n = len(z)
        of_z, of_c = self._first(z, c, groups)
        both = torch.cat([of_c, of_c.index_select(0, permutation)])
        both.view(2, n, -1).add_(of_z)
        out, inputs = forward_from_first(self.layers, both)
        of_joint, of_marginal = out.view(2, n).unbind()

        def backward(joint: Tensor, marginal: Tensor) -> None:
            gradient = backward_from_output(self.layers, inputs, torch.cat([joint, marginal])[:, None])
            first = self.layers[0]
            assert isinstance(first, nn.Linear)
            by_z = gradient[:n] + gradient[n:]
            by_c = gradient[n:].index_select(0, permutation.argsort()).add_(gradient[:n])
            first.weight.grad = torch.cat([by_c.T @ c, by_z.T @ self._with_groups([z], groups)], dim=1)
            first.bias.grad = by_z.sum(dim=0)

        return of_joint, of_marginal, backward

    def _first(self, z: Tensor, c: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
        """What z, with the bias, and c add to the first layer: (m, width) and (n, width)."""
        first = self.layers[0]
        assert isinstance(first, nn.Linear)
        of_c, of_z = first.weight.split([self.attribute_dim, first.in_features - self.attribute_dim], dim=1)
        return torch.addmm(first.bias, self._with_groups([z], groups), of_z.T), c @ of_c.T

    def _rest(self, out: Tensor) -> Tensor:
        for layer in list(self.layers)[1:]:
            out = layer(out)
        return out.squeeze(1)


class SeparableCritic(Critic):
    """T(z, c) = f(z)·g(c), f and g LeakyReLU perceptrons of 32 outputs; f sees the group.

    Parameters: see `JoinedCritic`.
    """

    has_own_gradients = True

    def __init__(
        self, dim: int, attribute_dim: int, *, hidden: Sequence[int] = (64, 64, 64), n_groups: int = 0
    ) -> None:
        super().__init__()
        self.n_groups = n_groups
        self.of_z, self.of_c = perceptron(dim + n_groups, hidden, 33), perceptron(attribute_dim, hidden, 32)

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """See `Critic.forward`."""
        left, right = self._sides(z, c, groups)
        return (left[:, :-1] * right).sum(dim=1) + left[:, -1]

    def pairwise(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """See `Critic.pairwise`."""
        left, right = self._sides(z, c, groups)
        return torch.addmm(left[:, -1:], left[:, :-1], right.T)

    def joint_and_marginal(
        self, z: Tensor, c: Tensor, permutation: Tensor, groups: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Critic.joint_and_marginal`: each side passes its network once."""
        left, right = self._sides(z, c, groups)
        inner, of_z = left[:, :-1], left[:, -1]
        return (inner * right).sum(dim=1) + of_z, (inner * right[permutation]).sum(dim=1) + of_z

    def scored(
        self, z: Tensor, c: Tensor, permutation: Tensor, groups: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Callable[[Tensor, Tensor], None]]:
        """See `Critic.scored`."""
        left, right, backward_from_sides = self.sides(z, c, groups)
        inner, other = left[:, :-1], right[permutation]

        def backward(joint: Tensor, marginal: Tensor) -> None:
            joint, marginal = joint[:, None], marginal[:, None]
            by_left = torch.cat([joint * right + marginal * other, joint + marginal], dim=1)
            backward_from_sides(by_left, (joint * inner).index_add_(0, permutation, marginal * inner))

        return (inner * right).sum(dim=1) + left[:, -1], (inner * other).sum(dim=1) + left[:, -1], backward

    def sides(
        self, z: Tensor, c: Tensor, groups: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Callable[[Tensor, Tensor], None]]:
        """f(z) (m, 33), whose last column is added to the inner product, and g(c) (n, 32).

        The function sets the weights' gradients from those of both. To be called under `torch.no_grad`.
        """
        z = self._with_groups([z], groups)
        first_z, first_c = self.of_z[0], self.of_c[0]
        assert isinstance(first_z, nn.Linear)
        assert isinstance(first_c, nn.Linear)
        left, of_z = forward_from_first(self.of_z, first_z(z))
        right, of_c = forward_from_first(self.of_c, first_c(c))

        def backward(by_left: Tensor, by_right: Tensor) -> None:
            set_gradients(first_z, z, backward_from_output(self.of_z, of_z, by_left))
            set_gradients(first_c, c, backward_from_output(self.of_c, of_c, by_right))

        return left, right, backward

    def _sides(self, z: Tensor, c: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.of_z(self._with_groups([z], groups)), self.of_c(c)


class BilinearCritic(Critic):
    """T(z, c) = a(z) + b(c) + z' W c with linear a and b; W is one for each group.

    Parameters: see `JoinedCritic`; ``hidden`` is not used.
    """

    def __init__(self, dim: int, attribute_dim: int, *, hidden: Sequence[int] = (), n_groups: int = 0) -> None:
        super().__init__()
        self.n_groups, self.attribute_dim = n_groups, attribute_dim
        self.of_z = nn.Linear(dim, max(1, n_groups) * (attribute_dim + 1))
        self.of_c = nn.Linear(attribute_dim, 1, bias=False)

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """See `Critic.forward`."""
        left = self._left(z, groups)
        return (left[:, :-1] * c).sum(dim=1) + left[:, -1] + self.of_c(c).squeeze(1)

    def pairwise(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """See `Critic.pairwise`."""
        left = self._left(z, groups)
        return torch.addmm(left[:, -1:], left[:, :-1], c.T) + self.of_c(c).T

    def _left(self, z: Tensor, groups: Tensor | None) -> Tensor:
        forms: Tensor = self.of_z(z).reshape(len(z), max(1, self.n_groups), self.attribute_dim + 1)
        if groups is None:
            return forms[:, 0]
        if len(groups) and int(groups.max()) >= self.n_groups:
            raise InputError(f"y holds label {int(groups.max())} but n_groups is {self.n_groups}")
        return forms[torch.arange(len(z), device=z.device), groups.long()]


def build_critic(name: str, dim: int, attribute_dim: int, *, hidden: Sequence[int], n_groups: int) -> Critic:
    """The critic of that name. Raises `InputError` for another name."""
    kinds: dict[str, type[JoinedCritic] | type[SeparableCritic] | type[BilinearCritic]] = {
        "joined": JoinedCritic,
        "separable": SeparableCritic,
        "bilinear": BilinearCritic,
    }
    if name not in kinds:
        raise InputError(f"critic must be 'joined', 'separable' or 'bilinear', got {name!r}")
    return kinds[name](dim, attribute_dim, hidden=hidden, n_groups=n_groups)


class Classifier(nn.Module, ABC):
    """An encoder whose representations can be had at several depths, of the declared ``shapes``, and a head."""

    head: nn.Linear
    dim: int
    shapes: tuple[Shape, ...]
    image_size: int | None = None  # pixels a side where they are given

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

    image_size = 28

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


# By their names on the command line and in the configuration of a run.
NETWORKS: dict[str, type[DigitClassifier] | type[GlobalPoolClassifier]] = {
    "paper": DigitClassifier,
    "lnl": GlobalPoolClassifier,
}


def _conv(inputs: int, outputs: int, size: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2), nn.ReLU())
