"""Inputs one after another, each from a seed of its own; what is neither an answer nor a clear error is a defect."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from midebias.errors import DataError, InputError

from .origin import is_ours

__all__ = ["BrokenPromise", "Defect", "Tally", "Target", "WouldRun", "fuzz", "try_input"]

_LONGEST = 60  # seconds, on a machine that others use as well


class BrokenPromise(AssertionError):
    """An answer or an error that is not what was promised."""


class WouldRun(Exception):
    """Raised in place of work that takes long, once all arguments were accepted."""


class TooLong(BaseException):
    """An input that hangs."""


@dataclass(frozen=True)
class Target:
    """What is fed: ``feed(rng, folder)`` makes one input from ``rng`` in an empty folder and tries it.

    ``named`` is what the message of an error must contain one of; nothing for a target that checks that itself.
    Damaged files come from ``corpus``; the one that was tried stands in ``latest``.
    """

    name: str
    feed: Callable[[random.Random, Path], Any]
    named: tuple[str, ...] = ()
    corpus: list[bytes] | None = None
    latest: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class Defect:
    """An input that was neither answered nor refused in clear words."""

    target: str
    number: int
    error: str
    where: str

    def __str__(self) -> str:
        return f"{self.target} --only {self.number}: {self.error}\n{self.where}"


@dataclass
class Tally:
    """What came of the inputs."""

    answered: int = 0
    refused: int = 0
    defects: list[Defect] = field(default_factory=list)
    messages: Counter[str] = field(default_factory=Counter)

    @property
    def inputs(self) -> int:
        """How many there were."""
        return self.answered + self.refused + len(self.defects)


@contextlib.contextmanager
def _limit_time() -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise TooLong(f"longer than {_LONGEST} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(_LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _trace_lines(reached: set[tuple[str, int]] | None) -> Iterator[None]:
    """Adds the lines of midebias that are run."""
    if reached is None:
        yield
        return

    def local(frame: FrameType, event: str, _: Any) -> Any:
        reached.add((frame.f_code.co_filename, frame.f_lineno))
        return local

    def entered(frame: FrameType, event: str, _: Any) -> Any:
        return local if is_ours(frame.f_code.co_filename) else None

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        yield
    finally:
        sys.settrace(before)


def try_input(
    target: Target, number: int, seed: int = 0, *, reached: set[tuple[str, int]] | None = None
) -> Defect | str:
    """Try one input; a defect, "answered", or the message of its refusal."""
    rng = random.Random(f"{seed} {target.name} {number}")
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    said = ""
    try:
        with _limit_time(), _trace_lines(reached), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            target.feed(rng, folder)
    except WouldRun:
        pass
    except (InputError, DataError) as error:
        said = str(error)
        if not said.strip() or "Traceback" in said:
            return Defect(target.name, number, f"{type(error).__name__} says nothing: {said!r}", _where(error))
        told = said.replace(str(folder.parent), "")  # what the folders above are called names nothing
        if target.named and not any(name in told for name in target.named):
            return Defect(target.name, number, f"{type(error).__name__} names no argument: {said!r}", _where(error))
    except (Exception, TooLong) as error:
        return Defect(target.name, number, f"{type(error).__name__}: {str(error)[:300]}", _where(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return said or "answered"


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if is_ours(f.filename)] or frames
    return " <- ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(ours[-3:]))


def fuzz(
    target: Target,
    *,
    inputs: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    start: int = 0,
    guided: bool = False,
) -> Tally:
    """Feed a target until either limit; guided, inputs that reach new lines of midebias join the corpus."""
    tally, reached = Tally(), set[tuple[str, int]]()
    started, number = time.monotonic(), start
    while (inputs is None or number - start < inputs) and (seconds is None or time.monotonic() - started < seconds):
        known = len(reached)
        result = try_input(target, number, seed, reached=reached if guided else None)
        if guided and len(reached) > known and target.corpus is not None and len(target.corpus) < 300:
            target.corpus.extend(target.latest)
        number += 1
        if isinstance(result, Defect):
            tally.defects.append(result)
        elif result == "answered":
            tally.answered += 1
        else:
            tally.refused += 1
            tally.messages[result[:80]] += 1
    return tally
