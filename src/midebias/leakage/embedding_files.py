"""Embeddings in files, whoever wrote them: .npy, .npz, .csv, .parquet, .h5ad. Nothing is unpickled."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InputError

_TABLES = (".csv", ".tsv", ".parquet", ".pq")


@dataclass(frozen=True)
class EmbeddingFile:
    """What a file holds.

    Attributes
    ----------
    path : Path
    z : array of shape (n, dim)
    columns : dict of name to array of shape (n,) or (n, k)
        Everything that was asked for and is not the representation.
    dimensions : tuple of str
        Where z was found: column names, or the name of an array.
    """

    path: Path
    z: NDArray[Any]
    columns: dict[str, NDArray[Any]]
    dimensions: tuple[str, ...]


def read_embeddings(
    path: str | Path, named: Sequence[str], *, columns: Sequence[str] | None = None, table: str | Path | None = None
) -> EmbeddingFile:
    """Read a representation and the columns ``named`` beside it.

    Parameters
    ----------
    path : path
        ``.npz``: the representation is the array ``z``. ``.npy``: the array. Tables: every numeric column not named.
        ``.h5ad`` (needs anndata): ``X``; columns come from ``obs``.
    named : sequence of str
    columns : sequence of str, optional
        What the representation is instead: names or patterns such as ``z_*`` of columns, the name of an array, or a
        key of ``obsm``.
    table : path, optional
        A table in the same order of rows, where the named columns are taken from.

    Raises
    ------
    DataError
        A file that is missing, damaged, or of another kind.
    InputError
        A column that the file does not have.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    kind = path.suffix.lower()
    readers = {".npy": _read_npy, ".npz": _read_npz, ".h5ad": _read_anndata} | dict.fromkeys(_TABLES, _read_table)
    if kind not in readers:
        raise DataError(f"{path} is none of .npy, .npz, .csv, .tsv, .parquet, .h5ad")
    beside = () if table is not None else tuple(named)
    found = readers[kind](path, beside, columns)
    if table is None:
        return found
    frame = _read_frame(Path(table))
    _check_named(Path(table), named, list(frame.columns))
    if len(frame) != len(found.z):
        raise DataError(f"{table} has {len(frame)} rows, and {path} has {len(found.z)}")
    return EmbeddingFile(path, found.z, {n: frame[n].to_numpy() for n in named}, found.dimensions)


def _check_named(path: Path, named: Sequence[str], available: Sequence[str]) -> None:
    for name in named:
        if name not in available:
            shown = ", ".join(map(str, available[:12])) + (", ..." if len(available) > 12 else "")
            raise InputError(f"{path} has no column {name!r}; it has {shown or 'none'}")


def _read_npy(path: Path, named: Sequence[str], columns: Sequence[str] | None) -> EmbeddingFile:
    if columns is not None:
        raise InputError(f"--columns: {path} is one array and has no names")
    if named:
        raise InputError(f"{path} has no column {named[0]!r}: give a table of attributes with --table")
    try:
        z = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged header fails in many ways
        raise DataError(f"{path} cannot be read: {_shorten(error)}") from error
    return EmbeddingFile(path, z, {}, (path.stem,))


def _read_npz(path: Path, named: Sequence[str], columns: Sequence[str] | None) -> EmbeddingFile:
    key = "z" if columns is None else columns[0]
    if columns is not None and len(columns) > 1:
        raise InputError(f"--columns must name one array of {path}, got {', '.join(columns)}")
    try:
        # Opened here, because numpy leaves a file open that turns out to be no archive.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as content:
            if key not in content.files:
                raise InputError(f"{path} has no array {key!r}; it has {', '.join(content.files)}")
            _check_named(path, named, content.files)
            arrays = {name: content[name] for name in {key, *named}}
    except InputError:
        raise
    except Exception as error:  # zip and array headers fail in many ways
        raise DataError(f"{path} cannot be read: {_shorten(error)}") from error
    return EmbeddingFile(path, arrays[key], {n: arrays[n] for n in named}, (key,))


def _read_table(path: Path, named: Sequence[str], columns: Sequence[str] | None) -> EmbeddingFile:
    frame = _read_frame(path)
    names = [str(c) for c in frame.columns]
    frame.columns = names
    _check_named(path, named, names)
    numeric = [n for n in names if n not in named and frame[n].dtype.kind in "fiub"]
    if columns is None:
        chosen = numeric
    else:
        chosen = []
        for pattern in columns:
            matching = [n for n in names if fnmatchcase(n, pattern) and n not in chosen]
            if not matching:
                raise InputError(f"--columns: {path} has no column {pattern!r}")
            chosen += matching
        both = [n for n in chosen if n in named]
        if both:
            raise InputError(f"--columns: {both[0]!r} is an attribute, label or prediction, and not the representation")
    if not chosen:
        raise DataError(f"{path} has no numeric column besides those named")
    bad = [n for n in chosen if frame[n].dtype.kind not in "fiub"]
    if bad:
        raise InputError(f"--columns: {bad[0]!r} in {path} does not hold numbers")
    z = frame[chosen].to_numpy(dtype=np.float32)
    return EmbeddingFile(path, z, {n: frame[n].to_numpy() for n in named}, tuple(chosen))


def _read_frame(path: Path) -> Any:
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise InputError(f"{path}: pandas is not installed; pip install 'midebias[audit]'") from None
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pd.read_parquet(path)
        return pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",")
    except ImportError:
        raise InputError(f"{path}: pyarrow is not installed; pip install 'midebias[audit]'") from None
    except Exception as error:  # parsers raise errors of their own, of many kinds
        raise DataError(f"{path} cannot be read: {_shorten(error)}") from error


def _read_anndata(path: Path, named: Sequence[str], columns: Sequence[str] | None) -> EmbeddingFile:
    try:
        import anndata
    except ModuleNotFoundError:
        raise InputError(f"{path}: anndata is not installed; pip install anndata") from None
    try:
        content = anndata.read_h5ad(path)
    except Exception as error:
        raise DataError(f"{path} cannot be read: {_shorten(error)}") from error
    _check_named(path, named, list(content.obs.columns))
    key = None if columns is None else columns[0]
    if key is not None and key not in content.obsm:
        raise InputError(f"--columns: {path} has no obsm {key!r}; it has {', '.join(content.obsm)}")
    z = content.X if key is None else content.obsm[key]
    if hasattr(z, "toarray"):
        z = z.toarray()
    return EmbeddingFile(path, np.asarray(z), {n: content.obs[n].to_numpy() for n in named}, (key or "X",))


def _shorten(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
