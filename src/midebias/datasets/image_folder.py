"""The user's own images, labels and attribute, from a folder of image files."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError, InputError
from .decoding import Prefetched
from .labelled_arrays import hold_out

__all__ = ["ImageFiles", "open_image_folder", "read_image_folder"]

_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})


_SPLITS = ("train", "test")


@dataclass(frozen=True)
class _Entry:
    file: Path
    y: str
    c: str
    split: str


class ImageFiles:
    """Images with label and attribute, decoded in threads when they are asked for.

    Made by `open_image_folder`.

    Parameters
    ----------
    files : sequence of path
    y : integer Tensor of shape (n,)
    c : Tensor of shape (n,)
        Integers, or float32 where the attribute is continuous.
    size : tuple of int
        Pixels: width and height.
    scale : bool
        Whether images of another size are scaled, or refused.
    workers : int
        Threads that decode.

    Attributes
    ----------
    image_shape : tuple
        (3, height, width).

    Examples
    --------
    >>> import numpy as np, tempfile, torch
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "a.png"
    >>> Image.fromarray(np.full((4, 6, 3), 255, np.uint8)).save(path)
    >>> label = torch.tensor([0])
    >>> files = ImageFiles([path], label, label, size=(6, 4), scale=False, workers=1)
    >>> files.image_shape, float(files.images(torch.tensor([0])).mean())
    ((3, 4, 6), 1.0)
    """

    def __init__(
        self, files: Sequence[Path], y: Tensor, c: Tensor, *, size: tuple[int, int], scale: bool, workers: int
    ) -> None:
        self.files, self.y, self.c = files, y, c
        self._size, self._scale, self._workers = size, scale, workers
        self._reader = Prefetched(lambda row: _decoded(files[row], size, scale), workers)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(3, height, width)."""
        return 3, self._size[1], self._size[0]

    def __len__(self) -> int:
        return len(self.files)

    def images(self, rows: Tensor) -> Tensor:
        """Images (n, 3, height, width) as float32 in [0, 1], channels last in memory.

        Raises
        ------
        DataError
            When an image is missing, damaged or of another size; the message names the file.
        """
        return _as_images(np.stack(self._reader(rows.tolist())))

    def prefetch(self, rows: Tensor) -> None:
        """Begin to decode rows that will be asked for next."""
        self._reader.prefetch(rows.tolist())

    def part(self, rows: Tensor) -> ImageFiles:
        """These rows alone."""
        files = [self.files[row] for row in rows.tolist()]
        return ImageFiles(
            files, self.y[rows], self.c[rows], size=self._size, scale=self._scale, workers=self._workers
        )  # fmt: skip

    def check(self) -> None:
        """Look at the head of every file: what would end a long training is said before it.

        Raises
        ------
        DataError
            As `images` does, but for files damaged further on.
        """
        reader = Prefetched(lambda row: _opened(self.files[row], self._size, self._scale), self._workers)
        for rows in torch.arange(len(self)).split(1000):
            reader(rows.tolist())

    def read(self) -> Tensor:
        """All images: `images` of all rows, at a quarter of the memory meanwhile."""
        _, height, width = self.image_shape
        pixels = np.empty((len(self), height, width, 3), np.uint8)
        for rows in torch.arange(len(self)).split(1000):
            for row, image in zip(rows.tolist(), self._reader(rows.tolist()), strict=True):
                pixels[row] = image
        return _as_images(pixels)


