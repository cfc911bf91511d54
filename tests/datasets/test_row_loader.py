"""Worker processes end with the loader that they read for, wherever it is collected."""

from __future__ import annotations

import gc
import multiprocessing
import time

import torch

from midebias.datasets.row_loader import RowLoader


class _Run:
    """Holds a loader and is held by a circle, as a trainer and what it trains are."""

    def __init__(self) -> None:
        self.loader = RowLoader(torch.tensor, 2)
        self.itself = self


def test_workers_end_at_once_where_a_loader_is_collected_in_a_circle() -> None:
    order = list(torch.arange(40).split(4))
    for read in (len(order), 3):  # to the end, and left in the middle
        others = {worker.pid for worker in multiprocessing.active_children()}  # of tests before
        run = _Run()
        batches = run.loader(order)
        found = [next(batches) for _ in range(read)]
        assert torch.equal(torch.cat(found), torch.arange(4 * read))
        run.batches = batches  # type: ignore[attr-defined]
        workers = [worker for worker in multiprocessing.active_children() if worker.pid not in others]
        assert len(workers) == 2
        del run, batches
        started = time.perf_counter()
        gc.collect()
        assert time.perf_counter() - started < 3  # torch waits five seconds for each worker that was not told
        assert not any(worker.is_alive() for worker in workers)
