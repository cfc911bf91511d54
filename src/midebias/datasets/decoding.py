"""Rows read in threads, those that come next meanwhile."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

_Row = TypeVar("_Row")


class Prefetched(Generic[_Row]):
    """What ``read`` makes of each row.

    Parameters
    ----------
    read : callable
        Called with a row's number in one of the threads. What it raises is raised where the row is asked for.
    workers : int
        Threads.
    """

    def __init__(self, read: Callable[[int], _Row], workers: int) -> None:
        self._read, self._pool = read, ThreadPoolExecutor(workers)
        self._pending: dict[int, Future[_Row]] = {}

    def prefetch(self, rows: Iterable[int]) -> None:
        """Begin to read rows that will be asked for next; those of the call before are forgotten."""
        for future in self._pending.values():
            future.cancel()
        self._pending = {int(r): self._pool.submit(self._read, int(r)) for r in rows}

    def __call__(self, rows: Iterable[int]) -> list[_Row]:
        """Rows in the order asked for."""
        wanted = [int(r) for r in rows]
        futures = [self._pending.pop(r) if r in self._pending else self._pool.submit(self._read, r) for r in wanted]
        return [future.result() for future in futures]
