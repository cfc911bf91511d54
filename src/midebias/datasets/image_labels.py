"""Labels and attributes of images as tensors, by the one rule that says which columns hold categories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor

from ..attributes import Attribute, encode_columns, join_attributes
from ..column_kinds import Column, name_level, read_columns
from ..errors import DataError, InputError

Kind = Literal["category", "quantity"]
AttributeNames = str | Sequence[str | Sequence[str]]

_MOST_CLASSES = 1000


@dataclass(frozen=True)
class ImageLabels:
    """Labels and attributes of n images.

    Attributes
    ----------
    y : integer Tensor of shape (n,)
    c : Tensor of shape (n,) or (n, columns)
        Categories as integers; float32 where a column is a quantity or a value is missing (NaN).
    classes : tuple of str
        What the values of y stand for.
    parts : dict of str to Attribute
        The attributes that c holds side by side, by name.
    categories : dict of str to tuple of str
        What the values of each column of c stand for that holds categories.
    label : str
        What y is called.
    description : tuple of str
        A line for each column that says what it was read as, in all splits together.

    Examples
    --------
    >>> from midebias.datasets.image_labels import encode_labels
    >>> labels = encode_labels(("ill", ["yes", "no"]), {"sex": ["f", "m"], "age": [40.5, 61.0]}, None, source="table")
    >>> labels.y.tolist(), labels.c.tolist(), labels.classes, labels.categories
    ([1, 0], [[0.0, 40.5], [1.0, 61.0]], ('no', 'yes'), {'sex': ('f', 'm')})
    """

    y: Tensor
    c: Tensor
    classes: tuple[str, ...]
    parts: Mapping[str, Attribute]
    categories: Mapping[str, tuple[str, ...]]
    label: str = "y"
    description: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.y)

    @property
    def attribute(self) -> Attribute:
        """What encodes c."""
        return join_attributes(list(self.parts.values()))

    @property
    def missing(self) -> Tensor:
        """Which rows miss a value of an attribute: (n,)."""
        return self.c.reshape(len(self.c), -1).isnan().any(dim=1)

    def part(self, rows: Tensor) -> Self:
        """Select ``rows``."""
        return replace(self, y=self.y[rows], c=self.c[rows])


def group_names(attributes: AttributeNames) -> dict[str, tuple[str, ...]]:
    """Name the columns of each attribute: one, or several that are one quantity, whose names are joined by "+"."""
    several = [attributes] if isinstance(attributes, str) else list(attributes)
    groups = [(part,) if isinstance(part, str) else tuple(part) for part in several]
    columns = [name for group in groups for name in group]
    if not all(groups) or not groups or len(set(columns)) != len(columns):
        raise InputError(f"attributes must name at least one column, and none twice, got {attributes!r}")
    return {"+".join(group): group for group in groups}


def encode_labels(
    label: tuple[str, Any], attributes: Mapping[str, Any], kinds: Mapping[str, Kind] | None, *, source: object
) -> ImageLabels:
    """Encode the label, name and values, and attributes: by name values (n,) or (n, k), or a mapping of columns.

    ``kinds`` overrides, by name of an attribute, what is a category and what a quantity. Raises `DataError`.
    """
    kinds = kinds or {}
    for name, kind in kinds.items():
        if name not in attributes or kind not in ("category", "quantity"):
            raise InputError(f"kinds must map attributes to 'category' or 'quantity', got {name!r}: {kind!r}")
    parts, encoded, categories = dict[str, Attribute](), list[Tensor](), dict[str, tuple[str, ...]]()
    try:
        (column,) = read_columns(label[1], label[0])
        y, classes = _number(column)
        lines = [f"label {column.name}: {replace(column, stored_as='category').describe()}"]
        for name, values in attributes.items():
            columns = [c.declare(kinds[name]) if name in kinds else c for c in read_columns(values, name)]
            c, parts[name] = encode_columns(columns, standardize=False)
            encoded.append(c)
            lines += [f"attribute {column.name}: {column.describe()}" for column in columns]
            categories |= {c.name: tuple(map(name_level, c.code()[1])) for c in columns if c.is_category}
    except InputError as error:
        raise DataError(f"{source}: {error}") from error
    c = torch.cat(encoded, dim=1)
    if not bool(c.isnan().any()) and c.shape[1] == len(categories):
        c = c.long()
    return ImageLabels(y, c[:, 0] if c.shape[1] == 1 else c, classes, parts, categories, label[0], tuple(lines))


def _number(column: Column) -> tuple[Tensor, tuple[str, ...]]:
    """Number the classes of a label."""
    if n := int(column.missing.sum()):
        first = int(column.missing.argmax()) + 1
        raise InputError(f"label {column.name!r} is missing in {n:,} rows, row {first} for one: leave those out")
    codes, levels = column.code()
    if len(levels) < 2:
        raise InputError(f"label {column.name!r} has one value only: there is nothing to predict")
    whole = column.is_numeric and bool((column.values == column.values.round()).all())
    if not (column.is_category or whole) or len(levels) > _MOST_CLASSES:
        raise InputError(
            f"label {column.name!r} has {len(levels):,} values; a label has classes, whole numbers or names, and at "
            f"most {_MOST_CLASSES:,}: make classes of it"
        )
    return torch.from_numpy(codes), tuple(map(name_level, levels))