def open_image_folder(
    folder: str | Path,
    *,
    label: str | None = None,
    attribute: str | None = None,
    image_size: int | None = None,
    seed: int = 0,
    workers: int = 4,
) -> dict[str, ImageFiles]:
    """Images with label and attribute, left in their files until they are asked for.

    Parameters
    ----------
    folder : path
        Either holds ``labels.csv`` or ``labels.parquet`` with the columns ``file`` (relative to the folder), label,
        attribute and, where there is a test set, ``split`` ("train" or "test"); or the files lie in ``train/Y/C/`` and
        ``test/Y/C/``, or without a test set in ``Y/C/``, where Y and C are the names of label and attribute. Without a
        test set a fifth of the images, drawn by ``seed``, is set aside, as biased as the rest.
    label, attribute : str, optional
        Columns of the table; default ``y`` and ``c``.
    image_size : int, optional
        Images are scaled to so many pixels a side. Without it they must all have the size of the first.
    seed : int, default 0
    workers : int, default 4
        Threads that decode.

    Returns
    -------
    dict
        ``"train"`` and ``"test"``. Labels and attributes are integers: the names themselves where all are whole numbers
        from 0, else their places in alphabetical order. An attribute of which all are numbers and some have a decimal
        point is float32: a continuous one.

    Raises
    ------
    DataError
        When there is nothing to read, a column is missing, or the first image is; the message names the file.
    InputError
        When image_size or workers is not at least 1, or columns are named and there is no table.

    Examples
    --------
    >>> from midebias.datasets import open_image_folder
    >>> files = open_image_folder("scans", image_size=64)["train"]    # doctest: +SKIP
    >>> files.images(torch.arange(32)).shape                          # doctest: +SKIP
    torch.Size([32, 3, 64, 64])
    """
    folder = Path(folder)
    if image_size is not None and image_size < 1:
        raise InputError(f"image_size must be at least 1, got {image_size}")
    if workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    tables = [t for t in (folder / "labels.csv", folder / "labels.parquet") if t.is_file()]
    if not tables and not (label is None and attribute is None):
        raise InputError(f"label and attribute name columns, and {folder} has neither labels.csv nor labels.parquet")
    entries = list(_listed(tables[0], label or "y", attribute or "c") if tables else _found(folder))
    if not any(e.split == "train" for e in entries):
        raise DataError(f"{folder} holds no training images: neither a table of labels nor image files in [train/]Y/C/")
    numbers = _continuous([e.c for e in entries], tables[0] if tables else folder)
    y, c = _numbered([e.y for e in entries]), _numbered([e.c for e in entries]) if numbers is None else numbers
    size = _opened(entries[0].file, None, False).size if image_size is None else (image_size, image_size)
    files = ImageFiles([e.file for e in entries], y, c, size=size, scale=image_size is not None, workers=workers)
    rows = {s: torch.tensor([i for i, e in enumerate(entries) if e.split == s], dtype=torch.long) for s in _SPLITS}
    if not len(rows["test"]):
        rows = {s: held["y"] for s, held in hold_out({"y": rows["train"]}, seed=seed).items()}
    return {split: files.part(rows[split]) for split in _SPLITS}


def read_image_folder(
    folder: str | Path,
    *,
    label: str | None = None,
    attribute: str | None = None,
    image_size: int | None = None,
    seed: int = 0,
) -> dict[str, dict[str, Tensor]]:
    """All images of a folder at once: `open_image_folder`, decoded.

    Parameters
    ----------
    folder, label, attribute, image_size, seed
        As there.

    Returns
    -------
    dict
        ``"train"`` and ``"test"``, each with x (n, 3, height, width) as float32 in [0, 1], y and c.

    Raises
    ------
    DataError
        As `open_image_folder` does, and when an image is missing, damaged or of another size; the message names the
        file.
    InputError
        As `open_image_folder` does.

    Examples
    --------
    >>> from midebias.datasets import read_image_folder
    >>> parts = read_image_folder("scans", image_size=64)    # doctest: +SKIP
    >>> x, y, c = (parts["train"][k] for k in "xyc")         # doctest: +SKIP
    """
    parts = open_image_folder(folder, label=label, attribute=attribute, image_size=image_size, seed=seed)
    return {split: {"x": files.read(), "y": files.y, "c": files.c} for split, files in parts.items()}


