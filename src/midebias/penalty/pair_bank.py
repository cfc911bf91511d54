"""A bank of recent pairs (z, c): critics train on them, and closed forms fill small batches up with them."""

from typing import Any

import torch
from torch import Tensor, nn

from ..attributes import Attribute
from ..distributed import Ranks
from ..errors import InputError
from ..estimators.interface import Estimator
from ..marginals import limit_labels

LEAST_PAIRS = 64  # that a closed form is computed from, where the bank holds them
_MOST_PAIRS = 512  # up to which a bank whose size is given fills a batch: more pairs are older ones


def choose_sizes(estimator: Estimator, bank: int | None) -> tuple[int, int]:
    """How many pairs are kept, and how many a batch is filled up to; critics learn from the others."""
    if bank is None:
        return estimator.recent_pairs, LEAST_PAIRS
    return bank, min(_MOST_PAIRS, bank // 4 if estimator.trainable else bank)


class PairBank(nn.Module):
    """Ring of the most recent detached (z, c, groups) rows, in ``state_dict``; c as it was given, not encoded.

    Groups are labels, or with ``n_covariates`` so many float columns. Batches are filled up to ``fill_to`` pairs.
    """

    z: Tensor
    c: Tensor
    groups: Tensor
    filled: Tensor
    cursor: Tensor

    def __init__(
        self, size: int, dim: int, attribute: Attribute, n_covariates: int = 0, fill_to: int = LEAST_PAIRS
    ) -> None:
        super().__init__()
        if size < 0:
            raise InputError(f"bank must be at least 0, got {size}")
        self.size, self.fill_to, self._attribute = size, fill_to, attribute
        self._scattered = -1  # rows of the latest batch, where every rank holds those of its own
        self.register_buffer("z", torch.zeros(size, dim))
        self.register_buffer("c", torch.zeros(size, attribute.width))
        kept = torch.zeros(size, n_covariates) if n_covariates else torch.zeros(size, dtype=torch.long)
        self.register_buffer("groups", kept)
        for name in ("filled", "cursor"):
            self.register_buffer(name, torch.zeros((), dtype=torch.long))
        self._places: tuple[int, int] | None = 0, 0
        self.limits: tuple[int, int] | None = None  # of labels on a GPU, which is not asked

    @property
    def places(self) -> tuple[int, int]:
        """Rows that are filled, and the one that is written next: the buffers, known without asking the device."""
        if self._places is None:
            self._places = int(self.filled), int(self.cursor)
        return self._places

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._places = None

    @torch.no_grad()
    def push(self, z: Tensor, c: Tensor, groups: Tensor | None, *, scattered: bool = False) -> None:
        """Write rows over the oldest ones; ``scattered`` where each rank pushes rows of its own."""
        self._scattered = len(z) if scattered else -1
        if self.size == 0:
            return
        rows = slice(max(0, len(z) - self.size), None)
        z, c = z.detach()[rows], c.detach()[rows]
        filled, cursor = self.places
        index = (cursor + torch.arange(len(z), device=self.z.device)) % self.size
        self.z[index], self.c[index] = z.to(self.z.dtype), c.to(self.c.dtype)
        self.groups[index] = 0 if groups is None else groups[rows].to(self.groups.dtype)
        self._places = min(self.size, filled + len(z)), (cursor + len(z)) % self.size
        self.filled.fill_(self._places[0])
        self.cursor.fill_(self._places[1])

    @torch.no_grad()
    def collect(self, ranks: Ranks) -> None:
        """Where every rank has pushed rows of its own, push those of all, rank after rank: the same bank everywhere."""
        if self._scattered < 0:
            return
        mine = min(self._scattered, self.size)
        counts = [numbers[0] for numbers in ranks.exchange(mine)]
        latest = (self.places[1] - mine + torch.arange(mine, device=self.z.device)) % self.size
        self.push(*(ranks.gather(values[latest], counts) for values in (self.z, self.c, self.groups)))

    def rows(self, newest: int | None = None, *, skip: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """All rows kept, or the ``newest`` so many, before them ``skip``: z (m, dim), c (m, width), groups (m,)."""
        m, cursor = self.places
        end = m if newest is None else min(skip + newest, m)
        if skip <= 0 and end == m:
            return self.z[:m], self.c[:m], limit_labels(self.groups[:m], self.limits)
        index = (cursor - 1 - torch.arange(skip, max(skip, end), device=self.z.device)) % self.size
        return self.z[index], self.c[index], limit_labels(self.groups[index], self.limits)

    def fill_up(self, z: Tensor, values: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """A batch of fewer than ``fill_to`` pairs, followed by the newest ones until it has so many.

        Only the batch carries a gradient; it is scaled up to stand for the rows beside it. ``values`` is c encoded.
        """
        n = len(z)
        m = min(self.fill_to - n, self.places[0])
        if m <= 0:
            return z, values, groups
        old_z, old_c, old_groups = self.rows(m)
        scaled = z.detach() + (z - z.detach()) * ((n + m) / n)
        encoded = self._attribute.encode(old_c)[0].to(values)
        joined = None if groups is None else limit_labels(torch.cat([groups, old_groups]), self.limits)
        return torch.cat([scaled, old_z.to(z)]), torch.cat([values, encoded]), joined
