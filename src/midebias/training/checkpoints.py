"""Checkpoints: nested state in one safetensors file, written whole or not at all, read without executing anything.

Tensors are safetensors; the structure around them is JSON in the file's header, with a SHA-256 sum of everything.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..atomic_writing import write_atomically
from ..errors import DataError, InputError

_FORMAT = "midebias-checkpoint-1"


def write_checkpoint(path: str | Path, state: Any) -> None:
    """Write ``state``, nested dict, list and tuple of Tensor, str, int, float, bool and None, or raise `InputError`.

    Raises `DataError` when it cannot be written (a full disk, say); what was there before is then intact.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    structure = json.dumps(_describe(state, tensors, "state"))
    metadata = {"format": _FORMAT, "structure": structure, "sha256": _digest(structure, tensors)}
    write_atomically(path, save(tensors, metadata=metadata))


def read_checkpoint(path: str | Path) -> Any:
    """Read what `write_checkpoint` wrote, on CPU; `DataError` for a file that is missing, damaged or something else."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = Path(path).read_bytes()  # opened once: meanwhile another process may put a newer one in its place
        tensors = load(content)
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
    except FileNotFoundError as error:
        raise DataError(f"checkpoint {path} does not exist") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise DataError(f"checkpoint {path} is truncated or damaged ({error})") from error
    if metadata.get("format") != _FORMAT:
        raise DataError(f"{path} is no checkpoint of midebias")
    structure = metadata.get("structure", "")
    if _digest(structure, tensors) != metadata.get("sha256"):
        raise DataError(f"checkpoint {path} is damaged: its contents do not add up to its SHA-256 sum")
    return _restore(json.loads(structure), tensors)


def _describe(value: Any, tensors: dict[str, Tensor], where: str) -> Any:
    """JSON of ``value``; its tensors are put into ``tensors``."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, Tensor):
        key = str(len(tensors))
        # A memory format is kept: a loop over another one may round differently.
        last = value.ndim == 4 and not value.is_contiguous() and value.is_contiguous(memory_format=torch.channels_last)
        plain = value.detach().cpu()
        tensors[key] = (plain.permute(0, 2, 3, 1) if last else plain).clone(memory_format=torch.contiguous_format)
        return {"tensor": key, "channels_last": True} if last else {"tensor": key}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_describe(v, tensors, f"{where}[{i}]") for i, v in enumerate(value)]}
    if isinstance(value, Mapping):
        pairs = value.items()
        return {"dict": [[_describe(k, tensors, where), _describe(v, tensors, f"{where}.{k}")] for k, v in pairs]}
    raise InputError(f"{where} holds a {type(value).__name__}, which a checkpoint cannot hold")


def _restore(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    if "float" in value:
        return float.fromhex(value["float"])
    if "tensor" in value:
        tensor = tensors[value["tensor"]]
        return tensor.permute(0, 3, 1, 2) if value.get("channels_last") else tensor
    if "list" in value:
        return [_restore(v, tensors) for v in value["list"]]
    if "tuple" in value:
        return tuple(_restore(v, tensors) for v in value["tuple"])
    return {_restore(k, tensors): _restore(v, tensors) for k, v in value["dict"]}


def _digest(structure: str, tensors: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256(structure.encode())
    for key in sorted(tensors):
        flat = tensors[key].contiguous().flatten()
        total.update(f"{key} {tensors[key].dtype} {tuple(tensors[key].shape)}".encode())
        total.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return total.hexdigest()
