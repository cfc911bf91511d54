"""Base of estimators whose network is a variational decoder q(c|z)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..arguments import checked
from ..attributes import Attribute, Attributes, Categorical
from ..networks.perceptron import build_perceptron
from ..randomness import seeded
from .critics import append_groups
from .sampled_estimator import SampledEstimator


class DecoderEstimator(SampledEstimator):
    """Base of estimators with a decoder q(c|z), one factor per column of c, with the parameters of `BarberAgakov`."""

    _one_hot: Tensor
    _values: Tensor

    @checked
    def __init__(
        self,
        dim: int,
        attribute: Attribute | int,
        *,
        hidden: Sequence[int] = (64, 64),
        n_groups: int = 0,
        standardize: bool = True,
        seed: int = 0,
    ) -> None:
        width = attribute if isinstance(attribute, int) else attribute.dim
        super().__init__(dim, width, n_groups=n_groups, standardize=standardize, seed=seed)
        self.blocks = [0] * width if isinstance(attribute, int) else _blocks(attribute)
        self.n_continuous = self.blocks.count(0)
        self._place_columns()
        with seeded(seed):
            self.decoder = build_perceptron(dim + n_groups, hidden, width + self.n_continuous)

    def _place_columns(self) -> None:
        """Where c's columns of each kind are. The decoder's outputs are logits, means, then logarithms of variances."""
        columns: tuple[list[int], list[int]] = [], []
        at = 0
        for size in self.blocks:
            columns[0 if size else 1].extend(range(at, at + (size or 1)))
            at += size or 1
        for name, place in zip(("_one_hot", "_values"), columns, strict=True):
            self.register_buffer(name, torch.tensor(place, dtype=torch.long), persistent=False)

    def _decode(self, z: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Log-probabilities of the categories (n, k), means and log-variances (n, m) of the continuous columns."""
        out = self.decoder(append_groups(self._standardize(z), groups, self.n_groups))
        sizes = [size for size in self.blocks if size]
        logs, mean, spread = out.split([len(self._one_hot), self.n_continuous, self.n_continuous], dim=1)
        if sizes:
            logs = torch.cat([block.log_softmax(dim=1) for block in logs.split(sizes, dim=1)], dim=1)
        if not self.n_continuous:
            return logs, None, None
        # Bounded, so that a column that z determines does not drive the density to infinity.
        # 6 tanh(spread / 6), of which torch's sigmoid takes a fifth of the time.
        return logs, mean, 12.0 * torch.sigmoid(spread / 3.0) - 6.0

    def _split(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """One-hot columns (n, k) and continuous columns (n, m) of the encoded attribute."""
        if not self.n_continuous or len(self._values) == c.shape[1]:
            return (c, c[:, :0]) if not self.n_continuous else (c[:, :0], c)
        return c[:, self._one_hot], c[:, self._values]

    def log_q(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """log q(c|z) of each pair, in nats: (n,).

        Parameters
        ----------
        z, c, groups : Tensor
            As in `forward`.
        """
        z, c = self._check(z, c, groups)
        return self._log_q(self._decode(z, groups), c)

    def _log_q(self, decoded: tuple[Tensor, Tensor | None, Tensor | None], c: Tensor) -> Tensor:
        logs, mean, spread = decoded
        codes, values = self._split(c)
        total = (codes * logs).sum(dim=1)
        if mean is not None and spread is not None:
            squares = (values - mean).square() * (-spread).exp()
            total = total - 0.5 * ((spread + squares).sum(dim=1) + self.n_continuous * math.log(2 * math.pi))
        return total

    def _loss(self, z: Tensor, c: Tensor, groups: Tensor | None) -> Tensor:
        return -self._log_q(self._decode(z, groups), c).mean()


def _blocks(attribute: Attribute) -> list[int]:
    """Categories of each categorical column, 0 for each continuous one, in the order of the encoding."""
    if isinstance(attribute, Categorical):
        return list(attribute.sizes)
    if isinstance(attribute, Attributes):
        return [size for part in attribute.parts for size in _blocks(part)]
    return [0] * attribute.dim
