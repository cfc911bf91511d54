"""Image files opened, and rows read in threads, those that come next meanwhile."""

import math
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..errors import DataError

_Row = TypeVar("_Row")


class Prefetched(Generic[_Row]):
    """What ``read`` makes of each row's number, in ``workers`` threads; what it raises is raised for who asks."""

    def __init__(self, read: Callable[[int], _Row], workers: int) -> None:
        self._read, self._pool = read, ThreadPoolExecutor(workers)
        self._pending: dict[int, Future[_Row]] = {}

    def prefetch(self, rows: Iterable[int]) -> None:
        """Begin to read rows that will be asked for next; those of the call before are forgotten."""
        for future in self._pending.values():
            future.cancel()
        self._pending = {r: self._pool.submit(self._read, r) for r in rows}

    def __call__(self, rows: Iterable[int]) -> list[_Row]:
        """Rows in the order asked for."""
        futures = [self._pending.pop(r) if r in self._pending else self._pool.submit(self._read, r) for r in rows]
        return [future.result() for future in futures]


def open_image(path: Path, size: tuple[int, int] | None, scale: bool, *, decode: bool = False) -> Any:
    """Open an image of ``size`` pixels, or scale it to them; its head alone, unless ``decode``. Raises `DataError`."""
    from PIL import Image

    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > (Image.MAX_IMAGE_PIXELS or math.inf):
                raise Image.DecompressionBombError(f"{opened.width} x {opened.height} pixels")
            image = opened.convert("RGB") if decode else opened
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except (OSError, ValueError, SyntaxError, EOFError, *bombs) as error:
        raise DataError(f"{path} is damaged or no image ({error})") from error
    if size is not None and image.size != size:
        if not scale:
            raise DataError(f"{path} has {image.size} pixels, the first image {size}: name an image_size for all")
        if decode:
            image = image.resize(size, Image.Resampling.BILINEAR)
    return image
