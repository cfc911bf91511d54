"""Numbers that lie on a device, and are acted upon once they are known: Python does not wait for them."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_pending: deque[tuple[Tensor, Any, Callable[[Any], None]]] = deque()
_shortages: list[list[Tensor]] = []  # of the contexts that are open


def is_asynchronous(device: torch.device) -> bool:
    """Whether Python would have to wait for numbers of this device."""
    return device.type == "cuda"


def read_when_known(numbers: Tensor, act: Callable[[Any], None]) -> None:
    """Call ``act`` with the numbers, as `Tensor.tolist` gives them: at once where they lie on the CPU.

    Those of a GPU are copied while it works on, and acted upon in the first later call, of any numbers, that finds them
    there. An error that ``act`` raises comes that late, too.
    """
    act_on_known()
    if not is_asynchronous(numbers.device):
        act(numbers.tolist())
        return
    host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=numbers.is_cuda)
    host.copy_(numbers.detach(), non_blocking=True)
    copied = torch.cuda.Event() if numbers.is_cuda else None
    if copied is not None:
        copied.record(torch.cuda.current_stream(numbers.device))
    _pending.append((host, copied, act))


def act_on_known(*, wait: bool = False) -> None:
    """Act on the numbers that are known by now; with ``wait`` on all, as is done where a record is written."""
    while _pending:
        host, copied, act = _pending[0]
        if copied is not None and not copied.query():
            if not wait:
                return
            copied.synchronize()
        _pending.popleft()
        act(host.tolist())


@contextmanager
def collect_shortages() -> Iterator[list[Tensor]]:
    """Collect what `report_shortage` is told inside, in place of an error."""
    found: list[Tensor] = []
    _shortages.append(found)
    try:
        yield found
    finally:
        _shortages.pop()


def report_shortage(short: Tensor, numbers: Tensor, describe: Callable[[Any], Exception]) -> None:
    """Say where samples are too few (m,): to `collect_shortages`, else by the error described from ``numbers``."""
    if _shortages:
        _shortages[-1].append(short)
        return

    def act(found: list[float]) -> None:
        if found[0]:
            raise describe(found[1:])

    read_when_known(torch.cat([short.any().double()[None], numbers.double().reshape(-1)]), act)
