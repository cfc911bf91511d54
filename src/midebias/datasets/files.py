"""Bundled data files: found, decompressed and verified against their SHA-256 sums."""

import gzip
import hashlib
import os
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InputError

_BUNDLED = Path(__file__).parent / "data"
Source = Literal["mnist", "fashion"]
_FASHION = {  # Xiao, Rasul, Vollgraf 2017; not in the package
    "fashion/train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "fashion/train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "fashion/t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "fashion/t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


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
        One of `list_bundled_files`, such as ``"mnist/train-images-idx3-ubyte"``, or the same of ``"fashion/"``.
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
    known = list_bundled_files() | _FASHION
    if name not in known:
        raise DataError(f"{name} is not a known data file; known are {', '.join(known)}")
    folder, base = Path(root or os.environ.get("MIDEBIAS_DATA") or _BUNDLED).expanduser(), Path(name).name
    places = ("", "raw/", "MNIST/raw/") if name not in _FASHION else ("", "raw/", "FashionMNIST/raw/")
    names = (f"{name}.gz", name, *(f"{place}{base}{end}" for place in places for end in ("", ".gz")))
    candidates = (folder / each for each in names)
    path = next((p for p in candidates if p.is_file()), None)
    if path is None:
        hint = "; Fashion-MNIST is at https://github.com/zalandoresearch/fashion-mnist" if name in _FASHION else ""
        raise DataError(f"{name} not found in {folder} (root= or MIDEBIAS_DATA), neither plain nor as .gz{hint}")
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


def read_gray_images(
    root: str | Path | None, split: str, limit: int | None = None, *, seed: int = 0, source: Source = "mnist"
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Read all labels (n,) and gray images (n, 28, 28) of a split; check ``limit`` and ``seed``."""
    if seed < 0:
        raise InputError(f"seed must be at least 0, got {seed}")
    if split not in ("train", "test"):
        raise InputError(f"split must be 'train' or 'test', got {split!r}")
    prefix = "train" if split == "train" else "t10k"
    labels = read_idx(f"{source}/{prefix}-labels-idx1-ubyte", root).astype(np.int64)
    if limit is not None and not 1 <= limit <= len(labels):
        raise InputError(f"limit must lie between 1 and {len(labels)}, got {limit}")
    return labels, read_idx(f"{source}/{prefix}-images-idx3-ubyte", root)
