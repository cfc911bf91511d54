"""The biased attribute c as tensors: labels, numbers, or several of both become float columns. Nothing is binned."""

from collections.abc import Sequence
from functools import partial
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from .arguments import checked
from .column_kinds import Column, name_level
from .deferred_reads import read_later, refuse
from .errors import InputError
from .marginals import encode_labels

__all__ = ["Attribute", "Attributes", "Categorical", "Continuous"]

_MOST_LEVELS = 256  # of text: more are identifiers
_MOST_ROWS_COUNTED = 10_000  # labels are numbered alike from the first rows on


class Attribute:
    """Base of the kinds of attributes.

    Attributes
    ----------
    width, dim : int
        Columns of c, and of c encoded.

    Raises
    ------
    InputError
        From `encode`: a c of another shape or kind.

    Examples
    --------
    >>> attribute: Attribute = Categorical((8, 8, 8))
    >>> attribute.width, attribute.dim
    (3, 24)
    """

    width: int
    dim: int

    def encode(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """Encode c.

        Parameters
        ----------
        c : Tensor of shape (n,) or (n, width)

        Returns
        -------
        values : float Tensor of shape (n, dim)
            Rows of missing samples are zero.
        present : bool Tensor of shape (n,)
        """
        raise InputError(f"{type(self).__name__} cannot encode; use Categorical, Continuous or Attributes")

    def _check_columns(self, c: Tensor) -> Tensor:
        if not isinstance(c, Tensor):
            raise InputError(f"c must be a torch.Tensor, got {type(c).__name__}")
        if c.is_complex():
            raise InputError(f"c must be real, got {c.dtype}")
        columns = c[:, None] if c.ndim == 1 else c
        if columns.ndim != 2 or columns.shape[1] != self.width:
            raise InputError(f"c must have shape (n, {self.width}), got {tuple(c.shape)}")
        return columns


class Categorical(Attribute):
    """Labels 0 .. n_categories - 1, one-hot encoded; -1 (or NaN in a floating c) means missing.

    Parameters
    ----------
    n_categories : int or sequence of int
        At least 2. A sequence describes several columns, each one-hot on its own.

    Raises
    ------
    InputError

    Examples
    --------
    >>> import torch
    >>> values, present = Categorical(3).encode(torch.tensor([2, 0, -1]))
    >>> values.tolist(), present.tolist()
    ([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [True, True, False])
    """

    @checked
    def __init__(self, n_categories: int | Sequence[int]) -> None:
        several = (n_categories,) if isinstance(n_categories, Integral | int) else n_categories
        self.sizes = tuple(int(n) for n in several)
        if not self.sizes or min(self.sizes) < 2:
            raise InputError(f"n_categories must be at least 2 for each column, got {n_categories}")
        self.width, self.dim = len(self.sizes), sum(self.sizes)

    def __repr__(self) -> str:
        return f"Categorical({self.sizes[0] if self.width == 1 else self.sizes})"

    def encode(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """See `Attribute.encode`. Raises `InputError` for labels out of range or not whole."""
        columns = self._check_columns(c)
        if columns.is_floating_point():
            columns = torch.nan_to_num(columns, nan=-1.0, posinf=-2.0, neginf=-2.0)
        whole = columns.long()
        if len(columns):
            broken = (columns != columns.round()).any(dim=0).long() if columns.is_floating_point() else whole[0] * 0
            read_later(torch.stack([*torch.aminmax(whole, dim=0), broken]), self._check_labels)
        present = (whole != -1).all(dim=1)
        parts = [encode_labels(column, size).float() for column, size in zip(whole.unbind(1), self.sizes, strict=True)]
        # A row that misses one of several labels is missing.
        return parts[0] if self.width == 1 else torch.cat(parts, dim=1) * present[:, None], present

    def _check_labels(self, found: list[list[int]]) -> None:
        if any(found[2]):
            raise InputError("c holds fractions but is declared Categorical: bin it yourself or use Continuous")
        for j, (low, high, size) in enumerate(zip(*found[:2], self.sizes, strict=True)):
            if low < -1 or high >= size:
                raise InputError(f"c column {j} must hold labels 0 to {size - 1} (-1 for missing), got {low} to {high}")

    def entropy(self, c: Tensor) -> float:
        """Compute the plug-in joint entropy H(C) in nats of the rows that are not missing: an upper limit of I(Z;C).

        Parameters
        ----------
        c : Tensor of shape (n,) or (n, width)
        """
        values, present = self.encode(c)
        values = values[present]
        cells = values.argmax(dim=1) if self.width == 1 else values  # sorting rows takes far longer
        _, counts = torch.unique(cells, dim=0, return_counts=True)
        p = counts.double() / counts.sum()
        return float(-(p * p.log()).sum())


class Continuous(Attribute):
    """Real columns, taken as they are; NaN means missing.

    Parameters
    ----------
    dim : int
        Number of columns, at least 1.

    Raises
    ------
    InputError

    Examples
    --------
    >>> import torch
    >>> values, present = Continuous().encode(torch.tensor([35.0, float("nan")]))
    >>> values.tolist(), present.tolist()
    ([[35.0], [0.0]], [True, False])
    """

    @checked
    def __init__(self, dim: int = 1) -> None:
        if dim < 1:
            raise InputError(f"dim must be at least 1, got {dim}")
        self.width = self.dim = dim

    def __repr__(self) -> str:
        return f"Continuous({self.dim})"

    def encode(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """See `Attribute.encode`. Raises `InputError` for infinite values."""
        columns = self._check_columns(c).float()
        present = ~columns.isnan().any(dim=1)
        values = torch.where(present[:, None], columns, 0.0)
        broken = ~values.sum(dtype=torch.float64).isfinite()
        refuse(broken, InputError("c contains infinity; use NaN for missing values"))
        return values, present


class Attributes(Attribute):
    """Several attributes side by side, taken jointly: a row is missing when any of its attributes is.

    Where other rows miss one than miss another, give each attribute a penalty of its own.

    Parameters
    ----------
    *parts : Attribute
        In the order of c's columns.

    Raises
    ------
    InputError

    Examples
    --------
    >>> import torch
    >>> both = Attributes(Categorical(2), Continuous(1))
    >>> both.encode(torch.tensor([[1.0, 35.0]]))[0].tolist()
    [[0.0, 1.0, 35.0]]
    """

    @checked
    def __init__(self, *parts: Attribute) -> None:
        if not parts:
            raise InputError("Attributes needs at least one attribute")
        self.parts = parts
        self.width, self.dim = sum(p.width for p in parts), sum(p.dim for p in parts)

    def __repr__(self) -> str:
        return f"Attributes({', '.join(map(repr, self.parts))})"

    def encode(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """See `Attribute.encode`."""
        columns = self._check_columns(c).split([p.width for p in self.parts], dim=1)
        values, masks = zip(*(p.encode(s) for p, s in zip(self.parts, columns, strict=True)), strict=True)
        present = torch.stack(masks).all(dim=0)
        return torch.cat(values, dim=1) * present[:, None], present


class LabelCount:
    """Counts the labels of an attribute's categorical columns, until each category of a column was seen.

    -1 means missing. Where labels are numbered from -1, as in -1 and 1, a category would be taken for missing, and
    nothing said: so often is -1 there while another category never is.
    """

    def __init__(self, attribute: Attribute) -> None:
        self._open = {j: size for j, size in enumerate(list_sizes(attribute)) if size}
        self._seen: dict[int, set[int]] = {j: set() for j in self._open}
        self._counts = {j: [0, 0] for j in self._open}  # missing, present

    def observe(self, c: Tensor, *, name: str = "c") -> None:
        """Count the labels c (n,) or (n, width). Raises `InputError` where they seem to be numbered from -1."""
        columns = c.detach()[:, None] if c.ndim == 1 else c.detach()
        for j, size in list(self._open.items()):
            labels = columns[:, j]
            labels = labels.nan_to_num(nan=-2.0).long() if labels.is_floating_point() else labels.long()
            read_later(encode_labels(labels + 1, size + 1).sum(dim=0), partial(self._count, j, name))

    def _count(self, j: int, name: str, found: list[int]) -> None:
        if j not in self._open:
            return
        size, (missing, *counts) = self._open[j], found
        self._seen[j] |= {label for label, n in enumerate(counts) if n}
        self._counts[j] = [self._counts[j][0] + missing, self._counts[j][1] + sum(counts)]
        if len(self._seen[j]) == size or self._counts[j][1] > _MOST_ROWS_COUNTED:
            del self._open[j]
        elif _detect_shift(self._seen[j], size, *self._counts[j]):
            raise InputError(
                f"{name} holds -1, which means missing, in {self._counts[j][0]:,} rows, and never "
                f"{0 if 0 not in self._seen[j] else size - 1}: number its labels from 0, or write NaN where it is "
                "missing"
            )


def list_sizes(attribute: Attribute) -> list[int]:
    """List the number of categories of each column of c; 0 of a quantity."""
    if isinstance(attribute, Attributes):
        return [size for part in attribute.parts for size in list_sizes(part)]
    return list(attribute.sizes) if isinstance(attribute, Categorical) else [0] * attribute.width


def _detect_shift(seen: set[int], size: int, missing: int, present: int) -> bool:
    if missing < max(32, 0.1 * (missing + present)):
        return False
    # A rare category may be missing from a few rows, but hardly the first one.
    coded_by_sign = size == 2 and seen == {1} and present >= 32
    return coded_by_sign or (seen == set(range(size - 1)) and present >= 500)


def join_attributes(parts: Sequence[Attribute]) -> Attribute:
    """Join attributes of columns side by side: those of one kind to one of that kind, others to `Attributes`."""
    if len(parts) == 1:
        return parts[0]
    labels = [part.sizes for part in parts if isinstance(part, Categorical)]
    if len(labels) == len(parts):
        return Categorical(sum(labels, ()))
    if all(isinstance(part, Continuous) for part in parts):
        return Continuous(sum(part.width for part in parts))
    return Attributes(*parts)


def split_attribute(attribute: Attribute) -> tuple[Attribute, ...]:
    """Split into the attributes that c holds side by side: what `join_attributes` joins."""
    if isinstance(attribute, Attributes):
        return attribute.parts
    if isinstance(attribute, Categorical):
        return tuple(map(Categorical, attribute.sizes))
    return tuple(Continuous(1) for _ in range(attribute.width))


def encode_columns(columns: Sequence[Column], *, standardize: bool = True) -> tuple[Tensor, Attribute]:
    """Number categories and standardise quantities: c (n, columns), NaN where missing, and what encodes it."""
    values, parts = zip(*(_encode_column(column, standardize) for column in columns), strict=True)
    c = torch.tensor(np.column_stack(values), dtype=torch.float32)
    if bool(c.isnan().any(dim=1).all()):
        raise InputError("sensitive_features has no row without a missing value")
    return c, join_attributes(parts)


def encode_covariates(columns: Sequence[Column]) -> tuple[Tensor, Tensor]:
    """Encode columns to condition on: one-hot categories, and numbers, also those that categories are; and a mask."""
    numbered = [column.declare("quantity") for column in columns if column.is_category and column.is_numeric]
    values, attribute = encode_columns([*columns, *numbered])
    return attribute.encode(values)


def _encode_column(column: Column, standardize: bool) -> tuple[np.ndarray, Attribute]:
    codes, levels = column.code()
    if len(levels) == 0:
        raise InputError(f"attribute {column.name!r} is missing in every row")
    if len(levels) == 1:
        raise InputError(
            f"attribute {column.name!r} has one value only ({name_level(levels[0])}): there is nothing to be hidden"
        )
    if not column.is_category:
        if not standardize:
            return column.values, Continuous(1)
        present = column.values[~column.missing]
        return (column.values - present.mean()) / present.std(), Continuous(1)
    if len(levels) > _MOST_LEVELS:
        raise InputError(
            f"attribute {column.name!r} has {len(levels):,} categories, more than {_MOST_LEVELS}: "
            "merge them, or give numbers if it is a quantity"
        )
    column.check_categories()
    return np.where(codes < 0, np.nan, codes), Categorical(len(levels))
