"""What `estimate_mi` accepts: arrays, tensors, frames, series and lists become tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arguments import check_representation
from ..attributes import Attribute, Categorical, Continuous, join_attributes
from ..columns import MOST_CATEGORIES, Column, read_columns, read_matrix
from ..errors import InputError

_LARGEST_LABEL = 255  # integers beyond are numbered by what there is of them


def read_representation(z: Any) -> Tensor:
    """Read z as a finite float Tensor of shape (n, dim), on the CPU."""
    if not isinstance(z, Tensor):
        with np.errstate(over="ignore"):  # what overflows is infinity, which is refused
            z = torch.from_numpy(np.array(read_matrix(z, "z"), dtype=np.float32))
    z = z.detach().cpu()
    z = z if z.is_floating_point() or z.is_complex() else z.float()
    check_representation(z)
    return z


def read_attribute(c: Any, n: int, attribute: Attribute | None) -> tuple[Tensor, Attribute]:
    """Read c as what ``attribute`` encodes, or find out by `Column.is_category`; integers are labels as they stand."""
    if attribute is not None and isinstance(c, Tensor):
        return c.detach().cpu(), attribute
    columns = read_columns(c, "c", n=n, like="z")
    if attribute is not None:
        values = [column.values if column.is_numeric else column.code()[0] for column in columns]
        return torch.from_numpy(np.column_stack(values)), attribute
    found = [_encode(column) for column in columns]
    return torch.from_numpy(np.column_stack([values for values, _ in found])), join_attributes([a for _, a in found])


def _encode(column: Column) -> tuple[np.ndarray, Attribute]:
    codes, levels = column.code()
    if column.is_category:
        if column.stored_as == "integer" and len(levels) == 2 and levels[0] == -1:
            raise InputError(f"{column.name} holds {levels[1]:g} and -1, which means missing: number its labels from 0")
        if column.stored_as == "integer" and len(levels) and levels[-1] <= _LARGEST_LABEL:
            return np.where(column.missing, -1, column.values), Categorical(max(2, int(levels[-1]) + 1))
        return codes, Categorical(max(2, len(levels)))
    if column.stored_as == "integer":
        raise InputError(
            f"{column.name} holds {len(levels)} distinct integers, more than {MOST_CATEGORIES}: say what they are by "
            "attribute=Categorical(n) for labels 0 to n - 1, or attribute=Continuous(1) for a quantity"
        )
    return column.values, Continuous(1)


def read_groups(values: Any, n: int, name: str) -> Tensor | None:
    """Read the labels to condition on as integers from 0, numbered in ascending order: (n,)."""
    if values is None:
        return None
    columns = read_columns(values, name, n=n, like="z")
    if len(columns) > 1:
        raise InputError(f"{name} must be one column of labels, got {len(columns)}")
    (column,) = columns
    if column.missing.any():
        raise InputError(f"{name} is missing in row {int(column.missing.argmax())}")
    codes, levels = column.code()
    if not column.is_category and column.stored_as != "integer":
        raise InputError(f"{name} must hold labels, got a quantity: continuous values are not binned silently")
    if column.stored_as == "integer" and levels[0] < 0:
        raise InputError(f"{name} must hold labels >= 0, got {levels[0]:g}")
    return torch.from_numpy(codes)
