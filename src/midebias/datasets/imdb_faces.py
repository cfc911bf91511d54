"""IMDB faces (Rothe et al.), split by gender and age as in "Learning Not to Learn" (Kim et al., CVPR 2019)."""

import datetime
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..arguments import checked
from ..errors import DataError, InputError
from .image_decoding import open_image
from .row_loader import RowLoader, count_workers

Split = Literal["eb1", "eb2", "test"]
IMDB_SPLITS: tuple[Split, ...] = ("eb1", "eb2", "test")
AGE_EDGES = (0, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 120)
_MEANS = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet's red, green and blue
_HELD_OUT_PER_MILLE = 100


class IMDBFaces:
    """Faces with gender as label and age as the attribute that is not to be learned.

    ``"eb1"`` holds women up to 29 and men from 40, ``"eb2"`` women from 40 and men up to 29, ``"test"`` all ages.
    People of the test are in neither of the others: a tenth of them, by a hash of the name, unless lists are given.

    Parameters
    ----------
    root : path
        The public ``imdb_crop`` folder: ``imdb.mat`` and the images it names.
    split : {"eb1", "eb2", "test"}
    lists : path, optional
        Folder with the authors' split: ``eb1.txt``, ``eb2.txt`` and ``test.txt``, a path relative to ``root`` on each
        line. They replace the rule; label and age still come from ``imdb.mat``.
    size : int, default 224
        Pixels a side.
    age : {"bins", "years"}, default "bins"
        c as one of the 12 bins of `AGE_EDGES`, or in years.
    limit : int, optional
        First so many of the split.
    workers : int, optional
        Processes that decode for `open_reader`; default one for each processor, at most 4.
    transform : callable, optional
        Applied to each image tensor (3, size, size), colours in [0, 1] less ImageNet's means.

    Attributes
    ----------
    y : integer Tensor of shape (n,)
        0 female, 1 male.
    ages : float Tensor of shape (n,)
        In years.
    levels : integer Tensor of shape (n, 1)
        Bin of the age.
    skipped : dict of str to int
        How many were left out and why: "no face", "several faces", "no gender", "no age", "missing file". Images that
        turn out damaged when they are read are counted under "damaged", and another of the split takes their place.

    Raises
    ------
    InputError
        An argument that is not as above.
    DataError
        When ``imdb.mat`` cannot be read, or no image that can be.

    References
    ----------
    Rothe, Timofte, Van Gool, "Deep expectation of real and apparent age from a single image", IJCV 2018.

    Examples
    --------
    >>> from midebias.datasets import IMDBFaces
    >>> faces = IMDBFaces("imdb_crop", "eb1", size=224)    # doctest: +SKIP
    >>> x, y, c = faces[0]                                 # doctest: +SKIP
    """

    @checked
    def __init__(
        self, root: str | Path, split: Split, *, lists: str | Path | None = None, size: int = 224,
        age: Literal["bins", "years"] = "bins", limit: int | None = None, workers: int | None = None,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:  # fmt: skip
        if split not in IMDB_SPLITS:
            raise InputError(f"split must be one of {', '.join(IMDB_SPLITS)}, got {split!r}")
        if age not in ("bins", "years"):
            raise InputError(f"age must be 'bins' or 'years', got {age!r}")
        for name, value, least in (("size", size, 1), ("limit", limit, 1), ("workers", workers, 0)):
            if value is not None and value < least:
                raise InputError(f"{name} must be at least {least}, got {value}")
        self.root, self.split, self.size, self.age, self.transform = Path(root), split, size, age, transform
        self.skipped: dict[str, int] = {}
        meta = _read_metadata(self.root)
        keep = self._select_usable(meta)
        keep &= _select_by_rule(meta, split) if lists is None else _select_by_list(meta, Path(lists) / f"{split}.txt")
        rows = keep.nonzero()[0]
        present = np.array([(self.root / meta["path"][i]).is_file() for i in rows], dtype=bool)
        self.skipped["missing file"] = int((~present).sum())
        rows = rows[present][:limit]
        if len(rows) == 0:
            raise DataError(f"{root}: no image is left for split {split!r} (left out: {self.skipped})")
        self.files = [self.root / meta["path"][i] for i in rows]
        self.y = torch.from_numpy(meta["gender"][rows].astype(np.int64))
        self.ages = torch.from_numpy(meta["age"][rows].astype(np.float32))
        self.levels = torch.bucketize(self.ages, torch.tensor(AGE_EDGES[1:-1]).float(), right=True)[:, None]
        self._damaged: set[int] = set()
        self._workers = count_workers() if workers is None else workers

    @property
    def c(self) -> Tensor:
        """The attribute: bins (n,) as integers, or years (n,)."""
        return self.levels[:, 0] if self.age == "bins" else self.ages

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        return self.images(torch.tensor([range(len(self))[index]]))[0], self.y[index], self.c[index]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(channels, height, width)."""
        return 3, self.size, self.size

    def images(self, rows: Tensor) -> Tensor:
        """Decode ``rows`` (n,): images (n, 3, size, size), channels last; the next readable replaces a damaged one."""
        return self._replace(self._decode(rows.tolist()))

    def open_reader(self) -> Callable[[Iterable[Tensor]], Iterator[Tensor]]:
        """Open a reader: given the rows of several batches, it does as `images` for each, reading ahead meanwhile."""
        loader = RowLoader(self._decode, self._workers)
        return lambda order: map(self._replace, loader(order))

    def _decode(self, rows: list[int]) -> tuple[Tensor, dict[int, int], list[int]]:
        """Images, which rows are replaced by which, and the rows that were found damaged on the way."""
        images, replaced, damaged = list[Tensor](), dict[int, int](), list[int]()
        for row in rows:
            at = row
            while (image := self._read(at)) is None:
                damaged.append(at)
                at = (at + 1) % len(self)
                if at == row:
                    raise DataError(f"{self.root}: no image of split {self.split!r} can be read")
            images.append(image)
            if at != row:
                replaced[row] = at
        return torch.stack(images).contiguous(memory_format=torch.channels_last), replaced, damaged

    def _replace(self, decoded: tuple[Tensor, dict[int, int], list[int]]) -> Tensor:
        """Replace damaged images, with their labels, and count them: here, and not in a worker's copy of this."""
        images, replaced, damaged = decoded
        for row, by in replaced.items():
            self.files[row] = self.files[by]
            for labels in (self.y, self.ages, self.levels):
                labels[row] = labels[by]
        if damaged:
            self._damaged.update(damaged)
            self.skipped["damaged"] = len(self._damaged)
        return images

    def _read(self, row: int) -> Tensor | None:
        try:
            image = open_image(self.files[row], (self.size, self.size), scale=True, decode=True)
        except DataError:
            return None
        x = torch.from_numpy(np.array(image, np.float32) / 255 - _MEANS).permute(2, 0, 1).contiguous()
        return x if self.transform is None else self.transform(x)

    def _select_usable(self, meta: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Exactly one face, a gender, an age that can be; what is left out is counted by its first reason."""
        keep = np.ones(len(meta["path"]), dtype=bool)
        for reason, bad in (
            ("no face", ~np.isfinite(meta["score"])),
            ("several faces", np.nan_to_num(meta["second"], nan=0.0) > 0),
            ("no gender", ~np.isfinite(meta["gender"])),
            ("no age", ~((meta["age"] >= AGE_EDGES[0]) & (meta["age"] < AGE_EDGES[-1]))),
        ):
            self.skipped[reason] = int((keep & bad).sum())
            keep &= ~bad
        return keep


def _read_metadata(root: Path) -> dict[str, NDArray[Any]]:
    """Read the columns of ``imdb.mat``, in ``root``; ages are those at the photograph."""
    from scipy.io import loadmat  # type: ignore[import-untyped,unused-ignore]  # not annotated

    path = root / "imdb.mat"
    try:
        content = loadmat(os.fspath(path), squeeze_me=True, struct_as_record=True)
        table = content["imdb"][()]
        columns = {name: np.atleast_1d(table[name]) for name in ("dob", "photo_taken", "full_path", "gender")}
        n = len(columns["full_path"])
        score, second = (
            np.atleast_1d(table[name]).astype(np.float64) if name in table.dtype.names else np.full(n, default)
            for name, default in (("face_score", 1.0), ("second_face_score", np.nan))
        )
        names = [str(v) for v in np.atleast_1d(table["name"])] if "name" in table.dtype.names else []
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: root must be the imdb_crop folder") from error
    except Exception as error:  # a damaged file fails in many ways
        raise DataError(f"{path} cannot be read as the metadata of imdb_crop ({error})") from error
    if any(len(v) != n for v in (*columns.values(), score, second)):
        raise DataError(f"{path}: its columns are of different lengths")
    paths = np.array([str(p) for p in columns["full_path"]])
    if any(Path(p).is_absolute() or ".." in Path(p).parts for p in paths):
        raise DataError(f"{path} names files outside {root}")
    return {
        "path": paths,
        "name": np.array(names if len(names) == n else [Path(p).stem.split("_")[0] for p in paths]),
        "gender": columns["gender"].astype(np.float64),
        "age": _compute_ages(columns["dob"].astype(np.float64), columns["photo_taken"].astype(np.float64)),
        "score": score,
        "second": second,
    }


def _compute_ages(born: NDArray[np.float64], taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole years in the middle of the photograph's year, NaN where unknown; Matlab counts days from the year 0."""
    out = np.full(len(born), np.nan)
    for i, (day, year) in enumerate(zip(born, taken, strict=True)):
        if np.isfinite(year) and 367 <= day < 3_000_000:
            date = datetime.date.fromordinal(int(day) - 366)
            out[i] = year - date.year - ((date.month, date.day) > (7, 1))
    return out


def _select_by_rule(meta: dict[str, NDArray[Any]], split: Split) -> NDArray[np.bool_]:
    people, place = np.unique(meta["name"], return_inverse=True)
    held = np.array([zlib.crc32(str(p).encode()) % 1000 < _HELD_OUT_PER_MILLE for p in people], dtype=bool)[place]
    if split == "test":
        return held
    young, old = meta["age"] <= 29, meta["age"] >= 40
    women, men = meta["gender"] == 0, meta["gender"] == 1
    return ~held & ((women & young) | (men & old) if split == "eb1" else (women & old) | (men & young))


def _select_by_list(meta: dict[str, NDArray[Any]], path: Path) -> NDArray[np.bool_]:
    try:
        wanted = {line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a list of images ({error})") from error
    unknown = wanted - set(meta["path"].tolist())
    if unknown:
        raise DataError(f"{path} names {len(unknown)} images that imdb.mat does not know, {min(unknown)} for one")
    return np.array([p in wanted for p in meta["path"]], dtype=bool)
