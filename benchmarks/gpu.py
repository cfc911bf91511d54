"""What a training step costs on a device: images a second, the penalty's share, memory, operations and reads.

python -m benchmarks.gpu --device cuda --network paper,torchvision:resnet50 --batch-size 256 --precision bfloat16
python -m benchmarks.gpu --device cpu --network paper --batch-size 64 --steps 3

Reads are values that Python asks the device for, after which it waits: numbers, truth values, and results whose size is
not known before. The optimiser's own are left out: its step numbers lie on the CPU. Waits are in torch's decompositions
that ask the device by themselves. On a CPU, where nothing waits, both are counted as on a GPU: what is read once it is
known counts for nothing.
"""

from __future__ import annotations

import re
import statistics
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self, cast, get_args
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import midebias
from midebias import deferred_reads
from midebias.attributes import Categorical
from midebias.estimators.registry import EstimatorName
from midebias.experiments.image_methods import build_method
from midebias.experiments.process import measure_peak_memory_mb
from midebias.methods import METHODS
from midebias.training.data import Batch, Problem
from midebias.training.method import Method

from .script import Script

_WAITING = {"_linalg_eigh", "_linalg_check_errors"}  # ask by themselves whether they came out well
_SIZED_BY_VALUES = {"nonzero", "masked_select", "_unique2", "unique_consecutive", "unique_dim"}
_SOURCE = Path(midebias.__file__).parent


class StepCounter(TorchDispatchMode):
    """Counts the operations of what runs inside it, and the reads of the device by the line that asks for them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations, self.reads, self.waits = 0, Counter[str](), Counter[str]()
        self._open = ExitStack()
        self._copies = _HostCopies(lambda: self.note(self.reads))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        name = func.overloadpacket.__name__
        masks = [v for v in (args[1] if name == "index" else ()) if isinstance(v, Tensor) and v.dtype == torch.bool]
        if name == "_local_scalar_dense" or name in _SIZED_BY_VALUES or masks:
            self.note(self.reads)
        if name in _WAITING:
            self.note(self.waits)
        return func(*args, **(kwargs or {}))

    def note(self, counts: Counter[str]) -> None:
        """Count a read or a wait by the line of the package that asks."""
        frames = [frame for frame in traceback.extract_stack() if _SOURCE in Path(frame.filename).parents]
        if frames and not re.search(r"(optimizer|scaler)\.step\(", frames[-1].line or ""):
            place = Path(frames[-1].filename).relative_to(_SOURCE).as_posix()
            counts[f"{place}:{frames[-1].lineno}"] += 1

    def __enter__(self) -> Self:
        self._open.enter_context(simulate_device())
        self._open.enter_context(self._copies)
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._open.close()


@contextmanager
def simulate_device() -> Iterator[None]:
    """Have the package take the CPU for a device whose numbers are known late: here, after the context."""
    with patch.multiple(deferred_reads, ASYNCHRONOUS={"cpu", "cuda"}, finish_reads=lambda **_: None):
        yield
    try:
        deferred_reads.finish_reads()
    finally:
        deferred_reads._pending.clear()  # after an error, what else was said of the same numbers


class _HostCopies(TorchFunctionMode):
    """Tells a counter of arrays that are made of tensors, which are no operation on a CPU."""

    def __init__(self, note: Callable[[], None]) -> None:
        super().__init__()
        self._note = note

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.tolist, Tensor.numpy, Tensor.cpu):
            self._note()
        return func(*args, **(kwargs or {}))


def draw_batch(n: int, size: int, device: str) -> Batch:
    """Draw images whose brightness goes with the attribute, of ten classes and four categories."""
    generator = torch.Generator().manual_seed(0)
    x, y, c = torch.rand(n, 3, size, size, generator=generator), torch.arange(n) % 10, torch.arange(n) // 3 % 4
    x = (x * (0.4 + 0.2 * c[:, None, None, None])).contiguous(memory_format=torch.channels_last)
    return Batch(*(v.to(device) for v in (x, y, c[:, None], c)))


def measure(method: Method, batch: Batch, *, steps: int) -> dict[str, Any]:
    """Seconds of a step, the median of some after two that warm up; and counts of one more."""
    seconds = []
    for _ in range(steps + 2):
        started = time.perf_counter()
        method.step(batch, lambda: batch, method.lr)
        if batch.x.is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    with simulate_device():
        method.step(batch, lambda: batch, method.lr)  # the first one asks for the range of labels
    with StepCounter() as counter, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if batch.x.is_cuda:
            torch.cuda.set_sync_debug_mode("warn")
        method.step(batch, lambda: batch, method.lr)
    if batch.x.is_cuda:
        torch.cuda.set_sync_debug_mode("default")
    step = statistics.median(seconds[2:])
    return {
        "seconds_per_step": step, "images_per_second": len(batch) / step, "operations": counter.operations,
        "reads": sum(counter.reads.values()), "read_at": dict(counter.reads.most_common()),
        "waits": sum(counter.waits.values()), "wait_at": dict(counter.waits.most_common()),
        "synchronisations_told": sum("synchroniz" in str(each.message) for each in told) if batch.x.is_cuda else None,
    }  # fmt: skip


if __name__ == "__main__":
    script = Script(
        "gpu", __doc__, device="cpu", network=["paper"], batch_size=256, image_size=28, steps=10, precision="float32",
        methods=[*METHODS, *(f"mib:{name}" for name in get_args(EstimatorName) if name != "gaussian")],
    )  # fmt: skip
    given, rows = script.given, list[dict[str, Any]]()
    device = given["device"]
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    problem = Problem(10, Categorical(4), (4,))
    for network in given["network"]:
        size = 28 if network == "paper" else given["image_size"]
        batch = draw_batch(given["batch_size"], size, device)
        for name in given["methods"]:
            kind, _, estimator = name.partition(":")
            options: dict[str, Any] = {"estimator": estimator} if estimator else {}
            made = build_method(kind, problem, network=network, image_size=[size] * 2, precision=given["precision"],
                                **options)  # fmt: skip
            cast(torch.nn.Module, made.model).to(device)
            made.prepare(batch.levels, batch.c, batch.y)
            made.begin_epoch([batch])
            row = {"network": network, "method": name, "device": card} | measure(made, batch, steps=given["steps"])
            plain = next((r for r in rows if (r["network"], r["method"]) == (network, "plain")), row)
            row["over_plain"] = row["seconds_per_step"] / plain["seconds_per_step"]
            row["peak_memory_mb"] = measure_peak_memory_mb(device)
            rows.append(row)
            script.write(rows, [0])
