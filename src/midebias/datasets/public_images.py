"""Public image data sets with a known attribute, read from their folders as they are distributed."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np

from ..errors import DataError, InputError
from .image_labels import AttributeNames, group_names
from .image_table import ImageTable, TableOptions, check_folder
from .label_columns import read_label_columns
from .labelled_arrays import load_arrays
from .splits import SPLITS

Columns = Mapping[str, Any]


class PublicImages(ImageTable):
    """A data set that is read from its folder as it is distributed.

    Parameters
    ----------
    root : path
    split : {"train", "val", "test", "all"}, default "train"
        Those of its authors; of data that come without splits, `ImageTable`'s fractions.
    label : str
        Column that is predicted.
    attributes : str or sequence
        Columns that must not be learned, as in `ImageTable`.
    **options : Any
        Those of `ImageTable`.

    Raises
    ------
    DataError
        As `ImageTable`, and a folder that is not as it is distributed; the message says what is expected.
    InputError
        As `ImageTable`.
    """

    label: ClassVar[str | None] = None
    attributes: ClassVar[str | None] = None

    def __init__(
        self, root: str | Path, split: str = "train", *, label: str | None = None,
        attributes: AttributeNames | None = None, **options: Unpack[TableOptions],
    ) -> None:  # fmt: skip
        name, label, attributes = type(self).__name__, label or self.label, attributes or self.attributes
        if label is None or attributes is None:
            raise InputError(
                f"{'label' if label is None else 'attributes'} must name a column: {name} has no usual one"
            )
        groups = group_names(attributes)
        needed = [label, *(column for group in groups.values() for column in group)]
        images, columns, splits = self._find(Path(root), needed)
        for column in needed:
            if column not in columns:
                raise DataError(f"{root}: {name} has no column {column!r}; it has {', '.join(columns)}")
        self._set_up(images, columns, splits, split, label=label, groups=groups, source=root, **options)

    def _find(self, root: Path, needed: Sequence[str]) -> tuple[Any, Columns, Sequence[Any] | None]:
        """Images, columns, and splits where there are some."""
        raise NotImplementedError


class CelebA(PublicImages):
    """CelebA: 40 attributes of celebrities' faces; by default blond hair without gender.

    The folder holds ``list_attr_celeba.txt`` (or ``.csv``), ``list_eval_partition.txt`` (or ``.csv``), each there or a
    folder below, and the images in ``img_align_celeba``. Parameters as in `PublicImages`.

    References
    ----------
    Liu, Luo, Wang and Tang, "Deep Learning Face Attributes in the Wild", ICCV 2015.

    Examples
    --------
    >>> from midebias.datasets import CelebA
    >>> faces = CelebA("celeba", label="Blond_Hair", attributes="Male", image_size=64)    # doctest: +SKIP
    """

    label, attributes = "Blond_Hair", "Male"

    def _find(self, root: Path, needed: Sequence[str]) -> tuple[Any, Columns, Sequence[Any] | None]:
        columns = _read_celeba(_find_file(root, "list_attr_celeba", (".txt", ".csv")), "image_id", needed)
        parts = _read_celeba(_find_file(root, "list_eval_partition", (".txt", ".csv")), "image_id", ["partition"])
        split_of = dict(zip(parts["image_id"], parts["partition"], strict=True))
        names = columns["image_id"]
        unknown = [name for name in names if name not in split_of]
        if unknown:
            raise DataError(f"{root}: list_eval_partition has no row for {unknown[0]}, and {len(unknown) - 1} more")
        folder = _find_images(
            root, names[0], ("img_align_celeba", "img_align_celeba/img_align_celeba", "Img/img_align_celeba")
        )
        return [folder / name for name in names], columns, [split_of[name] for name in names]


def _read_celeba(path: Path, key: str, needed: Sequence[str]) -> Columns:
    """Columns by name of one of CelebA's lists, of which the ``.txt`` name none or all but the first."""
    if path.suffix == ".csv":
        return read_label_columns(path, [key, *needed])
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})") from error
    counted = bool(lines) and len(lines[0]) == 1
    header = [key, *(lines[1] if counted and len(lines) > 1 else needed)]
    rows = lines[2:] if counted else lines
    wrong = next((i for i, row in enumerate(rows) if len(row) != len(header)), None)
    if wrong is not None or not rows:
        raise DataError(f"{path} is not CelebA's: row {(wrong or 0) + 1} must have {len(header)} values")
    return {name: [row[i] for row in rows] for i, name in enumerate(header)}


