"""Files that are written whole or not at all."""

import contextlib
import os
from pathlib import Path

from .errors import DataError


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all: temporary file, fsync, rename, fsync of the folder.

    Parameters
    ----------
    path : path
        Folders that do not exist are made.
    content : bytes

    Raises
    ------
    DataError
        When it cannot be written; what was there before is intact.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        if os.name == "posix":  # the name, too, is to survive a power cut
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise DataError(f"{path} cannot be written ({error.strerror}); what it held before is intact") from error
