"""Embeddings in files, whoever wrote them: .npy, .npz, .csv, .parquet, .h5ad. Nothing is unpickled."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..column_kinds import read_frame
from ..errors import DataError, InputError
from ..matrices import stack_lists
from .table_columns import holds_numbers, is_index, is_list_column, parse_lists


class EmbeddingFile(NamedTuple):
    """What a file holds: z (n, dim), the named columns as they are, and where z was found: columns, or an array.

    ``left_out`` names what else there is, and says why it is no part of z.
    """

    z: NDArray[Any]
    columns: dict[str, Any]
    dimensions: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def describe(self) -> list[str]:
        """Write what z is, and what it is not."""
        shown = ", ".join(self.dimensions[:8]) + (f", ... {self.dimensions[-1]}" if len(self.dimensions) > 8 else "")
        lines = [f"z: {' x '.join(map(str, self.z.shape))} numbers, from {shown}"]
        return lines + ([f"not in z: {', '.join(self.left_out)}"] if self.left_out else [])

    def check_single(self, path: Path, names: Sequence[str]) -> None:
        """Raise `InputError` where a named column of ``path`` is an array of several."""
        for name in names:
            if self.columns[name].ndim != 1:
                raise InputError(f"{path}: {name!r} must be one column, got shape {self.columns[name].shape}")


def read_embeddings(
    path: str | Path, named: Sequence[str], *, columns: Sequence[str] | None = None, table: str | Path | None = None
) -> EmbeddingFile:
    """Read a representation and the columns ``named`` beside it.

    The representation is the array (``.npy``), the array ``z`` (``.npz``), ``X``, with the columns in ``obs``
    (``.h5ad``); of tables the one column of lists or else every numeric column that is neither named nor an index.
    ``columns`` says what it is instead: the name of an array, a key of ``obsm``, or names of columns or patterns such
    as ``z_*``. ``table`` has the named columns, in the same order.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    if path.suffix.lower() not in _READERS:
        raise DataError(f"{path} is none of .npy, .npz, .csv, .tsv, .parquet, .h5ad")
    found = _READERS[path.suffix.lower()](path, () if table is not None else named, columns)
    if table is None:
        return found
    frame = _read_frame(Path(table), named)
    _check_named(Path(table), named, list(frame.columns))
    if len(frame) != len(found.z):
        raise DataError(f"{table} has {len(frame)} rows, and {path} has {len(found.z)}")
    return found._replace(columns={n: frame[n] for n in named})


def _check_named(path: Path, named: Sequence[str], available: Sequence[str]) -> None:
    for name in named:
        if name not in available:
            shown = ", ".join(map(str, available[:12])) + (", ..." if len(available) > 12 else "")
            raise InputError(f"{path} has no column {name!r}; it has {shown or 'none'}")


@contextmanager
def _refuse_damage(path: Path) -> Iterator[None]:
    """Say of whatever a parser raises that the file cannot be read."""
    try:
        yield
    except (InputError, ImportError):
        raise
    except Exception as error:  # a damaged header fails in many ways
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{path} cannot be read: {lines[0]}") from error


def _read_npy(path: Path, named: Sequence[str], columns: Sequence[str] | None) -> EmbeddingFile:
    if columns is not None:
        raise InputError(f"--columns: {path} is one array and has no names")
    if named:
        raise InputError(f"{path} has no column {named[0]!r}: give a table of attributes with --table")
    with _refuse_damage(path):
        return EmbeddingFile(np.load(path, mmap_mode="r", allow_pickle=False), {}, (path.stem,))


def _read_npz(path: Path, named: Sequence[str], columns: Sequence[str] | None) -> EmbeddingFile:
    key, *others = columns or ["z"]
    if others:
        raise InputError(f"--columns must name one array of {path}, got {', '.join([key, *others])}")
    # Opened here, because numpy leaves a file open that turns out to be no archive.
    with _refuse_damage(path), path.open("rb") as raw, np.load(raw, allow_pickle=False) as content:
        if key not in content.files:
            raise InputError(f"{path} has no array {key!r}; it has {', '.join(content.files)}")
        _check_named(path, named, content.files)
        left_out = tuple(n for n in content.files if n != key and n not in named)
        return EmbeddingFile(content[key], {n: content[n] for n in named}, (key,), left_out)


