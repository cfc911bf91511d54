"""Numbers that lie on a device, and are acted upon once they are there: Python does not wait for them."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

ASYNCHRONOUS = {"cuda"}  # devices for whose numbers Python would have to wait
_pending: deque[tuple[Tensor, Any, Callable[[Any], None]]] = deque()
_collected: list[tuple[type[Exception], list[Tensor]]] = []  # of the contexts that are open


def is_asynchronous(values: Tensor) -> bool:
    """Whether Python would have to wait for numbers of this tensor's device."""
    return values.device.type in ASYNCHRONOUS


def read_later(numbers: Tensor, act: Callable[[Any], None]) -> None:
    """Call ``act`` with the numbers, as `Tensor.tolist` gives them: at once where they lie on the CPU.

    Those of a GPU are copied while it works on, and acted upon in the first later call, of any numbers, that finds them
    there. An error that ``act`` raises comes that late, too.
    """
    finish_reads(wait=False)
    if not is_asynchronous(numbers):
        act(numbers.tolist())
        return
    host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=numbers.is_cuda)
    host.copy_(numbers.detach(), non_blocking=True)
    copied = torch.cuda.current_stream(numbers.device).record_event() if numbers.is_cuda else None
    _pending.append((host, copied, act))


def finish_reads(*, wait: bool = True) -> None:
    """Act on all numbers, as is done where a record is written, or without ``wait`` on those that are there by now."""
    while _pending and (wait or _pending[0][1] is None or _pending[0][1].query()):
        host, copied, act = _pending.popleft()
        if copied is not None:
            copied.synchronize()
        try:
            act(host.tolist())
        except Exception:
            _pending.clear()  # of a run that ends here
            raise


def refuse(condition: Tensor, error: Exception) -> None:
    """Raise the error where the condition holds anywhere, as late as `read_later` reads; or see `collect_refusals`."""
    if _collected and isinstance(error, _collected[-1][0]):
        _collected[-1][1].append(condition)
        return

    def act(holds: bool) -> None:
        if holds:
            raise error

    read_later(condition.any(), act)


@contextmanager
def collect_refusals(kind: type[Exception]) -> Iterator[list[Tensor]]:
    """Collect the conditions of errors of one kind inside, in place of the errors."""
    _collected.append((kind, []))
    try:
        yield _collected[-1][1]
    finally:
        _collected.pop()
