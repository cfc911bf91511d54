"""Bundled data files: found, decompressed and verified against their SHA-256 sums."""

import gzip
import hashlib
import os
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InputError

_BUNDLED = Path(__file__).parent / "data"


def list_bundled_files() -> dict[str, str]:
    """List the bundled files with the SHA-256 sums of their uncompressed contents.

    Examples
    --------
    >>> from midebias.datasets import list_bundled_files
    >>> len(list_bundled_files())
    7
    """
    lines = (_BUNDLED / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def read_file(name: str, root: str | Path | None = None) -> bytes:
    """Read a known data file, gzipped or not, and verify it.

    Parameters
    ----------
    name : str
        One of `list_bundled_files`, such as ``"mnist/train-images-idx3-ubyte"``.
    root : path, optional
        Folder to read from; default is the environment variable ``MIDEBIAS_DATA``, else the package.

    Raises
    ------
    DataError
        When the file is missing, cannot be decompressed, or has another SHA-256 sum.

    Examples
    --------
    >>> from midebias.datasets import read_file
    >>> len(read_file("german/german.data"))
    79793
    """
    known = list_bundled_files()
    if name not in known:
        raise DataError(f"{name} is not a known data file; known are {', '.join(known)}")
    folder, base = Path(root or os.environ.get("MIDEBIAS_DATA") or _BUNDLED).expanduser(), Path(name).name
    candidates = (folder / each for each in (f"{name}.gz", name, base, f"{base}.gz"))
    path = next((p for p in candidates if p.is_file()), None)
    if path is None:
        raise DataError(f"{name} not found in {folder} (root= or MIDEBIAS_DATA), neither plain nor as .gz")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged and cannot be decompressed ({error})") from error
    found, expected = hashlib.sha256(content).hexdigest(), known[name]
    if found != expected:
        raise DataError(f"{path} is damaged or another file: SHA-256 is {found[:12]}..., expected {expected[:12]}...")
    return content


def read_idx(name: str, root: str | Path | None = None) -> NDArray[np.uint8]:
    """Read a verified idx file of unsigned bytes as an array."""
    content = read_file(name, root)
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4).tolist()
    return np.frombuffer(bytearray(content), np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def read_digits(
    root: str | Path | None, split: str, limit: int | None = None, *, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Read all labels (n,) and gray images (n, 28, 28) of a split of MNIST; check ``limit`` and ``seed``."""
    if seed < 0:
        raise InputError(f"seed must be at least 0, got {seed}")
    if split not in ("train", "test"):
        raise InputError(f"split must be 'train' or 'test', got {split!r}")
    prefix = "train" if split == "train" else "t10k"
    labels = read_idx(f"mnist/{prefix}-labels-idx1-ubyte", root).astype(np.int64)
    if limit is not None and not 1 <= limit <= len(labels):
        raise InputError(f"limit must lie between 1 and {len(labels)}, got {limit}")
    return labels, read_idx(f"mnist/{prefix}-images-idx3-ubyte", root)
