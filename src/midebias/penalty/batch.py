"""One batch as a penalty reads it: checked, with the attribute encoded, and of the rows of all ranks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import torch
from torch import Tensor, nn

from ..arguments import check_groups
from ..attributes import Attribute, Categorical, LabelCount
from ..covariates import expand_covariates
from ..deferred_reads import is_asynchronous, read_later
from ..devices import move_to
from ..distributed import Pool, Ranks
from ..errors import InputError
from ..estimators.interface import Estimator
from ..marginals import MOST_LABELS, find_range, keep_range, limit_labels
from ..normal_scores import compute_normal_scores
from ..representations import FeatureMap, Shape, Tokens, check_shape, compute_width
from .pair_bank import LEAST_PAIRS, PairBank

Criterion = Literal["separation", "independence"]
Condition = Callable[[Tensor], Tensor] | Attribute | None

_WHOLE = torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64
_MOST_FUNCTIONS = 24  # of covariates, and one for so many rows
_ROWS_OF_A_FUNCTION = 12


@dataclass(frozen=True)
class Batch:
    """Representations and their rows: c as it was given and encoded, the groups, and whether c and they are there.

    Groups are labels (n,), or covariates, as float columns (n, k). With a ``pool`` the rows are this rank's, where sums
    over rows are enough.
    """

    representations: Sequence[Tensor]
    c: Tensor
    values: Tensor
    groups: Tensor | None
    present: Tensor
    pool: Pool | None = None
    n: int = 0  # rows of all ranks
    missing: int | Tensor = 0  # rows of all ranks that were left out: without attribute, or nothing to condition on
    limits: tuple[int, int] | None = None  # of labels on a GPU, which is not asked for them


class InputReader:
    """Reads (z, c, y) as a penalty was built for; its arguments are those of `MIPenalty`."""

    def __init__(
        self, dim: Shape | Sequence[Shape], attribute: Attribute, criterion: Criterion, condition_on: Condition,
        n_groups: int,
    ) -> None:  # fmt: skip
        if criterion not in ("separation", "independence"):
            raise InputError(f"criterion must be 'separation' or 'independence', got {criterion!r}")
        if condition_on is not None and criterion == "independence":
            raise InputError("condition_on goes with criterion='separation': 'independence' conditions on nothing")
        if not isinstance(attribute, Attribute):
            raise InputError(f"attribute must be Categorical, Continuous or Attributes, got {attribute!r}")
        self.shapes: tuple[Shape, ...] = (dim,) if isinstance(dim, (int, FeatureMap, Tokens)) else tuple(dim)
        self.widths = [compute_width(shape) for shape in self.shapes]
        if not self.widths or min(self.widths) < 1:
            raise InputError(f"dim must name at least one representation of size >= 1, got {dim!r}")
        self.names = ["z"] if len(self.shapes) == 1 else [f"z[{k}]" for k in range(len(self.shapes))]
        self._attribute, self._criterion, self._condition_on = attribute, criterion, condition_on
        self._labels, self._n_groups = LabelCount(attribute), n_groups
        self._room = 0  # labels that a GPU has room for
        self._complete: bool | None = None  # whether no row of the batches so far missed the attribute
        self.n_covariates = 0  # columns of quantities, beside which labels are one-hot; else there are labels alone
        if isinstance(condition_on, Attribute) and not isinstance(condition_on, Categorical):
            self.n_covariates = condition_on.dim

    def check_estimators(self, estimators: Sequence[Estimator]) -> int:
        """Raise `InputError` for estimators that do not take the quantities there are; return the latter's columns."""
        unfit = [e for e in estimators if not e.takes_covariates]
        if self.n_covariates and unfit:
            raise InputError(
                f"condition_on={self._condition_on!r} holds a quantity, and {type(unfit[0]).__name__} conditions on "
                "labels alone: take estimator 'prequential', 'gaussian', 'gaussian_linear' or 'gaussian_learned'"
            )
        return self.n_covariates

    def read(self, z: Tensor | Sequence[Tensor], c: Tensor, y: Tensor | None) -> Batch:
        """This rank's rows, on the device of the first representation."""
        if not isinstance(z, (Tensor, list, tuple)):
            raise InputError(f"z must be a torch.Tensor, or a list of them, got {type(z).__name__}")
        representations = [z] if isinstance(z, Tensor) else list(z)
        if len(representations) != len(self.shapes):
            raise InputError(f"z must hold {len(self.shapes)} representations as in dim, got {len(representations)}")
        for h, shape, name in zip(representations, self.shapes, self.names, strict=True):
            check_shape(h, shape, name)
        n = len(representations[0])
        if any(len(h) != n for h in representations):
            raise InputError(f"z must hold equally many samples, got {[len(h) for h in representations]}")
        c, y = move_to(representations[0].device, c, y)
        values, present = self._attribute.encode(c)
        if len(values) != n:
            raise InputError(f"c must have {n} rows like z, got {len(values)}")
        self._labels.observe(c)
        c = c[:, None] if c.ndim == 1 else c
        if self._criterion == "independence":
            return Batch(representations, c, values, None, present)
        if y is None:
            raise InputError("y is needed for criterion='separation'; use 'independence' to go without")
        if isinstance(self._condition_on, Attribute):
            groups, known = self._encode_condition(self._condition_on, y, n)
            return Batch(representations, c, values, groups, present & known)
        groups = self._condition_on(y) if self._condition_on is not None else y
        limits = self._find_limits(groups) if isinstance(groups, Tensor) else None
        groups = keep_range(groups) if isinstance(groups, Tensor) and limits is None else limit_labels(groups, limits)
        check_groups(groups, n)
        return Batch(representations, c, values, groups.long(), present, limits=limits)

    def _find_limits(self, labels: Tensor) -> tuple[int, int] | None:
        """Of labels on a GPU: the range there is room for, found by the first ones.

        Of later ones it is known after a call or two that they need more; till then they count as the highest.
        """
        if not is_asynchronous(labels) or labels.dtype not in _WHOLE or not len(labels):
            return None
        if not self._room:
            self._widen(find_range(labels))
        read_later(torch.stack(torch.aminmax(labels.long())), self._widen)
        return 0, self._room - 1

    def _widen(self, limits: Sequence[int]) -> None:
        low, high = limits
        if low < 0:
            raise InputError(f"y must hold labels >= 0, got {low}")
        self._room = max(self._room, self._n_groups if high < self._n_groups else 2 ** int(high).bit_length())

    def _encode_condition(self, condition: Attribute, y: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Labels (n,), those of several columns jointly, or covariates (n, k), and whether they are there."""
        try:
            encoded, known = condition.encode(y)
        except InputError as error:
            raise InputError(f"y, of condition_on={condition!r}: {error}") from None
        if len(encoded) != n:
            raise InputError(f"y must have {n} rows like z, got {len(encoded)}")
        if not isinstance(condition, Categorical):
            return encoded, known
        labels = torch.zeros_like(known, dtype=torch.long)
        for size, block in zip(condition.sizes, encoded.split(condition.sizes, dim=1), strict=True):
            labels = labels * size + block.argmax(dim=1)
        return labels, known

    def drop_missing(self, batch: Batch, *, exact: bool) -> Batch:
        """The rows that have the attribute, and what to condition on.

        Once all rows of a GPU had, later ones are taken to have, until it is known that some had not: in that call
        others stood in for them, unless ``exact``.
        """
        present = batch.present
        n: int = len(present)
        missing: int | Tensor
        if self._complete and not exact and is_asynchronous(present):
            read_later(present.all(), self._note)
            first = torch.argsort(present, descending=True, stable=True)
            there = present.sum()
            rows, missing = first[torch.arange(n, device=present.device) % there.clamp(min=1)], n - there
        else:
            n = int(present.sum())
            self._note(n == len(present))
            if n == len(present):
                return replace(batch, n=n)
            rows, missing = present, len(present) - n
        groups = None if batch.groups is None else limit_labels(batch.groups[rows], batch.limits)
        several = [h[rows] for h in batch.representations]
        values = batch.c[rows], batch.values[rows], groups, present[rows]
        return Batch(several, *values, n=n, missing=missing, limits=batch.limits)

    def _note(self, complete: bool) -> None:
        self._complete = complete and self._complete is not False


def expand_groups(values: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Expand covariates (n, k) to as many functions as the rows bear; labels stay as they are.

    Beside covariates, encoded c becomes normal scores: few rows far out would be all that regressions see.
    """
    if groups is None or not groups.is_floating_point():
        return values, groups
    functions = expand_covariates(groups, min(_MOST_FUNCTIONS, len(groups) // _ROWS_OF_A_FUNCTION))
    return compute_normal_scores(values).to(values), functions


def gather_batch(
    ranks: Ranks, batch: Batch, *, attribute: Attribute, banks: Iterable[nn.Module], summable: bool
) -> Batch:
    """The rows of all ranks.

    Where all estimators are ``summable``, the rows enough and labels no identifiers, they stay where they are. Else
    banks, of which each rank may hold rows of its own by then, are made the same everywhere, too.
    """
    groups = batch.groups
    labels = None if groups is None or groups.is_floating_point() else groups
    n_groups = int(labels.max()) + 1 if labels is not None and len(labels) else 0
    of_ranks = ranks.exchange(batch.n, n_groups, int(batch.missing))
    counts, missing = [numbers[0] for numbers in of_ranks], sum(numbers[2] for numbers in of_ranks)
    n = sum(counts)
    if summable and n >= LEAST_PAIRS and max(numbers[1] for numbers in of_ranks) <= MOST_LABELS:
        return replace(batch, pool=Pool(ranks, n, max(numbers[1] for numbers in of_ranks)), n=n, missing=missing)
    for bank in banks:
        cast(PairBank, bank).collect(ranks)
    representations = [ranks.gather_differentiably(h, counts) for h in batch.representations]
    c = ranks.gather(batch.c, counts)
    groups = None if groups is None else ranks.gather(groups, counts)
    values, present = attribute.encode(c)
    return Batch(representations, c, values, groups, present, n=n, missing=missing)
