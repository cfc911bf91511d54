"""The process a run has to itself: how it keeps memory, and how much it needed."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

import torch

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8  # names of glibc's mallopt


def keep_freed_memory() -> bool:
    """Have the C library keep what a training step frees for the next step; False where it is not glibc.

    Else the kernel clears new pages in each step: up to a third of a digit network's time. Holds for the whole process.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    options = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**28), (_ARENA_MAX, 1))
    taken = [mallopt(name, value) for name, value in options]
    return all(taken)


def measure_peak_memory_mb(device: str = "cpu") -> float:
    """Peak memory of this process in MB: resident on CPU, allocated on CUDA; nan where unknown."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


class Interruptions:
    """Context in which Ctrl-C and SIGTERM are ``noted``, to be obeyed between two steps; the second time at once.

    Within a second of the first it is no second time: torchrun passes signals on. Only in the main thread.
    """

    def __init__(self) -> None:
        self.noted, self._noted_at = False, 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruptions:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.noted:
            self.noted, self._noted_at = True, time.monotonic()
        elif time.monotonic() > self._noted_at + 1:
            raise KeyboardInterrupt
