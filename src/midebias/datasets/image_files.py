"""Images with label and attribute that stay in their files until they are asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .decoding import Prefetched, open_image


class ImageFiles:
    """Images with label and attribute, decoded in threads when they are asked for; made by `open_image_folder`.

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

    Raises
    ------
    DataError
        From its methods, when an image is missing, damaged or of another size; the message names the file.

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
        self._reader = Prefetched(lambda row: np.asarray(open_image(files[row], size, scale, decode=True)), workers)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(3, height, width)."""
        return 3, self._size[1], self._size[0]

    def __len__(self) -> int:
        return len(self.files)

    def images(self, rows: Tensor) -> Tensor:
        """Decode ``rows`` (n,) as a float32 tensor (n, 3, height, width) in [0, 1], channels last in memory."""
        return _stack_images(np.stack(self._reader(rows.tolist())))

    def prefetch(self, rows: Tensor) -> None:
        """Begin to decode ``rows`` that will be asked for next."""
        self._reader.prefetch(rows.tolist())

    def part(self, rows: Tensor) -> "ImageFiles":
        """Select ``rows``."""
        files = [self.files[row] for row in rows.tolist()]
        return ImageFiles(files, self.y[rows], self.c[rows], size=self._size, scale=self._scale, workers=self._workers)

    def check(self) -> None:
        """Read the head of every file, so that one that would end a long training is named before it."""
        reader = Prefetched(lambda row: open_image(self.files[row], self._size, self._scale), self._workers)
        for rows in torch.arange(len(self)).split(1000):
            reader(rows.tolist())

    def read(self) -> Tensor:
        """Decode all images, at a quarter of the memory that `images` of all rows takes meanwhile."""
        pixels = np.empty((len(self), *self.image_shape[1:], 3), np.uint8)
        for rows in torch.arange(len(self)).split(1000):
            for row, image in zip(rows.tolist(), self._reader(rows.tolist()), strict=True):
                pixels[row] = image
        return _stack_images(pixels)


def _stack_images(pixels: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)
