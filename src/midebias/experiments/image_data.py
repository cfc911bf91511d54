"""What an image experiment trains on: a biased training set with its test set, in memory or read from files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..datasets import ImageTable, IMDBFaces
from ..training.data import Batch, BatchReader, Problem, TensorData
from .group_accuracy import find_conflicting


class StreamedImages:
    """Images that stay in their ``files``, decoded batch by batch, with ``levels`` and c as `Batch` has them."""

    def __init__(self, files: ImageTable | IMDBFaces, levels: Tensor, c: Tensor) -> None:
        self.files, self.levels, self.c = files, levels, c
        self.y, self.image_shape = files.y, files.image_shape

    def __len__(self) -> int:
        return len(self.files)

    def part(self, rows: Tensor) -> StreamedImages:
        """These rows alone."""
        assert isinstance(self.files, ImageTable)
        return StreamedImages(self.files.part(rows), self.levels[rows], self.c[rows])

    def batch(self, rows: Tensor) -> Batch:
        """Decoded rows as a batch, channels last."""
        return self._label(self.files.images(rows), rows)

    def open_reader(self) -> BatchReader:
        """Open a reader of batches, decoded in other processes."""
        read = self.files.open_reader()
        return lambda order: map(self._label, read(rows := list(order)), rows)

    def _label(self, images: Tensor, rows: Tensor) -> Batch:
        return Batch(images, self.y[rows], self.levels[rows], self.c[rows])


@dataclass(frozen=True)
class ImageData:
    """A biased training set and a test set, in one setting of the data set.

    ``attribute_classes``, of the test images, are what the probe is asked for, and ``train_classes`` the same of the
    training images; -1 where an attribute is missing. ``conflicting`` test images go against the bias of the training.
    Of several attributes each by itself is in ``test_levels``. ``names`` say what numbers stand for, and the lines of
    ``description`` what was read.
    """

    dataset: str
    setting: str
    problem: Problem
    train: TensorData | StreamedImages
    test: TensorData | StreamedImages
    attribute_classes: Tensor
    train_classes: Tensor
    conflicting: Tensor
    test_levels: Mapping[str, Tensor] = field(default_factory=dict)
    names: Mapping[str, Any] = field(default_factory=dict)
    description: Sequence[str] = ()
    held_out: bool = False  # whether the test images are as biased as the training images


def hold_out(data: ImageData, seed: int) -> ImageData:
    """Put a quarter of the training images, drawn by ``seed`` and as biased as the rest, in place of the test set."""
    n = len(data.train)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    rest, held = order[n // 4 :], order[: n // 4]
    train, test = data.train.part(rest), data.train.part(held)
    classes = data.train_classes
    conflicting = find_conflicting(train.y, classes[rest], test.y, classes[held])
    return replace(
        data, dataset=f"{data.dataset}-held-out", train=train, test=test, attribute_classes=classes[held],
        train_classes=classes[rest], conflicting=conflicting, test_levels={}, held_out=True,
    )  # fmt: skip
