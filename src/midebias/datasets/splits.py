"""Which rows of a data set belong to which of its parts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError, InputError

SPLITS = ("train", "val", "test", "id_val", "id_test")
"""Names of parts; 0, 1 and 2 in a column stand for the first three, as in CelebA, Waterbirds and WILDS."""

HELD_OUT = {"train": 0.8, "test": 0.2}
"""Fractions of data that come without a split."""


def read_splits(values: Sequence[Any], source: object) -> dict[str, Tensor]:
    """Find the rows of each split from its names in a column. Raises `DataError` that names the row."""
    numbered = {str(number): name for number, name in enumerate(SPLITS[:3])}
    names = [numbered.get(text, text) for text in (str(value).strip() for value in values)]
    for row, name in enumerate(names, start=1):
        if name not in SPLITS:
            raise DataError(f"{source}, row {row}: split must be {', '.join(SPLITS)} or 0 to 2, got {name!r}")
    codes = np.array(names)
    rows = {split: torch.from_numpy((codes == split).nonzero()[0]) for split in SPLITS}
    return {split: at for split, at in rows.items() if len(at)}


def draw_splits(rows: Tensor, fractions: Mapping[str, float], *, seed: int) -> dict[str, Tensor]:
    """Part ``rows`` at random by ``fractions`` that add up to 1; each split but "train" has at least one."""
    if not fractions or not set(fractions) <= set(SPLITS) or "train" not in fractions:
        raise InputError(f"fractions must name train and others of {', '.join(SPLITS)}, got {', '.join(fractions)}")
    if not all(share > 0 for share in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
        raise InputError(f"fractions must be positive and add up to 1, got {dict(fractions)}")
    order, drawn = rows[torch.from_numpy(np.random.default_rng(seed).permutation(len(rows)))], dict[str, Tensor]()
    for split, share in fractions.items():
        if split != "train":
            held = max(1, int(share * len(rows)))
            drawn[split], order = order[:held], order[held:]
    return {split: order if split == "train" else drawn[split] for split in fractions}