def _read_table(path: Path, named: Sequence[str], columns: Sequence[str] | None) -> EmbeddingFile:
    frame = _read_frame(path, named)
    names = list(frame.columns)
    _check_named(path, named, names)
    chosen, left_out = _choose_columns(path, frame, named) if columns is None else ([], ())
    for pattern in columns or ():
        matching = [n for n in names if fnmatchcase(n, pattern) and n not in chosen]
        if not matching:
            raise InputError(f"--columns: {path} has no column {pattern!r}")
        chosen += matching
    for name in chosen:
        if name in named:
            raise InputError(f"--columns: {name!r} is an attribute, label or prediction, and not the representation")
    parts = [_read_numbers(path, frame[name]) for name in chosen]
    z = np.concatenate(parts, axis=1, dtype=np.float32)
    return EmbeddingFile(z, {n: frame[n] for n in named}, tuple(chosen), left_out)


def _choose_columns(path: Path, frame: Any, named: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Choose the one column of lists or, without one, all numbers that are no index; and say what was left out."""
    others = [n for n in frame.columns if n not in named]
    lists = [n for n in others if is_list_column(frame[n])]
    if len(lists) > 1:
        raise InputError(f"{path} has several columns of lists, {', '.join(lists)}: name one with --columns")
    chosen, left_out = [*lists], list[str]()
    for name in (n for n in others if n not in lists):
        try:
            (column,) = read_frame(frame[name])
        except InputError as error:
            raise InputError(f"{path}: {error}, or name the columns of the representation with --columns") from error
        if not column.is_numeric and holds_numbers(column):
            raise InputError(
                f"{path}: column {name!r} mixes numbers and text: make numbers of it, or name the columns of the "
                "representation with --columns"
            )
        if not column.is_numeric:
            left_out.append(f"{name} (text)")
        elif is_index(column):
            left_out.append(f"{name} (an index: whole numbers, each once)")
        elif lists:
            left_out.append(f"{name} (numbers beside the lists in {lists[0]})")
        else:
            chosen.append(name)
    if not chosen:
        beside = f", but {'; '.join(left_out)}" if left_out else ""
        raise DataError(f"{path} has no numeric column besides those named{beside}")
    return chosen, tuple(left_out)


def _read_numbers(path: Path, series: Any) -> NDArray[np.float64]:
    """Read a column of numbers, or of lists of them, as a matrix (n, dim)."""
    if is_list_column(series):
        return stack_lists(parse_lists(series), f"{path}: column {series.name!r}")
    (column,) = read_frame(series)
    if not column.is_numeric:
        raise InputError(f"--columns: {series.name!r} in {path} does not hold numbers")
    if column.missing.any():
        n, row = int(column.missing.sum()), int(column.missing.argmax())
        raise DataError(f"{path}: column {series.name!r} is part of z, and is missing in {n:,} rows, as in row {row}")
    return column.values[:, None]


def _read_frame(path: Path, named: Sequence[str]) -> Any:
    """Read a table; what is named as text, in which "01" and "1.10" are not 1 and 1.1."""
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    try:
        import pandas as pd

        with _refuse_damage(path):
            if path.suffix.lower() in (".parquet", ".pq"):
                frame = pd.read_parquet(path)
                frame = frame if isinstance(frame.index, pd.RangeIndex) else frame.reset_index()
            else:
                separator = "\t" if path.suffix.lower() == ".tsv" else ","
                frame = pd.read_csv(path, sep=separator, low_memory=False, dtype=dict.fromkeys(named, str))
        frame.columns = [str(c) for c in frame.columns]
        return frame
    except ImportError as error:
        missing = "pandas" if error.name == "pandas" else "pyarrow"
        raise InputError(f"{path}: {missing} is not installed; pip install 'midebias[audit]'") from None


def _read_anndata(path: Path, named: Sequence[str], columns: Sequence[str] | None) -> EmbeddingFile:
    try:
        import anndata

        with _refuse_damage(path):
            content = anndata.read_h5ad(path)
    except ImportError:
        raise InputError(f"{path}: anndata is not installed; pip install anndata") from None
    _check_named(path, named, list(content.obs.columns))
    key = None if columns is None else columns[0]
    if key is not None and key not in content.obsm:
        raise InputError(f"--columns: {path} has no obsm {key!r}; it has {', '.join(content.obsm)}")
    z = content.X if key is None else content.obsm[key]
    if hasattr(z, "toarray"):
        z = z.toarray()
    return EmbeddingFile(np.asarray(z), {n: content.obs[n] for n in named}, (key or "X",))


_READERS = {".npy": _read_npy, ".npz": _read_npz, ".h5ad": _read_anndata}
_READERS |= dict.fromkeys((".csv", ".tsv", ".parquet", ".pq"), _read_table)
