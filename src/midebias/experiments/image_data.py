"""What an image experiment trains on: a biased training set with its test set, in memory or read from files."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..datasets import ImageFiles
from ..training.data import Batch, Problem, TensorData


class StreamedImages:
    """A training set whose images stay in their ``files``, decoded batch by batch; ``levels`` (n, 1) beside them."""

    def __init__(self, files: ImageFiles, levels: Tensor) -> None:
        self.files, self.levels = files, levels
        self.y, self.c, self.image_shape = files.y, files.c, files.image_shape
        self.prefetch = files.prefetch

    def __len__(self) -> int:
        return len(self.files)

    def part(self, rows: Tensor) -> StreamedImages:
        """These rows alone."""
        return StreamedImages(self.files.part(rows), self.levels[rows])

    def batch(self, rows: Tensor) -> Batch:
        """Decoded rows as a batch, channels last."""
        return Batch(self.files.images(rows), self.y[rows], self.levels[rows], self.c[rows])


@dataclass(frozen=True)
class ImageData:
    """A biased training set and a test set, in one setting of the data set."""

    dataset: str
    setting: str
    problem: Problem
    train: TensorData | StreamedImages
    test: TensorData | StreamedImages
    attribute_classes: Tensor  # of the test images, as the probe is asked for it
    held_out: bool = False  # whether the test images are as biased as the training images


def hold_out(data: ImageData, seed: int) -> ImageData:
    """Put a quarter of the training images, drawn by ``seed`` and as biased as the rest, in place of the test set."""
    n = len(data.train)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    train, held = data.train.part(order[n // 4 :]), data.train.part(order[: n // 4])
    name = f"{data.dataset}-held-out"
    return ImageData(name, data.setting, data.problem, train, held, held.levels[:, 0], held_out=True)
