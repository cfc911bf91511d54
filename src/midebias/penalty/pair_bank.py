"""A bank of recent pairs (z, c)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..distributed import Ranks
from ..errors import InputError

__all__ = ["Bank"]


class Bank(nn.Module):
    """Ring of the most recent detached (z, c, group) rows, saved with ``state_dict``; c as it was given, not encoded.

    Parameters
    ----------
    size : int
        Rows kept; 0 keeps none.
    dim, attribute_width : int
        Columns of z and of c.
    """

    z: Tensor
    c: Tensor
    groups: Tensor
    filled: Tensor
    cursor: Tensor

    def __init__(self, size: int, dim: int, attribute_width: int) -> None:
        super().__init__()
        if size < 0:
            raise InputError(f"bank must be at least 0, got {size}")
        self.size = size
        self.scattered = -1  # rows of the latest batch, where every rank holds those of its own
        self.register_buffer("z", torch.zeros(size, dim))
        self.register_buffer("c", torch.zeros(size, attribute_width))
        self.register_buffer("groups", torch.zeros(size, dtype=torch.long))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, z: Tensor, c: Tensor, groups: Tensor | None) -> None:
        """Write rows over the oldest ones."""
        if self.size == 0:
            return
        rows = slice(max(0, len(z) - self.size), None)
        z, c = z.detach()[rows], c.detach()[rows]
        index = (int(self.cursor) + torch.arange(len(z), device=self.z.device)) % self.size
        self.z[index], self.c[index] = z.to(self.z.dtype), c.to(self.c.dtype)
        self.groups[index] = 0 if groups is None else groups[rows].to(self.groups.dtype)
        self.cursor.fill_((int(self.cursor) + len(z)) % self.size)
        self.filled.fill_(min(self.size, int(self.filled) + len(z)))

    @torch.no_grad()
    def collect(self, ranks: Ranks) -> None:
        """Where every rank has pushed rows of its own, push those of all, rank after rank: the same bank everywhere."""
        if self.scattered < 0:
            return
        mine = min(self.scattered, self.size)
        self.scattered = -1
        counts = [told[0] for told in ranks.told(mine)]
        latest = (int(self.cursor) - mine + torch.arange(mine, device=self.z.device)) % self.size
        self.push(*(ranks.gathered(values[latest], counts) for values in (self.z, self.c, self.groups)))

    def rows(self, newest: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """All rows kept, or the ``newest`` so many: z (m, dim), c (m, attribute_width), groups (m,)."""
        m = int(self.filled)
        if newest is None or newest >= m:
            return self.z[:m], self.c[:m], self.groups[:m]
        index = (int(self.cursor) - 1 - torch.arange(max(0, newest), device=self.z.device)) % self.size
        return self.z[index], self.c[index], self.groups[index]
