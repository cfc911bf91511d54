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


def list_questions(attribute: CodedColumn, y: CodedColumn | None, warnings: list[str]) -> Iterator[Question]:
    """List what to ask about an attribute; what cannot be asked is added to ``warnings``."""
    present = attribute.codes >= 0
    counts = np.bincount(attribute.codes[present])
    smallest = int(counts[counts > 0].min())
    if smallest < 30:
        warnings.append(f"the rarest category of {attribute.name} has {smallest} rows: a leak about it may go unseen")
    yield Question(attribute, "overall", (present,))
    if y is None:
        return
    masks: dict[str, NDArray[np.bool_]] = {}
    unseen = 0
    for code, name in enumerate(y.names):
        mask = present & (y.codes == code)
        counts = np.sort(np.bincount(attribute.codes[mask], minlength=1))
        # c has to vary within a class for anything to be told apart there.
        enough = mask.sum() >= _FEWEST_IN_CLASS and mask.sum() - counts[-1] >= 20
        if enough and len(masks) < _MOST_CLASSES:
            masks[name] = mask
        else:
            unseen += int(mask.sum())
    if unseen:
        warnings.append(
            f"{unseen:,} rows are in classes in which {attribute.name} hardly varies, or with fewer than "
            f"{_FEWEST_IN_CLASS} rows: not audited within classes"
        )
    if masks:
        yield Question(attribute, "within classes", tuple(masks.values()))
    for name, mask in masks.items():
        yield Question(attribute, f"y = {name}", (mask,))
