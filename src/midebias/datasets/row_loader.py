"""Rows of a data set read ahead by the workers of torch's DataLoader, in the order that they are asked for."""

import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..errors import DataError

_MOST_WORKERS = 4

_Rows = TypeVar("_Rows")


def count_workers() -> int:
    """Count the processes that read by default: one for each processor, at most four."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_WORKERS, cpus)


class RowLoader(Generic[_Rows]):
    """What ``read`` makes of the rows of each batch; they are read ahead in ``workers`` processes, which are kept.

    The batches do not depend on the number of workers: the order is given with each pass. With 0 workers nothing is
    read ahead.
    """

    def __init__(self, read: Callable[[list[int]], _Rows], workers: int) -> None:
        self._order: list[list[int]] = []
        self._loader: DataLoader[Any] = DataLoader(
            _Readable(read), batch_sampler=self._order, num_workers=workers, persistent_workers=workers > 0,
            collate_fn=_keep, pin_memory=torch.cuda.is_available(), generator=torch.Generator(),
        )  # fmt: skip
        # Left to the garbage collector, queues may be closed before workers are told to end, which then takes seconds.
        weakref.finalize(self, _end_workers, self._loader)

    def __call__(self, order: Iterable[Tensor]) -> Iterator[_Rows]:
        """Read the rows of each batch in ``order``. What ``read`` refuses with `DataError` is raised here."""
        self._order[:] = [rows.tolist() for rows in order]
        for found in self._loader:
            if isinstance(found, DataError):
                raise found
            yield found


def _end_workers(loader: DataLoader[Any]) -> None:
    if loader._iterator is not None:
        loader._iterator._shutdown_workers()  # type: ignore[attr-defined]  # as Lightning does; there is no other name


class _Readable(Dataset[Any]):
    def __init__(self, read: Callable[[list[int]], Any]) -> None:
        self._read = read

    def __getitems__(self, rows: list[int]) -> Any:
        # Given back, because a worker's exception is raised with its traceback as the message.
        try:
            return self._read(rows)
        except DataError as error:
            return DataError(str(error))


def _keep(found: Any) -> Any:
    return found
