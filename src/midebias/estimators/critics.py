"""Critics: the statistics networks T(z, c) of neural estimators."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..marginals import encode_labels
from ..networks.perceptron import build_perceptron

CriticName = Literal["joined", "separable", "bilinear"]


class Critic(nn.Module, ABC):
    """A statistics network T(z, c), or T(z, c, g) with ``n_groups``."""

    def __init__(self, attribute_dim: int, n_groups: int) -> None:
        super().__init__()
        self.attribute_dim, self.n_groups = attribute_dim, n_groups

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


class JoinedCritic(Critic):
    """Statistics network of the paper: c (and the group) joined to z, then a LeakyReLU perceptron.

    The released recipe has three layers, 64 wide for digits and 512 for faces.
    """

    def __init__(self, dim: int, attribute_dim: int, *, hidden: Sequence[int], n_groups: int) -> None:
        super().__init__(attribute_dim, n_groups)
        self.layers = build_perceptron(attribute_dim + dim + n_groups, hidden, 1)

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """See `Critic.forward`."""
        out: Tensor = self.layers(append_groups(torch.cat([c, z], dim=1), groups, self.n_groups))
        return out.squeeze(1)

    def pairwise(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """See `Critic.pairwise`."""
        # The first layer is linear: z and c pass it once each, not once a pair.
        of_z, of_c = self._first(z, c, groups)
        return self._rest((of_z[:, None] + of_c).flatten(0, 1)).reshape(len(z), len(c))

    def joint_and_marginal(
        self, z: Tensor, c: Tensor, permutation: Tensor, groups: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Critic.joint_and_marginal`."""
        of_z, of_c = self._first(z, c, groups)
        out = self._rest(torch.cat([of_z + of_c, of_z + of_c[permutation]]))
        return out[: len(z)], out[len(z) :]

    def _first(self, z: Tensor, c: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
        """What z, with the bias, and c add to the first layer: (m, width) and (n, width)."""
        first = self.layers[0]
        assert isinstance(first, nn.Linear)
        of_c, of_z = first.weight.split([self.attribute_dim, first.in_features - self.attribute_dim], dim=1)
        return torch.addmm(first.bias, append_groups(z, groups, self.n_groups), of_z.T), c @ of_c.T

    def _rest(self, out: Tensor) -> Tensor:
        modules: list[Any] = list(self.layers)  # looked up once, and not called: a module's bookkeeping is slow
        for activation, layer in zip(modules[1::2], modules[2::2], strict=True):
            out = nn.functional.linear(
                nn.functional.leaky_relu(out, activation.negative_slope), layer.weight, layer.bias
            )
        return out.squeeze(1)


class SeparableCritic(Critic):
    """T(z, c) = f(z)·g(c), f and g LeakyReLU perceptrons of 32 outputs; f sees the group."""

    def __init__(self, dim: int, attribute_dim: int, *, hidden: Sequence[int], n_groups: int) -> None:
        super().__init__(attribute_dim, n_groups)
        self.of_z, self.of_c = build_perceptron(dim + n_groups, hidden, 33), build_perceptron(attribute_dim, hidden, 32)

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
        """See `Critic.joint_and_marginal`."""
        left, right = self._sides(z, c, groups)
        inner, of_z = left[:, :-1], left[:, -1]
        return (inner * right).sum(dim=1) + of_z, (inner * right[permutation]).sum(dim=1) + of_z

    def _sides(self, z: Tensor, c: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.of_z(append_groups(z, groups, self.n_groups)), self.of_c(c)


class BilinearCritic(Critic):
    """T(z, c) = a(z) + b(c) + z' W c with linear a and b; W is one for each group. There are no ``hidden`` layers."""

    def __init__(self, dim: int, attribute_dim: int, *, hidden: Sequence[int] = (), n_groups: int) -> None:
        super().__init__(attribute_dim, n_groups)
        self.of_z = nn.Linear(dim, max(1, n_groups) * (attribute_dim + 1))
        self.of_c = nn.Linear(attribute_dim, 1, bias=False)

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """See `Critic.forward`."""
        left = self._map_z(z, groups)
        return (left[:, :-1] * c).sum(dim=1) + left[:, -1] + self.of_c(c).squeeze(1)

    def pairwise(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """See `Critic.pairwise`."""
        left = self._map_z(z, groups)
        return torch.addmm(left[:, -1:], left[:, :-1], c.T) + self.of_c(c).T

    def _map_z(self, z: Tensor, groups: Tensor | None) -> Tensor:
        forms: Tensor = self.of_z(z).reshape(len(z), max(1, self.n_groups), self.attribute_dim + 1)
        if groups is None:
            return forms[:, 0]
        return forms[torch.arange(len(z), device=z.device), groups.long()]


def append_groups(z: Tensor, groups: Tensor | None, n_groups: int) -> Tensor:
    """z (n, dim) and, with ``n_groups``, the group as a one-hot of that width; without groups all are in the first."""
    if not n_groups:
        return z
    if groups is None:
        groups = torch.zeros(len(z), dtype=torch.long, device=z.device)
    return torch.cat([z, encode_labels(groups, n_groups).to(z.dtype)], dim=1)


_CRITICS: dict[str, type[JoinedCritic] | type[SeparableCritic] | type[BilinearCritic]] = {
    "joined": JoinedCritic,
    "separable": SeparableCritic,
    "bilinear": BilinearCritic,
}


def build_critic(name: str, dim: int, attribute_dim: int, *, hidden: Sequence[int], n_groups: int) -> Critic:
    """Build the critic of that name. Raises `InputError` for another name."""
    if name not in _CRITICS:
        raise InputError(f"critic must be 'joined', 'separable' or 'bilinear', got {name!r}")
    return _CRITICS[name](dim, attribute_dim, hidden=hidden, n_groups=n_groups)
