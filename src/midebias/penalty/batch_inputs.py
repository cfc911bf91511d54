"""What a penalty is given, read and checked: the representations of a batch, and its attribute and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..arguments import check_groups
from ..attributes import Attribute
from ..devices import move_to
from ..errors import InputError
from ..representations import FeatureMap, Shape, Tokens, check_shape, width_of

Criterion = Literal["separation", "independence"]


@dataclass(frozen=True)
class AttributeRows:
    """What is known of a batch's rows: c as it was given and encoded, the groups, and whether c is there."""

    c: Tensor
    values: Tensor
    groups: Tensor | None
    present: Tensor

    @property
    def n_missing(self) -> int:
        """Rows without c."""
        return len(self.present) - int(self.present.sum())

    def drop_missing(self) -> AttributeRows:
        """The rows that have c."""
        groups = None if self.groups is None else self.groups[self.present]
        return AttributeRows(self.c[self.present], self.values[self.present], groups, self.present[self.present])


class InputReader:
    """Reads (z, c, y) as a penalty was built for; its arguments are those of `MIPenalty`.

    Parameters
    ----------
    dim : int, FeatureMap, Tokens, or a sequence of them
    attribute : Attribute
    criterion : {"separation", "independence"}
    condition_on : callable, optional

    Raises
    ------
    InputError
        An argument that cannot be used; the message names it.
    """

    def __init__(
        self,
        dim: Shape | Sequence[Shape],
        attribute: Attribute,
        criterion: Criterion,
        condition_on: Callable[[Tensor], Tensor] | None,
    ) -> None:
        if criterion not in ("separation", "independence"):
            raise InputError(f"criterion must be 'separation' or 'independence', got {criterion!r}")
        if condition_on is not None and criterion == "independence":
            raise InputError("condition_on goes with criterion='separation': 'independence' conditions on nothing")
        if not isinstance(attribute, Attribute):
            raise InputError(f"attribute must be Categorical, Continuous or Attributes, got {attribute!r}")
        self.shapes: tuple[Shape, ...] = (dim,) if isinstance(dim, (int, FeatureMap, Tokens)) else tuple(dim)
        self.widths = [width_of(shape) for shape in self.shapes]
        if not self.widths or min(self.widths) < 1:
            raise InputError(f"dim must name at least one representation of size >= 1, got {dim!r}")
        self.names = ["z"] if len(self.shapes) == 1 else [f"z[{k}]" for k in range(len(self.shapes))]
        self._attribute, self._criterion, self._condition_on = attribute, criterion, condition_on

    def read(self, z: Tensor | Sequence[Tensor], c: Tensor, y: Tensor | None) -> tuple[list[Tensor], AttributeRows]:
        """The representations, and what is known of their rows, on the device of the first."""
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
        groups = self._read_groups(y, n) if self._criterion == "separation" else None
        return representations, AttributeRows(c[:, None] if c.ndim == 1 else c, values, groups, present)

    def _read_groups(self, y: Tensor | None, n: int) -> Tensor:
        if y is None:
            raise InputError("y is needed for criterion='separation'; use 'independence' to go without")
        groups = self._condition_on(y) if self._condition_on is not None else y
        check_groups(groups, n)
        return groups.long()
