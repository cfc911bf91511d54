"""The audit's questions: an attribute overall, within classes, and in each class."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .inputs import CodedColumn

_FEWEST_IN_CLASS = 200
_MOST_CLASSES = 20


@dataclass(frozen=True)
class Question:
    """An attribute in one condition; the strata are masks of the rows among which its categories are told apart."""

    attribute: CodedColumn
    condition: str
    strata: tuple[NDArray[np.bool_], ...]

    @property
    def entropy(self) -> float:
        """H(C), or H(C|Y) over the strata, in nats."""
        entropy = total = 0.0
        for mask in self.strata:
            counts = np.bincount(self.attribute.codes[mask]).astype(float)
            p = counts[counts > 0] / counts.sum()
            entropy -= counts.sum() * float((p * np.log(p)).sum())
            total += counts.sum()
        return entropy / total


@dataclass(frozen=True)
class Unaudited:
    """Rows in classes with too few rows, or in which the attribute hardly varies: no probe was asked there.

    ``rows`` of ``n`` rows; they could add up to ``nats`` to I(Z;C|Y): their share times H(C|Y) among them.
    """

    attribute: str
    rows: int
    n: int
    nats: float


def list_questions(
    attribute: CodedColumn, y: CodedColumn | None, warnings: list[str], unaudited: list[Unaudited]
) -> Iterator[Question]:
    """List what to ask about an attribute; what cannot be asked is added to ``warnings`` and to ``unaudited``."""
    present = attribute.codes >= 0
    counts = np.bincount(attribute.codes[present])
    smallest = int(counts[counts > 0].min())
    if smallest < 30:
        warnings.append(f"the rarest category of {attribute.name} has {smallest} rows: a leak about it may go unseen")
    yield Question(attribute, "overall", (present,))
    if y is None:
        return
    masks, unseen = dict[str, NDArray[np.bool_]](), list[NDArray[np.bool_]]()
    for code, name in enumerate(y.names):
        mask = present & (y.codes == code)
        counts = np.sort(np.bincount(attribute.codes[mask], minlength=1))
        # c has to vary within a class for anything to be told apart there.
        if mask.sum() >= _FEWEST_IN_CLASS and mask.sum() - counts[-1] >= 20:
            masks[name] = mask
        elif mask.any():
            unseen.append(mask)
    if unseen:
        rows, n = int(np.sum(unseen)), int((present & (y.codes >= 0)).sum())
        nats = float(Question(attribute, "within classes", tuple(unseen)).entropy) * rows / n
        unaudited.append(Unaudited(attribute.name, rows, n, nats))
        warnings.append(
            f"{rows:,} of {n:,} rows are in classes in which {attribute.name} hardly varies, or with fewer than "
            f"{_FEWEST_IN_CLASS} rows: not audited within classes, where they could hold {nats:.3f} nats"
        )
    if masks:
        yield Question(attribute, "within classes", tuple(masks.values()))
    if len(masks) > _MOST_CLASSES:
        warnings.append(f"{len(masks)} classes were audited together, and the first {_MOST_CLASSES} each alone too")
    for name, mask in list(masks.items())[:_MOST_CLASSES]:
        yield Question(attribute, f"y = {name}", (mask,))
