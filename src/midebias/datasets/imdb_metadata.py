"""Metadata of the public ``imdb_crop`` folder, as Matlab wrote them."""

import datetime
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

_FIELDS = ("dob", "photo_taken", "full_path", "gender")


def read_metadata(root: Path) -> dict[str, NDArray[Any]]:
    """Read the columns of ``imdb.mat``; ages are those at the photograph.

    Raises
    ------
    DataError
        When the file is missing, damaged, or names files outside ``root``.
    """
    from scipy.io import loadmat  # type: ignore[import-untyped,unused-ignore]  # not annotated

    path = root / "imdb.mat"
    try:
        content = loadmat(os.fspath(path), squeeze_me=True, struct_as_record=True)
        table = content["imdb"][()]
        columns = {name: np.atleast_1d(table[name]) for name in _FIELDS}
        n = len(columns["full_path"])
        score = _read_column(table, "face_score", n, 1.0)
        second = _read_column(table, "second_face_score", n, np.nan)
        names = [str(v) for v in np.atleast_1d(table["name"])] if "name" in (table.dtype.names or ()) else None
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: root must be the imdb_crop folder") from error
    except Exception as error:  # a damaged file fails in many ways
        raise DataError(f"{path} cannot be read as the metadata of imdb_crop ({error})") from error
    if any(len(v) != n for v in (*columns.values(), score, second)):
        raise DataError(f"{path}: its columns are of different lengths")
    paths = np.array([str(p) for p in columns["full_path"]])
    if any(Path(p).is_absolute() or ".." in Path(p).parts for p in paths):
        raise DataError(f"{path} names files outside {root}")
    return {
        "path": paths,
        "name": np.array(
            names if names is not None and len(names) == n else [Path(p).stem.split("_")[0] for p in paths]
        ),
        "gender": columns["gender"].astype(np.float64),
        "age": _compute_ages(columns["dob"].astype(np.float64), columns["photo_taken"].astype(np.float64)),
        "score": score,
        "second": second,
    }


def _read_column(table: Any, name: str, n: int, default: float) -> NDArray[np.float64]:
    if name not in (table.dtype.names or ()):
        return np.full(n, default)
    return np.atleast_1d(table[name]).astype(np.float64)


def _compute_ages(born: NDArray[np.float64], taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole years in the middle of the photograph's year, NaN where unknown; Matlab counts days from the year 0."""
    out = np.full(len(born), np.nan)
    for i, (day, year) in enumerate(zip(born, taken, strict=True)):
        if not (np.isfinite(day) and np.isfinite(year)) or not 367 <= day < 3_000_000:
            continue
        date = datetime.date.fromordinal(int(day) - 366)
        out[i] = year - date.year - ((date.month, date.day) > (7, 1))
    return out