def _listed(table: Path, label: str, attribute: str) -> Iterator[_Entry]:
    columns = ("file", label, attribute)
    rows = _rows_of_csv(table, columns) if table.suffix == ".csv" else _rows_of_parquet(table, columns)
    for place, row in rows:
        split = row.get("split", "train")
        file, y, c = (row[name] for name in columns)
        if not (file and y and c):
            raise DataError(f"{table}, {place}: file, {label} and {attribute} must each be given")
        if split not in _SPLITS:
            raise DataError(f"{table}, {place}: split must be 'train' or 'test', got {split!r}")
        yield _Entry(table.parent / file, y.strip(), c.strip(), split)


def _rows_of_csv(table: Path, columns: Sequence[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _have(table, columns, reader.fieldnames or ())
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read ({error})") from error
    for number, row in enumerate(rows, start=2):
        yield f"line {number}", row


def _rows_of_parquet(table: Path, columns: Sequence[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]  # not annotated
        import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]  # not annotated
    except ModuleNotFoundError:
        raise InputError(f"{table}: pyarrow is not installed; pip install 'midebias[tabular]'") from None
    try:
        with pq.ParquetFile(table) as file:
            names = file.schema_arrow.names
            _have(table, columns, names)
            content = file.read(columns=[n for n in dict.fromkeys((*columns, "split")) if n in names]).to_pydict()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{table} cannot be read ({error})") from error
    for number, values in enumerate(zip(*content.values(), strict=True), start=1):
        given = ("" if value is None or value != value else str(value) for value in values)
        yield f"row {number}", dict(zip(content, given, strict=True))


def _have(table: Path, columns: Sequence[str], names: Sequence[str]) -> None:
    for name in columns:
        if name not in names:
            raise DataError(f"{table} has no column {name!r}; it needs {', '.join(columns)}")


def _found(folder: Path) -> Iterator[_Entry]:
    splits = {s: folder / s for s in _SPLITS} if (folder / "train").is_dir() else {"train": folder}
    for split, root in splits.items():
        for path in sorted(root.glob("*/*/*")):
            if path.suffix.lower() in _ENDINGS and path.is_file():
                yield _Entry(path, path.parent.parent.name, path.parent.name, split)


def _numbered(names: Sequence[str]) -> Tensor:
    if all(name.isascii() and name.isdigit() and len(name) < 7 for name in names):
        return torch.tensor([int(name) for name in names])
    order = {name: i for i, name in enumerate(sorted(set(names)))}
    return torch.tensor([order[name] for name in names])


def _continuous(names: Sequence[str], source: Path) -> Tensor | None:
    try:
        values = torch.tensor([float(name) for name in names])
    except ValueError:
        return None
    if not any("." in name for name in names):
        return None
    if not bool(torch.isfinite(values).all()):
        raise DataError(f"{source}: c holds NaN or infinity among its numbers")
    return values


def _decoded(path: Path, size: tuple[int, int], scale: bool) -> np.ndarray[Any, Any]:
    """Bytes of shape (height, width, 3)."""
    return np.asarray(_opened(path, size, scale, decode=True))


def _opened(path: Path, size: tuple[int, int] | None, scale: bool, *, decode: bool = False) -> Any:
    """An image of so many pixels; its head alone, unless ``decode``."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > (Image.MAX_IMAGE_PIXELS or math.inf):
                raise Image.DecompressionBombError(f"{opened.width} x {opened.height} pixels")
            image = opened.convert("RGB") if decode else opened
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except (
        OSError, ValueError, SyntaxError, EOFError, UnidentifiedImageError,
        Image.DecompressionBombError, Image.DecompressionBombWarning,
    ) as error:  # fmt: skip
        raise DataError(f"{path} is damaged or no image ({error})") from error
    if size is not None and image.size != size:
        if not scale:
            raise DataError(f"{path} has {image.size} pixels, the first image {size}: name an image_size for all")
        if decode:
            image = image.resize(size, Image.Resampling.BILINEAR)
    return image


def _as_images(pixels: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
