"""Columns of a table that labels images: of a CSV or Parquet file, a data frame, or a mapping."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError, InputError


def read_label_columns(table: Any, needed: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Sequence[Any]]:
    """Read the columns that are ``needed``, and the ``optional`` ones where they are there.

    Raises `DataError` where a column is missing or the file cannot be read.
    """
    if isinstance(table, (str, Path)):
        path = Path(table)
        if not path.is_file():
            raise DataError(f"table {path} does not exist")
        return (_read_parquet if path.suffix.lower() == ".parquet" else _read_csv)(path, needed, optional)
    found = getattr(table, "column_names", None)  # of pyarrow, whose ``columns`` are no names
    found = getattr(table, "columns", table) if found is None else found
    try:
        names = [str(name) for name in found]
    except TypeError:
        raise InputError(f"table must be a file, a data frame or a mapping, got {type(table).__name__}") from None
    columns = {name: table[name] for name in _select("table", needed, optional, names)}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise DataError(f"table has columns of different lengths, {min(lengths):,} and {max(lengths):,} rows")
    return columns


def _select(source: object, needed: Sequence[str], optional: Sequence[str], names: Sequence[str]) -> list[str]:
    for name in needed:
        if name not in names:
            raise DataError(f"{source} has no column {name!r}; it needs {', '.join(needed)}")
    twice = next((name for name in (*needed, *optional) if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{source} has several columns {twice!r}: rename them")
    return list(dict.fromkeys((*needed, *(name for name in optional if name in names))))


def _read_csv(path: Path, needed: Sequence[str], optional: Sequence[str]) -> dict[str, Sequence[Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = list(csv.reader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    names = _select(path, needed, optional, header)
    for line, row in enumerate(rows, start=2):
        if row and len(row) != len(header):
            raise DataError(f"{path}, line {line} has {len(row)} values; the header names {len(header)} columns")
    at = {name: header.index(name) for name in names}
    return {name: [row[i].strip() for row in rows if row] for name, i in at.items()}


def _read_parquet(path: Path, needed: Sequence[str], optional: Sequence[str]) -> dict[str, Sequence[Any]]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]  # not annotated
        import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]  # not annotated
    except ModuleNotFoundError:
        raise InputError(f"{path}: pyarrow is not installed; pip install 'midebias[tabular]'") from None
    try:
        with pq.ParquetFile(path) as file:
            names = _select(path, needed, optional, file.schema_arrow.names)
            content: dict[str, Sequence[Any]] = file.read(columns=names).to_pydict()
            return content
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
