"""A user's table: is it one, and can it be trained on?"""

from pathlib import Path
from typing import Any, NamedTuple

from ..column_kinds import describe_columns, name_level, read_frame
from ..errors import DataError, InputError
from ..leakage.table_columns import is_index

_SUFFIXES = (".csv", ".parquet")


def is_table(dataset: str) -> bool:
    """Whether the argument names a table by its suffix."""
    return Path(dataset).suffix.lower() in _SUFFIXES


class TrainingTable(NamedTuple):
    """A pandas frame without its index columns, the names of its attributes, and lines that say what was read."""

    frame: Any
    attributes: list[str]
    description: list[str]


def read_table(path: Path, label: str | None, attribute: str | None) -> TrainingTable:
    """Read a table that can be trained on. Raises `InputError`, `DataError`."""
    if label is None or attribute is None:
        raise InputError("a table needs --label and --attribute, names of columns")
    frame = _read(path)
    attributes = attribute.split(",")
    for option, name in (("--label", label), *(("--attribute", a) for a in attributes)):
        if name not in frame.columns:
            raise InputError(f"{option}: {path} has no column {name!r}; it has {', '.join(map(str, frame.columns))}")
    if label in attributes:
        raise InputError(f"--label and --attribute name the same column {label!r}")
    (labels,) = read_frame(frame[[label]])
    missing = int(labels.missing.sum())
    if missing:
        raise DataError(f"{path}: column {label!r} is missing in {missing} rows; leave those out")
    if len(frame) < 20:
        raise DataError(f"{path} has {len(frame)} rows; at least 20 are needed to train and to test")
    _, levels = labels.code()
    if len(levels) > 100:
        raise DataError(f"{path}: column {label!r} has {len(levels):,} values; a label has 100 at most")
    if len(levels) < 2:
        raise DataError(f"{path}: column {label!r} has one value only, {name_level(levels[0])!r}")
    whole = [n for n in frame.columns if n not in (label, *attributes) and frame[n].dtype.kind in "iu"]
    left_out = [n for n in whole if is_index(*read_frame(frame[n]))]
    frame = frame.drop(columns=left_out)
    features = [n for n in frame.columns if n not in (label, *attributes)]
    if not features:
        raise DataError(f"{path} has no column to learn from beside {label!r} and {', '.join(map(repr, attributes))}")
    roles = {"label": [label], "attribute": attributes, "feature": features}
    description = [f"{path}: {len(frame):,} rows", *describe_columns(frame, roles)]
    description += [f"left out: {n} (an index: whole numbers, each once)" for n in left_out]
    return TrainingTable(frame, attributes, description)


def _read(path: Path) -> Any:
    try:
        import pandas as pd
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed; pip install 'midebias[tabular]'") from None
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    try:
        frame = pd.read_csv(path, low_memory=False) if path.suffix.lower() == ".csv" else pd.read_parquet(path)
    except Exception as error:  # whatever the readers raise of a damaged file
        raise DataError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from error
    if frame.empty:
        raise DataError(f"{path} has no rows")
    return frame
