"""Read a pickled dict of arrays from a ``.npy`` file without executing what else a pickle may hold."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError


def _latin1(text: str, encoding: str) -> bytes:
    # How Python 2 bytes travel in protocol 2; other codecs could do anything, and are refused.
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"codec {encoding!r}")
    return text.encode("latin1")


def _new_array(subtype: Any, shape: Any, _: Any) -> NDArray[Any]:
    if subtype is not np.ndarray or shape not in ((0,), 0):
        raise pickle.UnpicklingError("array reconstruction with unexpected arguments")
    return np.ndarray((0,), dtype=np.uint8)


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: str, *_: Any) -> NDArray[Any]:
    flat: Any = np.frombuffer(buffer, dtype=dtype)
    return flat.reshape(shape, order=order)


_KNOWN = {
    "numpy.ndarray": np.ndarray, "numpy.dtype": np.dtype, "_codecs.encode": _latin1,
    "numpy.core.multiarray._reconstruct": _new_array, "numpy._core.multiarray._reconstruct": _new_array,
    "numpy.core.numeric._frombuffer": _from_buffer, "numpy._core.numeric._frombuffer": _from_buffer,
}  # fmt: skip


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _KNOWN[f"{module}.{name}"]


def read_array_dict(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read ``np.save(path, {name: array})``; what is not an array, a dtype or a container is refused before it runs."""
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            _, _, dtype = reader(file)
            if not dtype.hasobject:
                raise DataError(f"{path} holds a plain array of {dtype}, not a dict of arrays")
            loaded: Any = _ArraysOnly(file, encoding="latin1").load()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except DataError:
        raise
    except Exception as error:  # a hostile pickle can raise anything
        raise DataError(f"{path} is not a file of arrays that can be read safely: {error}") from error
    content = loaded.item() if isinstance(loaded, np.ndarray) and loaded.size == 1 else loaded
    if not isinstance(content, dict):
        raise DataError(f"{path} holds {type(content).__name__}, expected a dict of arrays")
    return {str(k): np.asarray(v) for k, v in content.items()}
