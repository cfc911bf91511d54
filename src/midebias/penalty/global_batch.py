"""One batch of the rows of all ranks, where several processes train together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from ..attributes import Attribute
from ..distributed import Pool, Ranks
from .batch_inputs import AttributeRows
from .pair_bank import LEAST_PAIRS, PairBank


@dataclass(frozen=True)
class GlobalBatch:
    """The rows of all ranks; or, with a pool, this rank's, where sums over rows are enough.

    Attributes
    ----------
    representations : sequence of Tensor of shape (n, dim)
    rows : AttributeRows
    pool : Pool or None
    n : int
        Rows of all ranks.
    missing : int
        Rows of all ranks that were left out because they have no attribute.
    """

    representations: Sequence[Tensor]
    rows: AttributeRows
    pool: Pool | None
    n: int
    missing: int


def gather_batch(
    ranks: Ranks | None,
    representations: Sequence[Tensor],
    rows: AttributeRows,
    *,
    attribute: Attribute,
    banks: Iterable[nn.Module],
    summable: bool,
) -> GlobalBatch:
    """The rows of all ranks, or of this process without ``ranks``, that have the attribute.

    Where all estimators are ``summable``, and the rows enough, they stay where they are. Else banks, of which each
    rank may hold rows of its own by then, are made the same everywhere, too.
    """
    missing = rows.n_missing
    if missing:
        representations, rows = [h[rows.present] for h in representations], rows.drop_missing()
    c, groups = rows.c, rows.groups
    if ranks is None:
        return GlobalBatch(representations, rows, None, len(c), missing)
    n_groups = int(groups.max()) + 1 if groups is not None and len(groups) else 0
    of_ranks = ranks.exchange(len(c), n_groups, missing)
    counts, missing = [numbers[0] for numbers in of_ranks], sum(numbers[2] for numbers in of_ranks)
    n = sum(counts)
    if summable and n >= LEAST_PAIRS:
        return GlobalBatch(representations, rows, Pool(ranks, n, max(numbers[1] for numbers in of_ranks)), n, missing)
    for bank in banks:
        cast(PairBank, bank).collect(ranks)
    representations = [ranks.gather_differentiably(h, counts) for h in representations]
    c = ranks.gather(c, counts)
    groups = None if groups is None else ranks.gather(groups, counts)
    values, present = attribute.encode(c)
    return GlobalBatch(representations, AttributeRows(c, values, groups, present), None, n, missing)
