"""A user's table: is it one, and can it be trained on?"""

from pathlib import Path
from typing import Any

from ..errors import DataError, InputError

_SUFFIXES = (".csv", ".parquet")


def is_table(dataset: str) -> bool:
    """Whether the argument names a table by its suffix."""
    return Path(dataset).suffix.lower() in _SUFFIXES


def read_table(path: Path, label: str | None, attribute: str | None) -> tuple[Any, list[str]]:
    """Read a table that can be trained on, and the names of its attributes. Raises `InputError`, `DataError`."""
    if label is None or attribute is None:
        raise InputError("a table needs --label and --attribute, names of columns")
    frame = _read(path)
    attributes = attribute.split(",")
    for option, name in (("--label", label), *(("--attribute", a) for a in attributes)):
        if name not in frame.columns:
            raise InputError(f"{option}: {path} has no column {name!r}; it has {', '.join(map(str, frame.columns))}")
    if label in attributes:
        raise InputError(f"--label and --attribute name the same column {label!r}")
    missing = int(frame[label].isna().sum())
    if missing:
        raise DataError(f"{path}: column {label!r} is missing in {missing} rows; leave those out")
    if len(frame) < 20:
        raise DataError(f"{path} has {len(frame)} rows; at least 20 are needed to train and to test")
    if frame[label].nunique() > 100:
        raise DataError(f"{path}: column {label!r} has {frame[label].nunique():,} values; a label has 100 at most")
    counts = frame[label].value_counts()
    if len(counts) < 2:
        raise DataError(f"{path}: column {label!r} has one value only, {str(counts.index[0])!r}")
    return frame, attributes


def _read(path: Path) -> Any:
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed; pip install 'midebias[tabular]'") from None
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    try:
        frame = pd.read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except Exception as error:  # whatever the readers raise of a damaged file
        raise DataError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from error
    if frame.empty:
        raise DataError(f"{path} has no rows")
    return frame
