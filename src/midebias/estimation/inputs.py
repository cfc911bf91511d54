"""What `estimate_mi` accepts: arrays, tensors, frames, series and lists become tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..arguments import check_representation
from ..attributes import Attribute, Categorical, Continuous, LabelCount, join_attributes
from ..column_kinds import MOST_CATEGORIES, Column, name_level, read_columns
from ..errors import InputError
from ..matrices import read_matrix

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
    if attribute is not None:
        c = c.detach().cpu() if isinstance(c, Tensor) else _read_as(c, n, attribute)
        if c.ndim in (1, 2):
            LabelCount(attribute).observe(c)
        return c, attribute
    found = [_encode(column) for column in read_columns(c, "c", n=n, like="z")]
    return torch.from_numpy(np.column_stack([values for values, _ in found])), join_attributes([a for _, a in found])


def _read_as(c: Any, n: int, attribute: Attribute) -> Tensor:
    columns = read_columns(c, "c", n=n, like="z")
    is_text = [not k.is_numeric or (k.texts is not None and not isinstance(attribute, Continuous)) for k in columns]
    values = [column.code()[0] if text else column.values for column, text in zip(columns, is_text, strict=True)]
    return torch.from_numpy(np.column_stack(values))


def _encode(column: Column) -> tuple[np.ndarray, Attribute]:
    codes, levels = column.code()
    if column.is_category:
        column.check_categories()
        if column.stored_as == "integer" and len(levels) and levels[0] == -1:
            others = ", ".join(map(name_level, levels[1:4])) + ", ..." * (len(levels) > 4)
            raise InputError(
                f"{column.name} holds {others} and -1, which means missing among labels: number its labels from 0, and "
                "write NaN where it is missing, or say what it is by attribute=Categorical(n)"
            )
        if column.stored_as == "integer" and len(levels) and levels[-1] <= _LARGEST_LABEL:
            return np.where(column.missing, -1, column.values), Categorical(max(2, int(levels[-1]) + 1))
        return codes, Categorical(max(2, len(levels)))
    if column.stored_as == "integer":
        raise InputError(
            f"{column.name} holds {len(levels)} distinct integers, more than {MOST_CATEGORIES}: say what they are by "
            "attribute=Categorical(n) for labels 0 to n - 1, or attribute=Continuous(1) for a quantity"
        )
    return column.values, Continuous(1)


def read_conditions(values: Any, n: int, name: str) -> Tensor | None:
    """Read what to condition on: categories alone as labels (n,) from 0, with quantities as float columns (n, k).

    Labels are numbered in ascending order, those of several columns jointly. Beside quantities they are one-hot, and
    where they are numbers, as years of school, these stand beside them.
    """
    if values is None:
        return None
    labels, numbers, has_quantity = [], [], False
    for column in read_columns(values, name, n=n, like="z"):
        if column.missing.any():
            row, several = int(column.missing.argmax()), int(column.missing.sum())
            raise InputError(f"{column.name} is missing in row {row} ({several:,} rows in all): leave those out")
        codes, levels = column.code()
        if column.stored_as == "integer" and levels[0] < 0:
            raise InputError(f"{column.name} must hold labels >= 0, got {levels[0]:g}: write a quantity as floats")
        if column.is_numeric:
            numbers.append(torch.from_numpy(column.values).float())
        if column.is_category or column.stored_as == "integer":
            column.check_categories()
            labels.append(torch.from_numpy(codes))
        else:
            has_quantity = True
    if not has_quantity:
        return labels[0] if len(labels) == 1 else torch.unique(torch.stack(labels), dim=1, return_inverse=True)[1]
    onehot = [nn.functional.one_hot(codes).float() for codes in labels]
    return torch.cat([torch.stack(numbers, dim=1), *onehot], dim=1)
