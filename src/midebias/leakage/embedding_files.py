"""Embeddings in files, whoever wrote them: .npy, .npz, .csv, .parquet, .h5ad. Nothing is unpickled."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InputError


class EmbeddingFile(NamedTuple):
    """What a file holds: z (n, dim), the named columns, and where z was found: names of columns, or of an array."""

    z: NDArray[Any]
    columns: dict[str, NDArray[Any]]
    dimensions: tuple[str, ...]


def read_embeddings(
    path: str | Path, named: Sequence[str], *, columns: Sequence[str] | None = None, table: str | Path | None = None
) -> EmbeddingFile:
    """Read a representation and the columns ``named`` beside it.

    The representation is the array (``.npy``), the array ``z`` (``.npz``), every numeric column not named (tables), or
    ``X``, with the columns in ``obs`` (``.h5ad``). ``columns`` says what it is instead: the name of an array, a key of
    ``obsm``, or names or patterns such as ``z_*`` of columns. ``table`` has the named columns, in the same order.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    if path.suffix.lower() not in _READERS:
        raise DataError(f"{path} is none of .npy, .npz, .csv, .tsv, .parquet, .h5ad")
    found = _READERS[path.suffix.lower()](path, () if table is not None else named, columns)
    if table is None:
        return found
    frame = _read_frame(Path(table))
    _check_named(Path(table), named, list(frame.columns))
    if len(frame) != len(found.z):
        raise DataError(f"{table} has {len(frame)} rows, and {path} has {len(found.z)}")
    return found._replace(columns={n: frame[n].to_numpy() for n in named})


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
        return EmbeddingFile(content[key], {n: content[n] for n in named}, (key,))


def _read_table(path: Path, named: Sequence[str], columns: Sequence[str] | None) -> EmbeddingFile:
    frame = _read_frame(path)
    frame.columns = names = [str(c) for c in frame.columns]
    _check_named(path, named, names)
    numeric = [n for n in names if frame[n].dtype.kind in "fiub"]
    chosen = [n for n in numeric if n not in named] if columns is None else []
    for pattern in columns or ():
        matching = [n for n in names if fnmatchcase(n, pattern) and n not in chosen]
        if not matching:
            raise InputError(f"--columns: {path} has no column {pattern!r}")
        chosen += matching
    if not chosen:
        raise DataError(f"{path} has no numeric column besides those named")
    for name in chosen:
        if name in named:
            raise InputError(f"--columns: {name!r} is an attribute, label or prediction, and not the representation")
        if name not in numeric:
            raise InputError(f"--columns: {name!r} in {path} does not hold numbers")
    z = frame[chosen].to_numpy(dtype=np.float32)
    return EmbeddingFile(z, {n: frame[n].to_numpy() for n in named}, tuple(chosen))


def _read_frame(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    try:
        import pandas as pd

        with _refuse_damage(path):
            if path.suffix.lower() in (".parquet", ".pq"):
                return pd.read_parquet(path)
            return pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",")
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
    return EmbeddingFile(np.asarray(z), {n: content.obs[n].to_numpy() for n in named}, (key or "X",))


_READERS = {".npy": _read_npy, ".npz": _read_npz, ".h5ad": _read_anndata}
_READERS |= dict.fromkeys((".csv", ".tsv", ".parquet", ".pq"), _read_table)
