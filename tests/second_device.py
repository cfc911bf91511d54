"""A second device without a second device: tensors that must not be mixed with the CPU's, computed on the CPU.

What a GPU refuses is refused here: operands on two devices, and a CPU generator for a tensor of another device. Nothing
else differs: a computation that moves its tensors rightly gives the very numbers it gives on the CPU.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "meta"  # the one other device whose backward passes run in the CPU's thread

_aten = torch.ops.aten
_MOVES = {_aten.copy_.default, _aten._to_copy.default}
_INDEXING = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default}


class DeviceTensor(Tensor):
    """A tensor of another device, with its numbers in a CPU tensor ``here``."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> DeviceTensor:
        made: DeviceTensor = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype,
            layout=here.layout, device=DEVICE, requires_grad=False,
        )  # fmt: skip
        made.here = here.detach()
        return made

    def __repr__(self, **_: Any) -> str:
        return f"DeviceTensor({self.here})"

    def tolist(self) -> Any:
        return self.here.tolist()

    def new_tensor(self, *args: Any, **kwargs: Any) -> Tensor:
        return DeviceTensor(self.here.new_tensor(*args, **kwargs))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _here(value: Any) -> Any:
    return value.here if isinstance(value, DeviceTensor) else value


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    there = [t for t in tensors if isinstance(t, DeviceTensor)]
    # A CPU tensor of no dimensions goes with any device.
    plain = [t for t in tensors if not isinstance(t, DeviceTensor) and t.ndim > 0]
    mixed = bool(there) and bool(plain)
    if func in _INDEXING:
        mixed = any(isinstance(t, DeviceTensor) for t in tensors[1:]) and not isinstance(args[0], DeviceTensor)
        if func is not _aten.index.Tensor:
            mixed |= isinstance(args[0], DeviceTensor) and not isinstance(args[2], DeviceTensor) and args[2].ndim > 0
    if mixed and func not in _MOVES:
        raise RuntimeError(f"expected all tensors of {func} to be on the same device")
    device = kwargs.get("device")
    lands_there = bool(there) if device is None else torch.device(device).type == DEVICE
    if lands_there and kwargs.get("generator") is not None:
        raise RuntimeError(f"expected a generator of the device in {func}")
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    out = func(*tree_map(_here, args), **tree_map(_here, kwargs))
    if not func._schema.returns:
        return None
    if func is _aten.copy_.default or (func._schema.is_mutable and func._schema.name.endswith("_")):
        return args[0]
    return tree_map(lambda t: DeviceTensor(t) if isinstance(t, Tensor) and lands_there else t, out)


@contextmanager
def use_second_device(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """In this context ``.to(DEVICE)`` leads to the other device."""
    tensor = torch.tensor

    def moved(*args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        made = tensor(*args, **kwargs)
        return made if device is None else made.to(device)

    patch.setattr(torch, "tensor", moved)  # which makes tensors without numbers on the device that is used here
    fused = "_device_dtype_check_for_fused"  # which torch has from 2.5 on
    patch.setattr(sys.modules[torch.optim.Adam.__module__], fused, lambda *_, **__: None, raising=False)
    with _Mode():
        yield
