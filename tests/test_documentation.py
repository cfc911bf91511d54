"""Every public name has an entry for each parameter and each error, and an example that runs."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from .docstrings import check, read_names, read_section

_MODULES = (
    "midebias", "midebias.attributes", "midebias.datasets", "midebias.estimators", "midebias.estimation",
    "midebias.leakage", "midebias.penalty", "midebias.training", "midebias.methods", "midebias.networks",
    "midebias.lightning", "midebias.sklearn", "midebias.serving",
)  # fmt: skip
_WITH_EXAMPLES = (
    "midebias", "midebias.attributes", "midebias.datasets", "midebias.estimators", "midebias.lightning",
    "midebias.serving", "midebias.sklearn",
)  # fmt: skip
_RECORDS = {"Exported", "ServedModel"}  # what functions return; their examples are those of the functions


def _list_public(*modules: str) -> dict[str, Any]:
    """Return public classes and functions by name, each once, by the first module that has it."""
    found = dict[str, Any]()
    for module in modules:
        for name in import_module(module).__all__:
            thing = getattr(import_module(module), name)
            if (inspect.isclass(thing) or inspect.isfunction(thing)) and not any(thing is t for t in found.values()):
                found[f"{module}.{name}"] = thing
    return found


PUBLIC = _list_public(*_MODULES)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_parameter_and_error_has_its_entry(name: str) -> None:
    assert check(PUBLIC[name], "midebias") == []


@pytest.mark.parametrize("name", [n for n in _list_public(*_WITH_EXAMPLES) if n.split(".")[-1] not in _RECORDS])
def test_it_has_an_example(name: str) -> None:
    assert ">>> " in (PUBLIC[name].__doc__ or ""), "an example is missing"


def _documented(size: int, *rest: int, **options: int) -> int:
    """Add.

    Parameters
    ----------
    size : int
        In rows.
    *rest, **options : int
        More of them.

    Returns
    -------
    total : int
    """
    return size + sum(rest) + sum(options.values())


def _one_line(size: int) -> int:
    """Double the size."""
    return 2 * size


def _without_type(size: int) -> int:
    """Double.

    Parameters
    ----------
    size
        In rows.
    """
    return 2 * size


def _renamed(size: int) -> int:
    """Double.

    Parameters
    ----------
    sizes : int
        In rows.
    """
    return 2 * size


def _twice(size: int) -> int:
    """Double.

    Parameters
    ----------
    size : int
        In rows.
    size : int
        In rows.
    """
    return 2 * size


def _raises(size: int) -> int:
    """Double; ValueError for less than nothing.

    Parameters
    ----------
    size : int
        In rows.
    """
    if size < 0:
        raise ValueError("size")
    return 2 * size


class _Base:
    """Base.

    Parameters
    ----------
    width : int
        Columns.
    """

    def __init__(self, width: int) -> None:
        self.width = width

    def grow(self, by: int) -> int:
        """Grow by some columns."""
        return self.width + by

    def resize(self, to: int, *, keep: bool, fill: int) -> None:
        """Change the width.

        Parameters
        ----------
        to, fill : int
            Columns.
        keep : bool
            What is there.
        """


class _Inherits(_Base):
    """What it inherits has no entry here."""


class _Overrides(_Base):
    """Its method has a parameter more.

    Parameters
    ----------
    width : int
        Columns.
    """

    def resize(self, to: int, *, keep: bool, fill: int, slowly: bool = False) -> None:
        """Change the width, slowly or not."""


@dataclasses.dataclass
class _Record:
    """A result.

    Attributes
    ----------
    mi : float
        In nats.
    bits : float
        In bits.
    """

    mi: float
    error: float

    @property
    def bits(self) -> float:
        return 1.44 * self.mi


@pytest.mark.parametrize(
    ("thing", "wrong"),
    [
        (_documented, []),
        (_one_line, ["no entry for 'size'"]),
        (_without_type, ["no entry for 'size'", "'size : ?' is not a parameter"]),
        (_renamed, ["no entry for 'size'", "'sizes' is not a parameter"]),
        (_twice, ["'size' has two entries"]),
        (_raises, ["ValueError is raised and not documented"]),
        (_Base, []),
        (_Inherits, ["no entry for 'width'"]),
        (_Overrides, ["resize: no entry for 'slowly'"]),
        (_Record, ["no entry for 'error'"]),
    ],
)
def test_what_is_missing_or_too_much_is_found(thing: Callable[..., Any], wrong: list[str]) -> None:
    problems = check(thing, thing.__module__.split(".")[0])
    assert len(problems) == len(wrong)
    assert all(text in problem for text, problem in zip(wrong, problems, strict=True)), problems


def test_sections_end_where_the_next_begins() -> None:
    assert read_section(_documented.__doc__ or "", "Parameters") == ["size : int", "*rest, **options : int"]
    assert read_section(_documented.__doc__ or "", "Returns") == ["total : int"]
    assert read_section(_documented.__doc__ or "", "Raises") == []
    assert read_names(_documented.__doc__ or "", "Parameters", "Returns") == ["size", "*rest", "**options", "total"]
