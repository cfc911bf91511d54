"""Mutual information between a discrete decision and discrete attributes, in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..arguments import check_encoded, check_groups, check_representation, checked
from ..errors import InputError
from .interface import Bound

__all__ = ["DiscreteMI"]


class DiscreteMI(nn.Module):
    r"""I(Ŷ;C), or I(Ŷ;C|G), of a decision Ŷ drawn with probabilities p(ŷ|x), and a categorical C.

    From p(ŷ|c), the mean of the probabilities over the samples of each category, the mutual information follows without
    any assumption. Sharpened probabilities, ``(logits / temperature).softmax(1)``, stand for the decision itself.

    With ``balanced``, categories (and groups) count alike instead of by their frequency: the mean Jensen-Shannon
    divergence between the categories' decisions. It is zero exactly when I(Ŷ;C|G) is, and does not overlook a small
    category.

    The mean over a batch is noisy in small cells, and squared noise would be penalised as if it were dependence. So
    the sums over each cell are kept over batches: the value comes from the kept sums, the gradient from this batch.

    Parameters
    ----------
    n_outcomes : int
        Columns of z, the probabilities.
    sizes : sequence of int
        Categories of each column of c, as in `Categorical`; encoded c is one block of one-hot columns each. Several
        columns count jointly.
    n_groups : int, default 1
        Labels of the groups are 0 .. n_groups - 1.
    balanced : bool, default True
    memory : float, default 0.95
        Decay, per call in training mode, of the kept sums, in [0, 1); 0 keeps none.

    Raises
    ------
    InputError
        An argument that cannot be used; the message names it.

    References
    ----------
    Cover and Thomas, "Elements of Information Theory", 2006, eq. 2.28. Lin, "Divergence measures based on the Shannon
    entropy", 1991, for the balanced form.

    Examples
    --------
    >>> import torch
    >>> p = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> c = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> round(float(DiscreteMI(2, [2])(p, c)), 4)    # log 2: c decides
    0.6931
    """

    bound: Bound = "exact"
    trainable = False
    closed_form = True
    sums: Tensor
    counts: Tensor

    @checked
    def __init__(
        self,
        n_outcomes: int,
        sizes: Sequence[int],
        *,
        n_groups: int = 1,
        balanced: bool = True,
        memory: float = 0.95,
    ) -> None:
        super().__init__()
        sizes = tuple(sizes)
        if n_outcomes < 2 or not sizes or min(sizes) < 2 or n_groups < 1:
            raise InputError(
                f"n_outcomes and sizes must be >= 2 and n_groups >= 1, got {n_outcomes}, {list(sizes)} and {n_groups}"
            )
        if not 0 <= memory < 1:
            raise InputError(f"memory must lie in [0, 1), got {memory}")
        self.n_outcomes, self.sizes, self.n_groups = n_outcomes, tuple(sizes), n_groups
        self.balanced, self.memory = balanced, memory
        cells = n_groups * math.prod(self.sizes)
        self.register_buffer("sums", torch.zeros(cells, n_outcomes, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(cells, dtype=torch.float64))

    def learning_loss(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Zero: there is no critic to train."""
        return z.new_zeros(())

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Nats, differentiable once in the probabilities z (n, n_outcomes); c is one-hot of shape (n, sum of sizes).

        Raises
        ------
        InputError
            Wrong shapes, labels out of range, or rows of z that are not probabilities.
        """
        check_representation(z, dim=self.n_outcomes, least=1)
        check_groups(groups, len(z))
        check_encoded(c, len(z), sum(self.sizes))
        if float(z.detach().min()) < 0 or float((z.detach().sum(1) - 1).abs().max()) > 1e-3:
            raise InputError("z must hold probabilities: rows of numbers >= 0 that sum to 1")
        if groups is not None and len(groups) and int(groups.max()) >= self.n_groups:
            raise InputError(f"y holds label {int(groups.max())} but n_groups is {self.n_groups}")
        cell = torch.zeros(len(z), dtype=torch.long, device=z.device) if groups is None else groups.long()
        for size, block in zip(self.sizes, c.split(self.sizes, dim=1), strict=True):
            cell = cell * size + block.argmax(dim=1)
        here = torch.zeros_like(self.sums).index_add(0, cell, z.detach().double())
        count = torch.zeros_like(self.counts).index_add(0, cell, torch.ones_like(cell, dtype=self.counts.dtype))
        sums, counts, share = here, count, 1.0
        if self.training and self.memory:
            sums = self.sums.mul_(self.memory).add_(here)
            counts = self.counts.mul_(self.memory).add_(count)
            # This batch makes up so much of what is kept; its gradient is scaled up to stand for all of it.
            share = len(z) / max(float(counts.sum()), 1e-300)
        value, gradient = self._information(sums, counts)
        if not z.requires_grad:
            return value.to(z.dtype)
        found: Tensor = cast(Any, _Found).apply(z, value.to(z.dtype), (gradient / share).to(z.dtype), cell)
        return found

    def _information(self, sums: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Nats from sums (cells, outcomes) of probabilities and counts (cells,), and their gradient by the sums."""
        per_group = counts.reshape(self.n_groups, -1)
        seen = per_group > 0
        law = (sums.reshape(self.n_groups, per_group.shape[1], -1) / per_group.clamp(min=1e-12)[:, :, None]).clamp(1e-9)
        weights = seen.double() if self.balanced else per_group
        of_group = weights.sum(dim=1)
        share = (of_group > 0).double() if self.balanced else of_group
        inside = (weights / of_group.clamp(min=1e-12)[:, None])[:, :, None]
        mixture = (inside * law).sum(dim=1, keepdim=True).clamp(min=1e-9)
        # The gradient by a law is the logarithm itself: what the mixture adds to it sums to the constant that goes.
        by_law = inside * (law / mixture).log() * (share / share.sum().clamp(min=1e-12))[:, None, None]
        by_sum = torch.where(law > 1e-9, by_law, 0.0) / per_group.clamp(min=1e-12)[:, :, None]
        return (by_law * law).sum(), by_sum.reshape(sums.shape)


class _Found(torch.autograd.Function):
    """A value whose gradient by each row of z is known: that of its cell."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, value: Tensor, of_cells: Tensor, cell: Tensor) -> Tensor:
        ctx.save_for_backward(of_cells, cell)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor, None, None, None]:
        of_cells, cell = ctx.saved_tensors
        return (weight * of_cells).index_select(0, cell), None, None, None
