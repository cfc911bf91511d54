"""Colours of the ten digits, given as an array or read from a file."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError, InputError


def as_colours(palette: ArrayLike, *, name: str = "palette") -> NDArray[np.float64]:
    """Ten colours given in 0 to 255, as an array (10, 3) in [0, 1]; `InputError`, which names it, for anything else."""
    try:
        colours = np.asarray(palette, dtype=np.float64) / 255
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} must hold numbers ({error})") from error
    if colours.shape != (10, 3):
        raise InputError(f"{name} must have shape (10, 3), got {colours.shape}")
    if not (colours.min() >= 0 and colours.max() <= 1):
        raise InputError(f"{name} must lie between 0 and 255")
    return colours


def read_palette(path: str | Path) -> tuple[tuple[float, float, float], ...]:
    """Read ten colours, a line each: red, green, blue in 0 to 255, joined by commas or blanks.

    Parameters
    ----------
    path : path

    Returns
    -------
    tuple of ten (red, green, blue)

    Raises
    ------
    DataError
        When the file cannot be read or holds something else.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from midebias.datasets import read_palette
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "grays.txt"
    ...     _ = path.write_text("\\n".join(f"{v} {v} {v}" for v in range(10)))
    ...     read_palette(path)[9]
    (9.0, 9.0, 9.0)
    """
    try:
        lines = [line.replace(",", " ").split() for line in Path(path).read_text(encoding="utf-8").splitlines()]
        rows = tuple(tuple(float(part) for part in line) for line in lines if line)
    except (OSError, ValueError) as error:
        raise DataError(f"palette {path} cannot be read ({error})") from error
    if len(rows) != 10 or any(len(row) != 3 or not all(0 <= v <= 255 for v in row) for row in rows):
        raise DataError(f"palette {path} must hold ten lines of three numbers from 0 to 255")
    return tuple((row[0], row[1], row[2]) for row in rows)
