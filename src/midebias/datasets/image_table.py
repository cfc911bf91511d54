"""Images with labels and attributes from a table, decoded when they are asked for."""

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ..arguments import checked
from ..attributes import Attribute
from ..errors import DataError, InputError
from .image_decoding import open_image
from .image_labels import AttributeNames, Kind, encode_labels, group_names
from .label_columns import read_label_columns
from .row_loader import RowLoader, count_workers
from .splits import HELD_OUT, SPLITS, draw_splits, read_splits

Images = Sequence[Path] | NDArray[np.uint8]

_FEW = 2000  # images that are decoded sooner than workers are started


class TableOptions(TypedDict, total=False):
    """What `ImageTable` and the data sets made of it take alike; explained there."""

    fractions: Mapping[str, float] | None
    kinds: Mapping[str, Kind] | None
    image_size: int | None
    transform: Callable[[Tensor], Tensor] | None
    seed: int
    workers: int | None


class ImageTable(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Images in a folder, with label and attributes from the columns of a table.

    Parameters
    ----------
    root : path
        Folder that the paths of the images are relative to.
    table : path, data frame or mapping
        CSV, TSV or Parquet; a row an image.
    split : {"train", "val", "test", "id_val", "id_test", "all"}, default "train"
    image, label : str, default "file" and "y"
        Columns of the paths, and of what is predicted.
    attributes : str or sequence, default "c"
        Columns that must not be learned. Several columns that are one quantity, such as a colour, are a tuple in the
        sequence: ``["sex", ("red", "green", "blue")]``. Text and whole numbers of at most 20 distinct values are
        categories, all other numbers are quantities; a value that is missing stays so.
    split_by : str, optional
        Column of the splits, by name or as 0, 1 and 2; default "split" where there is such a column.
    **options : Any
        - ``fractions``: of the splits where no column names any but "train"; default ``{"train": 0.8, "test": 0.2}``
        - ``kinds``: by name of an attribute ("red+green+blue" of several columns), "category" or "quantity"
        - ``image_size``: images are scaled to so many pixels a side; without it all must have the size of the first
        - ``transform``: applied to each image tensor (channels, height, width), colours in [0, 1]
        - ``seed``: of the fractions, default 0
        - ``workers``: processes that decode for `open_reader`; default one for each processor, at most 4

    Attributes
    ----------
    labels : ImageLabels
        ``y``, ``c``, ``classes``, ``parts``, ``categories`` and ``missing`` of the split, numbered alike in all splits.
    rows : dict of str to Tensor
        The rows of the table in each split.

    Raises
    ------
    DataError
        A column, an image or a label that is missing; an attribute or label of one value; from its methods, an image
        that is damaged or of another size. The message names the column or the file.
    InputError
        An argument that is not as above.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from midebias.datasets import ImageTable
    >>> folder = Path(tempfile.mkdtemp())
    >>> for i in range(4):
    ...     Image.fromarray(np.full((4, 6, 3), 80 * i, np.uint8)).save(folder / f"{i}.png")
    >>> table = {"file": [f"{i}.png" for i in range(4)], "ill": [0, 0, 1, 1], "site": ["A", "B", "A", None],
    ...          "age": [31.5, 40, 52, 60]}
    >>> images = ImageTable(folder, table, "all", label="ill", attributes=["site", "age"])
    >>> x, y, c = images[1]
    >>> tuple(x.shape), int(y), c.tolist(), images.attribute
    ((3, 4, 6), 0, [1.0, 40.0], Attributes(Categorical(2), Continuous(1)))
    >>> int(images.labels.missing.sum())
    1
    """

    @checked
    def __init__(
        self, root: str | Path, table: Any, split: str = "train", *, image: str = "file", label: str = "y",
        attributes: AttributeNames = "c", split_by: str | None = None, **options: Unpack[TableOptions],
    ) -> None:  # fmt: skip
        groups = group_names(attributes)
        needed = [image, label, *(name for group in groups.values() for name in group)]
        columns = read_label_columns(table, [*needed, *([split_by] if split_by else [])], ["split"])
        source = table if isinstance(table, (str, Path)) else "table"
        files = [check_folder(root) / str(path) for path in columns[image]]
        splits = columns.get(split_by or "split")
        self._set_up(files, columns, splits, split, label=label, groups=groups, source=source, **options)

    def _set_up(
        self, images: Images, columns: Mapping[str, Any], splits: Sequence[Any] | None, split: str, *, label: str,
        groups: Mapping[str, Sequence[str]], source: object, fractions: Mapping[str, float] | None = None,
        kinds: Mapping[str, Kind] | None = None, image_size: int | None = None,
        transform: Callable[[Tensor], Tensor] | None = None, seed: int = 0, workers: int | None = None,
    ) -> None:  # fmt: skip
        """Take the images, and encode the columns of all splits before one is selected."""
        for name, value, least in (("image_size", image_size, 1), ("workers", workers, 0), ("seed", seed, 0)):
            if value is not None and value < least:
                raise InputError(f"{name} must be at least {least}, got {value}")
        if split not in (*SPLITS, "all"):
            raise InputError(f"split must be one of {', '.join(SPLITS)} or all, got {split!r}")
        n = len(images)
        if n == 0:
            raise DataError(f"{source} holds no training images: it has no rows")
        if not isinstance(images, np.ndarray):
            absent = [path for path in images if not os.path.isfile(path)]
            if absent:
                more = f", nor do {len(absent) - 1:,} more of {n:,} images" if len(absent) > 1 else ""
                raise DataError(f"{absent[0]} does not exist{more}")
        self._images, self.transform = images, transform
        self.workers = count_workers() if workers is None else workers
        self._scale, self._size = image_size is not None, (image_size or 0, image_size or 0)
        if image_size is None:
            self._size = (
                images.shape[2:0:-1] if isinstance(images, np.ndarray) else open_image(images[0], None, False).size
            )
        attributes = {
            name: columns[group[0]] if len(group) == 1 else {part: columns[part] for part in group}
            for name, group in groups.items()
        }
        rows = {"train": torch.arange(n)} if splits is None else read_splits(splits, source)
        if set(rows) == {"train"}:
            rows = draw_splits(rows["train"], fractions or HELD_OUT, seed=seed)
        elif fractions is not None:
            raise InputError("fractions apply where no column names the splits")
        self.labels = encode_labels((label, columns[label]), attributes, kinds, source=source)
        self.rows = rows | {"all": torch.arange(n)}
        if split not in self.rows:
            there = ", ".join(f"{name} ({len(rows):,})" for name, rows in self.rows.items())
            raise DataError(f"{source} has no images of split {split!r}; it has {there}")
        if split != "all":
            self._keep(self.rows[split])

    def _keep(self, rows: Tensor) -> None:
        held = self._images
        self._images = held[rows.numpy()] if isinstance(held, np.ndarray) else [held[i] for i in rows.tolist()]
        self.labels = self.labels.part(rows)

    @property
    def y(self) -> Tensor:
        """Labels (n,), as integers."""
        return self.labels.y

    @property
    def c(self) -> Tensor:
        """Attributes (n,) or (n, columns), see `ImageLabels`."""
        return self.labels.c

    @property
    def attribute(self) -> Attribute:
        """What encodes c: an argument of `MIPenalty`."""
        return self.labels.attribute

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(channels, height, width)."""
        return tuple(self.images(torch.tensor([0])).shape[1:])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.images(torch.tensor([range(len(self))[index]]))[0], self.y[index], self.c[index]

    def images(self, rows: Tensor) -> Tensor:
        """Decode ``rows`` (n,) as a float32 tensor (n, channels, height, width) in [0, 1], channels last in memory."""
        return _convert(self._decode(rows.tolist()))

    def open_reader(self, workers: int | None = None) -> Callable[[Iterable[Tensor]], Iterator[Tensor]]:
        """Open a reader: given rows of several batches, it does as `images` for each, in ``workers`` processes."""
        loader = RowLoader(self._decode, self.workers if workers is None else workers)
        return lambda order: map(_convert, loader(order))

    def part(self, rows: Tensor) -> Self:
        """Select ``rows``."""
        part = copy.copy(self)
        part._keep(rows)
        return part

    def check(self) -> None:
        """Read the head of every file, so that one that would end a long training is named before it."""
        if not isinstance(self._images, np.ndarray):
            for path in self._images:
                open_image(path, self._size, self._scale)

    def read(self) -> Tensor:
        """Decode all images."""
        x = torch.empty((len(self), *self.image_shape)).contiguous(memory_format=torch.channels_last)
        chunks = torch.arange(len(self)).split(100)
        reader = self.open_reader(0 if len(self) < _FEW else None)
        for rows, images in zip(chunks, reader(chunks), strict=True):
            x[rows] = images
        return x

    def _decode(self, rows: list[int]) -> Tensor:
        """Bytes (n, height, width, channels), or what the transform makes of each image."""
        pixels = torch.from_numpy(np.stack([self._decode_row(row) for row in rows]))
        if self.transform is None:
            return pixels
        return torch.stack([self.transform(x) for x in _convert(pixels)])

    def _decode_row(self, row: int) -> NDArray[np.uint8]:
        held = self._images
        if not isinstance(held, np.ndarray):
            return np.asarray(open_image(held[row], self._size, self._scale, decode=True))
        pixels = held[row] if held.ndim == 4 else held[row, :, :, None]
        if pixels.shape[1::-1] == self._size:
            return pixels
        from PIL import Image

        image = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
        return np.asarray(image.resize(self._size, Image.Resampling.BILINEAR)).reshape(*self._size, -1)


def collect_images(
    images: Images, columns: Mapping[str, Any], splits: Sequence[Any] | None, split: str, **options: Any
) -> ImageTable:
    """Make a table of paths, or of bytes (n, height, width[, channels]), whose columns are known already."""
    made = ImageTable.__new__(ImageTable)
    made._set_up(images, columns, splits, split, **options)
    return made


def check_folder(root: str | Path) -> Path:
    """The folder as a path. Raises `DataError` where it is none."""
    if not Path(root).is_dir():
        raise DataError(f"{root} is not a folder")
    return Path(root)


def _convert(pixels: Tensor) -> Tensor:
    """Bytes to colours in [0, 1], channels first in shape and last in memory; floats as they are."""
    return pixels.permute(0, 3, 1, 2).float().div_(255) if pixels.dtype == torch.uint8 else pixels