class UTKFace(PublicImages):
    """UTKFace: faces whose files are named ``age_gender_race_date.jpg``; by default gender without age.

    Columns are ``age`` in years, ``gender`` (0 male, 1 female) and ``race`` (0 to 4), missing where the name lacks it.
    Images may lie in folders below. Parameters as in `PublicImages`; there are no splits of its authors.

    References
    ----------
    Zhang, Song and Qi, "Age Progression/Regression by Conditional Adversarial Autoencoder", CVPR 2017.

    Examples
    --------
    >>> from midebias.datasets import UTKFace
    >>> faces = UTKFace("UTKFace", attributes=["age", "race"], image_size=64)    # doctest: +SKIP
    """

    label, attributes = "gender", "age"
    _NAME: ClassVar[re.Pattern[str]] = re.compile(r"(\d*)_([01]?)_(?:([0-4]?)_)?\d{8,}.*\.jpe?g", re.IGNORECASE)

    def _find(self, root: Path, needed: Sequence[str]) -> tuple[Any, Columns, Sequence[Any] | None]:
        files = sorted(path for path in check_folder(root).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        found = [self._NAME.fullmatch(path.name) for path in files]
        if not files or None in found:
            odd = files[found.index(None)] if files else "nothing"
            raise DataError(f"{root}: files of UTKFace are named age_gender_race_date.jpg, found {odd}")
        names = ("age", "gender", "race")
        return files, {name: [m and m[i] for m in found] for i, name in enumerate(names, start=1)}, None


class FairFace(PublicImages):
    """FairFace: age, gender and race of faces; by default gender without race.

    The folder holds ``fairface_label_train.csv`` and ``fairface_label_val.csv`` with the columns ``file``, ``age``,
    ``gender``, ``race``, and the images. Parameters as in `PublicImages`; its splits are "train" and "val".

    References
    ----------
    Karkkainen and Joo, "FairFace: Face Attribute Dataset for Balanced Race, Gender, and Age", WACV 2021.

    Examples
    --------
    >>> from midebias.datasets import FairFace
    >>> faces = FairFace("fairface", label="gender", attributes=["race", "age"], image_size=64)    # doctest: +SKIP
    """

    label, attributes = "gender", "race"

    def _find(self, root: Path, needed: Sequence[str]) -> tuple[Any, Columns, Sequence[Any] | None]:
        columns = dict[str, list[Any]]()
        splits = list[str]()
        for split in ("train", "val"):
            path = _find_file(root, f"fairface_label_{split}", (".csv",))
            for name, values in read_label_columns(path, ["file", *needed]).items():
                columns.setdefault(name, []).extend(values)
            splits += [split] * (len(columns["file"]) - len(splits))
        folder = _find_images(root, columns["file"][0] if splits else "", (".", "fairface-img-margin025-trainval"))
        return [folder / name for name in columns["file"]], columns, splits


class WILDSImages(PublicImages):
    """A data set in the manner of WILDS: ``metadata.csv`` with a column of image files, one of labels, and ``split``.

    The attribute, a column such as a camera's or a hospital's, must be named. Paths are relative to the folder, or to
    ``images`` or ``train`` in it. Parameters as in `PublicImages`.

    References
    ----------
    Koh, Sagawa et al., "WILDS: A Benchmark of in-the-Wild Distribution Shifts", ICML 2021.

    Examples
    --------
    >>> from midebias.datasets import WILDSImages
    >>> animals = WILDSImages("iwildcam_v2.0", attributes="location", image_size=64)    # doctest: +SKIP
    """

    label = "y"
    _IMAGES: ClassVar[tuple[str, ...]] = (
        "img_filename",
        "filename",
        "file_name",
        "image_path",
        "file",
        "path",
        "image",
    )

    def _find(self, root: Path, needed: Sequence[str]) -> tuple[Any, Columns, Sequence[Any] | None]:
        path = _find_file(root, "metadata", (".csv",))
        columns = read_label_columns(path, list(needed), [*self._IMAGES, "split"])
        image = next((name for name in self._IMAGES if name in columns), None)
        if image is None:
            raise DataError(f"{path} has no column of images: one of {', '.join(self._IMAGES)}")
        names = columns[image]
        folder = _find_images(path.parent, names[0] if names else "", (".", "images", "train"))
        return [folder / name for name in names], columns, columns.get("split")


class Waterbirds(WILDSImages):
    """Waterbirds: land and water birds (y) before land and water (place); ``metadata.csv`` as it is distributed.

    Parameters as in `PublicImages`. Backgrounds of val and test do not go with the bird.

    References
    ----------
    Sagawa, Koh, Hashimoto and Liang, "Distributionally Robust Neural Networks for Group Shifts", ICLR 2020.

    Examples
    --------
    >>> from midebias.datasets import Waterbirds
    >>> birds = Waterbirds("waterbird_complete95_forest2water2", image_size=64)    # doctest: +SKIP
    """

    attributes = "place"


class MedMNIST(PublicImages):
    """A data set of MedMNIST: an ``.npz`` of ``train_images``, ``train_labels``, and so on for val and test.

    ``label`` is its label; of several labels a row they are ``label_0``, ``label_1`` and so on. Those, and further
    arrays such as ``train_site``, ``val_site``, ``test_site``, can be attributes: MedMNIST itself has no other.
    Parameters as in `PublicImages`; ``root`` is the file.

    References
    ----------
    Yang, Shi, Wei et al., "MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D biomedical image
    classification", Scientific Data 2023.

    Examples
    --------
    >>> from midebias.datasets import MedMNIST
    >>> scans = MedMNIST("chestmnist.npz", label="label_2", attributes="label_7")    # doctest: +SKIP
    """

    label = "label"

    def _find(self, root: Path, needed: Sequence[str]) -> tuple[Any, Columns, Sequence[Any] | None]:
        content = load_arrays(root)
        there = [split for split in SPLITS if {f"{split}_images", f"{split}_labels"} <= set(content)]
        if "train" not in there:
            raise DataError(
                f"{root} is not of MedMNIST: it needs train_images and train_labels, and has {', '.join(content)}"
            )
        names = [name.removeprefix("train_") for name in content if name.startswith("train_")]
        try:
            arrays = {name: np.concatenate([content[f"{split}_{name}"] for split in there]) for name in names}
        except (KeyError, ValueError) as error:
            raise DataError(f"{root}: its arrays do not go together ({error})") from error
        images, labels = arrays.pop("images"), arrays.pop("labels")
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
            raise DataError(f"{root}: images must be bytes (n, height, width[, 3]), got {images.dtype} {images.shape}")
        columns = labels.reshape(len(labels), -1).T
        arrays |= {"label" if len(columns) == 1 else f"label_{i}": column for i, column in enumerate(columns)}
        splits = [split for split in there for _ in content[f"{split}_images"]]
        if any(len(values) != len(images) for values in arrays.values()):
            raise DataError(f"{root}: arrays of {len(images)} images must have as many rows")
        return images, arrays, splits


PUBLIC_IMAGES: dict[str, type[PublicImages]] = {
    kind.__name__.lower(): kind for kind in (CelebA, UTKFace, FairFace, Waterbirds, MedMNIST)
} | {"wilds": WILDSImages}
"""By their names on the command line."""


def _find_file(root: Path, stem: str, endings: Sequence[str]) -> Path:
    """Find a file in a folder, or in a folder below."""
    check_folder(root)
    for pattern in (stem, f"*/{stem}"):
        for ending in endings:
            found = sorted(root.glob(pattern + ending))
            if found:
                return found[0]
    raise DataError(f"{root} holds no {' or '.join(stem + ending for ending in endings)}, nor does a folder in it")


def _find_images(root: Path, first: str, folders: Sequence[str]) -> Path:
    """Find the folder that the ``first`` image lies in."""
    found = next((root / folder for folder in folders if first and (root / folder / first).is_file()), None)
    if found is None:
        raise DataError(f"{root / folders[0] / first} does not exist, nor is {first!r} in {', '.join(folders[1:])}")
    return found
