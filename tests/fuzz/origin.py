"""Whose code a file is: told by the folder of the package itself, never by the name of a folder above it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType

import midebias

__all__ = ["belongs_to", "is_ours"]


@cache  # asked once per function that is entered, where lines are traced
def belongs_to(package: ModuleType, filename: str) -> bool:
    """Tell whether a file of a traceback is part of an installed package."""
    assert package.__file__ is not None
    path = Path(filename)
    # Code without a file says "<string>", which is below no folder, the current one included.
    return path.is_absolute() and path.resolve().is_relative_to(Path(package.__file__).resolve().parent)


def is_ours(filename: str) -> bool:
    """Tell whether a file of a traceback is part of midebias."""
    return belongs_to(midebias, filename)
