"""Image files opened, and scaled where asked."""

import math
from pathlib import Path
from typing import Any

from ..errors import DataError


def open_image(path: Path, size: tuple[int, int] | None, scale: bool, *, decode: bool = False) -> Any:
    """Open an image of ``size`` pixels, or scale it to them; its head alone, unless ``decode``. Raises `DataError`."""
    from PIL import Image

    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > (Image.MAX_IMAGE_PIXELS or math.inf):
                raise Image.DecompressionBombError(f"{opened.width} x {opened.height} pixels")
            if decode and scale and size is not None:
                opened.draft(None, (2 * size[0], 2 * size[1]))  # of a large JPEG, a fraction of its pixels is decoded
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
