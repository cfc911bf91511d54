"""Copies of files of embeddings with another representation in its place: all else in them is as it was."""

import csv
import io
import shutil
from collections.abc import Sequence
from glob import escape
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InputError
from .table_columns import parse_lists

Floats = NDArray[np.floating[Any]]


def write_embeddings(source: Path, target: Path, dimensions: Sequence[str], z: Floats) -> list[str] | None:
    """Copy a file that `read_embeddings` has read to ``target``, with z in the place of its ``dimensions``.

    Types are kept, but whole numbers and booleans, which z is not, become floats. Numbers written as text have a point.
    An ``.h5ad`` keeps its representation, and has z in ``obsm`` beside it. Returns the ``columns`` with which
    `read_embeddings` finds z in ``target``. Raises `InputError` for a name that cannot be used, `DataError`.
    """
    return _WRITERS[source.suffix.lower()](source, target, dimensions, z)


def _shape(z: Floats, stored: NDArray[Any]) -> Floats:
    """In the shape and the type of what was there."""
    return z.reshape(stored.shape).astype(stored.dtype if stored.dtype.kind == "f" else np.float32)


def _write_npy(source: Path, target: Path, dimensions: Sequence[str], z: Floats) -> list[str] | None:
    np.save(target, _shape(z, np.load(source, mmap_mode="r", allow_pickle=False)))
    return None


def _write_npz(source: Path, target: Path, dimensions: Sequence[str], z: Floats) -> list[str] | None:
    (key,) = dimensions
    with ZipFile(source) as before, ZipFile(target, "w", allowZip64=True) as after:
        for entry in before.infolist():
            content = before.read(entry)  # the other arrays are copied as they are, whatever they hold
            if entry.filename.removesuffix(".npy") == key:
                buffer = io.BytesIO()
                np.save(buffer, _shape(z, np.load(io.BytesIO(content), allow_pickle=False)))
                content = buffer.getvalue()
            after.writestr(entry.filename, content, entry.compress_type)
    return [key]


def _write_text(source: Path, target: Path, dimensions: Sequence[str], z: Floats) -> list[str] | None:
    """Copy line by line, so that the other columns are never parsed."""
    import pandas as pd

    csv.field_size_limit(2**31 - 1)  # a list of numbers may be long
    separator = "\t" if source.suffix.lower() == ".tsv" else ","
    names = [str(name) for name in pd.read_csv(source, sep=separator, nrows=0).columns]  # also of columns without one
    with source.open(newline="", encoding="utf-8") as before, target.open("w", newline="", encoding="utf-8") as after:
        reader = csv.reader(before, delimiter=separator)
        writer = csv.writer(after, delimiter=separator, lineterminator="\n")
        lines = (cells for cells in reader if cells and not (len(cells) == 1 and cells[0].isspace()))
        writer.writerow(next(lines))
        columns, n = dict[int, _TextColumn](), 0
        for n, cells in enumerate(lines, 1):
            if not columns:
                shift = max(0, len(cells) - len(names))  # lines may begin with an index, which the first does not name
                end = 0
                for place in (names.index(name) + shift for name in dimensions):
                    columns[place] = _TextColumn(cells[place], end)
                    end = columns[place].end
            for place, column in columns.items():
                cells[place] = column.write(z[min(n, len(z)) - 1])
            writer.writerow(cells)
    if n != len(z):
        raise DataError(f"{source} cannot be copied: it has {n:,} lines for {len(z):,} rows")
    return [escape(name) for name in dimensions]


class _TextColumn:
    """A column of numbers, or of lists of them, written as text: which columns of z it is, and how it is written."""

    def __init__(self, example: str, start: int) -> None:
        numbers = parse_lists([example])[0] if example.strip()[:1] in ("[", "(") else None
        self.start, self.end, self.is_list = start, start + (len(numbers) if numbers else 1), numbers is not None
        self.separator = ", " if "," in example else " "

    def write(self, row: Floats) -> str:
        """Write the part of a row of z that belongs to the column, in as few digits as tell it apart."""
        texts = [str(value) for value in row[self.start : self.end]]
        return f"[{self.separator.join(texts)}]" if self.is_list else texts[0]


def _write_parquet(source: Path, target: Path, dimensions: Sequence[str], z: Floats) -> list[str] | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table, start = pq.ParquetFile(source).read(), 0
    for name in dimensions:
        if name not in table.column_names:
            raise InputError(f"{source}: {name!r} is the index of a data frame, no column: leave it out with --columns")
        place = table.column_names.index(name)
        field, first = table.schema.field(place), table.column(place)[0]
        kind, end, values = field.type, start + 1, list[Any]()
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            column = _TextColumn(first.as_py(), start)
            end, values = column.end, [column.write(row) for row in z]
        elif hasattr(kind, "value_type"):  # lists of any length, or all of one
            end = start + len(first)
            if not pa.types.is_floating(kind.value_type):
                kind = pa.list_(pa.float32())
            values = list(z[:, start:end].astype(kind.value_type.to_pandas_dtype()))
        else:
            kind = kind if pa.types.is_floating(kind) else pa.float32()
            values = list(z[:, start].astype(kind.to_pandas_dtype()))
        table = table.set_column(place, field.with_type(kind), pa.array(values, type=kind))
        start = end
    pq.write_table(table, target)
    return [escape(name) for name in dimensions]


def _write_anndata(source: Path, target: Path, dimensions: Sequence[str], z: Floats) -> list[str] | None:
    """Copy the file as it is, and add to ``obsm``: anndata would write all of it anew, as its own version does."""
    import h5py

    (key,) = dimensions
    name = f"{key}_erased"
    shutil.copyfile(source, target)
    with h5py.File(target, "r+") as file:
        if "obsm" not in file:
            file.create_group("obsm").attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
        if name in file["obsm"]:
            raise InputError(f"{source} has an obsm {name!r} already: rename it")
        stored = file["X"] if key == "X" else file["obsm"][key]
        kind = stored["data"].dtype if isinstance(stored, h5py.Group) else stored.dtype  # a group where it is sparse
        added = file["obsm"].create_dataset(name, data=z.astype(kind if kind.kind == "f" else np.float32))
        added.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return [name]


_WRITERS = {".npy": _write_npy, ".npz": _write_npz, ".h5ad": _write_anndata}
_WRITERS |= {".csv": _write_text, ".tsv": _write_text, ".parquet": _write_parquet, ".pq": _write_parquet}
