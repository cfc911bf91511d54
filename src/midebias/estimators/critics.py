"""Critics: the statistics networks T(z, c) of neural estimators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..networks.perceptron import build_perceptron
from .perceptron_gradients import backward_from_output, forward_from_first, set_gradients

__all__ = ["BilinearCritic", "Critic", "CriticName", "JoinedCritic", "SeparableCritic", "build_critic"]


CriticName = Literal["joined", "separable", "bilinear"]


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
        self.layers = build_perceptron(attribute_dim + dim + n_groups, hidden, 1)

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
