"""IMDB faces (Rothe et al.), split by gender and age as in "Learning Not to Learn" (Kim et al., CVPR 2019)."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..arguments import checked
from ..errors import DataError, InputError
from .decoding import Prefetched
from .imdb_metadata import read_metadata

Split = Literal["eb1", "eb2", "test"]
IMDB_SPLITS: tuple[Split, ...] = ("eb1", "eb2", "test")
AGE_EDGES = (0, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 120)
_MEANS = (0.485, 0.456, 0.406)  # of ImageNet's red, green and blue
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
    workers : int, default 4
        Threads that decode.
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
        When ``imdb.mat`` cannot be read, or nothing is left.

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
        self,
        root: str | Path,
        split: Split,
        *,
        lists: str | Path | None = None,
        size: int = 224,
        age: Literal["bins", "years"] = "bins",
        limit: int | None = None,
        workers: int = 4,
        transform: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if split not in IMDB_SPLITS:
            raise InputError(f"split must be one of {', '.join(IMDB_SPLITS)}, got {split!r}")
        if age not in ("bins", "years"):
            raise InputError(f"age must be 'bins' or 'years', got {age!r}")
        if size < 1 or workers < 1 or (limit is not None and limit < 1):
            raise InputError(f"size, workers and limit must be at least 1, got {size}, {workers} and {limit}")
        self.root, self.split, self.size, self.age, self.transform = Path(root), split, size, age, transform
        self.skipped: dict[str, int] = {}
        meta = read_metadata(self.root)
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
        self._reader = Prefetched(self._read, workers)

    @property
    def c(self) -> Tensor:
        """The attribute: bins (n,) as integers, or years (n,)."""
        return self.levels[:, 0] if self.age == "bins" else self.ages

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        x, rows = self.images(torch.tensor([index]))
        return x[0], self.y[rows[0]], self.c[rows[0]]

    def images(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Decode images in threads.

        Parameters
        ----------
        rows : integer Tensor of shape (n,)

        Returns
        -------
        images : float32 Tensor of shape (n, 3, size, size)
        rows : integer Tensor of shape (n,)
            Those the images are of: the next readable one takes the place of one that is damaged.

        Raises
        ------
        DataError
            When no image of the split can be read.
        """
        wanted = [int(r) for r in rows]
        images, found = [], []
        for row, image in zip(wanted, self._reader(wanted), strict=True):
            at = row
            while image is None:
                if at not in self._damaged:
                    self._damaged.add(at)
                    self.skipped["damaged"] = len(self._damaged)
                at = (at + 1) % len(self)
                if at == row:
                    raise DataError(f"{self.root}: no image of split {self.split!r} can be read")
                image = self._read(at)
            images.append(image)
            found.append(at)
        return torch.stack(images), torch.tensor(found)

    def prefetch(self, rows: Tensor) -> None:
        """Begin to decode ``rows`` that will be asked for next."""
        self._reader.prefetch(int(r) for r in rows)

    def _read(self, row: int) -> Tensor | None:
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(self.files[row]) as opened:
                image = opened.convert("RGB").resize((self.size, self.size), Image.Resampling.BILINEAR)
        except (OSError, ValueError, SyntaxError, EOFError, UnidentifiedImageError, Image.DecompressionBombError):
            return None
        x = torch.from_numpy(np.array(image, dtype=np.float32) / 255 - np.array(_MEANS, dtype=np.float32))
        x = x.permute(2, 0, 1).contiguous()
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
