"""Mutual information between a discrete decision and discrete attributes, in closed form."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..arguments import check_encoded, check_groups, check_representation, checked
from ..errors import InputError
from .interface import Bound, Estimator


class DiscreteMI(Estimator):
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
    closed_form = True
    sums: Tensor
    counts: Tensor

    @checked
    def __init__(
        self, n_outcomes: int, sizes: Sequence[int], *, n_groups: int = 1, balanced: bool = True, memory: float = 0.95
    ) -> None:
        super().__init__()
        self.n_outcomes, self.sizes, self.n_groups = n_outcomes, tuple(sizes), n_groups
        if n_outcomes < 2 or min(self.sizes, default=0) < 2 or n_groups < 1:
            raise InputError(
                f"n_outcomes and sizes must be >= 2 and n_groups >= 1, got {n_outcomes}, {[*sizes]} and {n_groups}"
            )
        if not 0 <= memory < 1:
            raise InputError(f"memory must lie in [0, 1), got {memory}")
        self.balanced, self.memory = balanced, memory
        cells = n_groups * math.prod(self.sizes)
        self.register_buffer("sums", torch.zeros(cells, n_outcomes, dtype=torch.float64))
        self.register_buffer("counts", torch.zeros(cells, dtype=torch.float64))

    def forward(self, z: Tensor, c: Tensor, groups: Tensor | None = None) -> Tensor:
        """Nats, differentiable in the probabilities z (n, n_outcomes); c is one-hot of shape (n, sum of sizes).

        Raises
        ------
        InputError
            Wrong shapes, labels out of range, or rows of z that are not probabilities.
        """
        check_representation(z, dim=self.n_outcomes, least=1)
        check_groups(groups, len(z), n_groups=self.n_groups)
        check_encoded(c, len(z), sum(self.sizes))
        if float(z.detach().min()) < 0 or float((z.detach().sum(1) - 1).abs().max()) > 1e-3:
            raise InputError("z must hold probabilities: rows of numbers >= 0 that sum to 1")
        cell = torch.zeros(len(z), dtype=torch.long, device=z.device) if groups is None else groups.long()
        for size, block in zip(self.sizes, c.split(self.sizes, dim=1), strict=True):
            cell = cell * size + block.argmax(dim=1)
        sums = torch.zeros_like(self.sums).index_add(0, cell, z.double())
        counts = torch.bincount(cell, minlength=len(self.counts)).to(self.counts.dtype)
        if self.training and self.memory:
            self.counts.mul_(self.memory).add_(counts)
            self.sums.mul_(self.memory).add_(sums.detach())
            counts = self.counts.clone()  # which the next call changes in place
            # This batch makes up so much of what is kept; its gradient is scaled up to stand for all of it.
            share = len(z) / max(float(counts.sum()), 1e-300)
            sums = self.sums.clone() + (sums - sums.detach()) / share
        return self._information(sums, counts).to(z.dtype)

    def _information(self, sums: Tensor, counts: Tensor) -> Tensor:
        """Nats from sums (cells, outcomes) of probabilities and counts (cells,)."""
        per_group = counts.reshape(self.n_groups, -1)
        seen = per_group > 0
        law = (sums.reshape(self.n_groups, per_group.shape[1], -1) / per_group.clamp(min=1e-12)[:, :, None]).clamp(1e-9)
        weights = seen.double() if self.balanced else per_group
        of_group = weights.sum(dim=1)
        share = (of_group > 0).double() if self.balanced else of_group
        inside = (weights / of_group.clamp(min=1e-12)[:, None])[:, :, None]
        mixture = (inside * law).sum(dim=1, keepdim=True).clamp(min=1e-9)
        shares = (share / share.sum().clamp(min=1e-12))[:, None, None]
        return (inside * (law / mixture).log() * shares * law).sum()
