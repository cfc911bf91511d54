"""What comes out of training on images: its tests over time, and the row of the table."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..leakage.network_probe import ProbeResult, probe
from ..training.evaluation import evaluate
from ..training.method import Method
from .biased_accuracy import ExchangedAccuracy, measure_biased
from .group_accuracy import measure_group_accuracy
from .image_data import ImageData
from .process import measure_peak_memory_mb

if TYPE_CHECKING:  # so that only training needs Lightning
    from ..lightning import MethodModule


@dataclass
class Outcome:
    """What came out of a run: the table's row, tests and training over time, and the answers on the test images."""

    row: dict[str, Any]
    history: list[dict[str, Any]]
    trace: list[dict[str, Any]]
    answers: Tensor
    probe: ProbeResult
    method: Method = field(repr=False)
    exchanged: ExchangedAccuracy | None = None
    alarms: tuple[str, ...] | None = None


def take_test(run: "MethodModule", data: ImageData) -> tuple[dict[str, Any], tuple[Tensor, Tensor]]:
    """Apply the network of a run to the test images; an entry of the history, and z and logits."""
    answers = evaluate(run.method, data.test)
    entry: dict[str, Any] = {
        "method": run.method.name, "step": run.done_steps, "epoch": run.done_steps / run.steps_per_epoch,
        "seconds": run.seconds, "test_accuracy": _accuracy(answers[1], data.test.y),
    }  # fmt: skip
    if run.records:
        entry |= {"loss": run.records[-1].loss, "mi_estimates": list(run.records[-1].mi)}
    return entry, answers


def summarize_run(
    run: "MethodModule", data: ImageData, history: list[dict[str, Any]], answers: tuple[Tensor, Tensor] | None, *,
    network: str, seed: int, used: Mapping[str, Any],
) -> Outcome:  # fmt: skip
    """Test a run that has ended, unless z and logits of the test are known, and probe z for the attribute.

    What was ``used`` (accelerator, devices, precision) comes into the row.
    """
    method, test = run.method, data.test
    z, logits = answers or evaluate(method, test)
    _, train_logits = evaluate(method, data.train, first=10_000)
    found = _run_probe(z, data.attribute_classes, seed)
    epochs = run.done_steps / run.steps_per_epoch
    groups = measure_group_accuracy(logits.argmax(1) == test.y, test.y, data.attribute_classes, data.conflicting)
    row = {
        "dataset": data.dataset, "method": method.name, "setting": data.setting, "network": network, "seed": seed,
        "epochs": round(epochs, 3), "steps": run.done_steps,
        "train_images": len(data.train),
        "train_accuracy": _accuracy(train_logits, data.train.y[:10_000]),
        "test_accuracy": _accuracy(logits, test.y),
        **groups,
        "mi": found.mi.value, "mi_stderr": found.mi.stderr,
        "probe_accuracy": found.accuracy, "chance": found.chance,
        "seconds": run.seconds, "seconds_per_epoch": run.seconds / epochs,
        "peak_memory_mb": measure_peak_memory_mb(used["accelerator"]), "threads": torch.get_num_threads(),
        **used,
    }  # fmt: skip
    for name, classes in {"train": data.train_classes, "test": data.attribute_classes}.items():
        if missing := int((classes < 0).sum()):
            row[f"{name}_missing"] = missing  # images whose attribute is not known; the penalty passes over them
    if len(data.test_levels) > 1:
        each = {name: _run_probe(z, levels, seed) for name, levels in data.test_levels.items()}
        row["by_attribute"] = {
            name: {"mi": p.mi.value, "probe_accuracy": p.accuracy, "chance": p.chance} for name, p in each.items()
        }
    exchanged = None
    if data.held_out:
        exchanged, measures = measure_biased(z, logits, data, seed)
        row |= measures
    trace = [asdict(point) for point in run.trace]
    return Outcome(row, history, trace, logits.argmax(1), found, method, exchanged)


def _run_probe(z: Tensor, classes: Tensor, seed: int) -> ProbeResult:
    """Probe z of the images whose attribute is known."""
    known = classes >= 0
    return (
        probe(z, classes, random_state=seed)
        if bool(known.all())
        else probe(z[known], classes[known], random_state=seed)
    )


def _accuracy(logits: Tensor, y: Tensor) -> float:
    return float((logits.argmax(1) == y).float().mean())
