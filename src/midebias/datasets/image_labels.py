"""Labels and attributes of image files: from a table beside them, or from the names of their folders."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import DataError, InputError

SPLITS = ("train", "test")
_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class LabelledFile:
    """An image file with the names of its label and attribute, and the part of the data it belongs to."""

    file: Path
    y: str
    c: str
    split: str


def read_label_table(table: Path, label: str, attribute: str) -> Iterator[LabelledFile]:
    """Read the rows of ``labels.csv`` or ``labels.parquet``. Raises `DataError` that names the row."""
    columns = ("file", label, attribute)
    read = _read_csv if table.suffix == ".csv" else _read_parquet
    for place, row in read(table, columns):
        split = row.get("split", "train")
        file, y, c = (row[name] for name in columns)
        if not (file and y and c):
            raise DataError(f"{table}, {place}: file, {label} and {attribute} must each be given")
        if split not in SPLITS:
            raise DataError(f"{table}, {place}: split must be 'train' or 'test', got {split!r}")
        yield LabelledFile(table.parent / file, y.strip(), c.strip(), split)


def _read_csv(table: Path, columns: Sequence[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _check_columns(table, columns, reader.fieldnames or ())
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read ({error})") from error
    yield from ((f"line {number}", row) for number, row in enumerate(rows, start=2))


def _read_parquet(table: Path, columns: Sequence[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]  # not annotated
        import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]  # not annotated
    except ModuleNotFoundError:
        raise InputError(f"{table}: pyarrow is not installed; pip install 'midebias[tabular]'") from None
    try:
        with pq.ParquetFile(table) as file:
            names = file.schema_arrow.names
            _check_columns(table, columns, names)
            content = file.read(columns=[n for n in dict.fromkeys((*columns, "split")) if n in names]).to_pydict()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{table} cannot be read ({error})") from error
    for number, values in enumerate(zip(*content.values(), strict=True), start=1):
        given = ("" if value is None or value != value else str(value) for value in values)
        yield f"row {number}", dict(zip(content, given, strict=True))


def _check_columns(table: Path, columns: Sequence[str], names: Sequence[str]) -> None:
    for name in columns:
        if name not in names:
            raise DataError(f"{table} has no column {name!r}; it needs {', '.join(columns)}")


def list_labelled_files(folder: Path) -> Iterator[LabelledFile]:
    """List the image files in ``[train/]Y/C/`` and ``test/Y/C/``."""
    splits = {s: folder / s for s in SPLITS} if (folder / "train").is_dir() else {"train": folder}
    for split, root in splits.items():
        for path in sorted(root.glob("*/*/*")):
            if path.suffix.lower() in _ENDINGS and path.is_file():
                yield LabelledFile(path, path.parent.parent.name, path.parent.name, split)


def number_names(names: Sequence[str]) -> Tensor:
    """Whole numbers from 0 as they are, other names by their places in alphabetical order."""
    whole = all(name.isascii() and name.isdigit() and len(name) < 7 for name in names)
    numbers = {name: int(name) if whole else place for place, name in enumerate(sorted(set(names)))}
    return torch.tensor([numbers[name] for name in names])


def parse_quantities(names: Sequence[str], source: Path) -> Tensor | None:
    """Numbers of which some have a decimal point, as float32; else None. Raises `DataError` for NaN or infinity."""
    try:
        values = torch.tensor([float(name) for name in names])
    except ValueError:
        return None
    if not any("." in name for name in names):
        return None
    if not values.isfinite().all():
        raise DataError(f"{source}: c holds NaN or infinity among its numbers")
    return values
