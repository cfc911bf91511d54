"""What a step asks the device for."""

from typing import Any

import torch

from benchmarks.gpu import StepCounter, draw_batch, measure
from midebias.attributes import Categorical
from midebias.experiments.image_methods import build_method
from midebias.marginals import find_range, keep_range
from midebias.training.data import Problem


def count_reads(name: str, **options: Any) -> dict[str, Any]:
    batch = draw_batch(64, 28, "cpu")
    method = build_method(name, Problem(10, Categorical(4), (4,)), precision="float32", **options)
    method.prepare(batch.levels, batch.c, batch.y)
    return measure(method, batch, steps=1)


def test_reads_are_counted_by_the_line_that_asks() -> None:
    labels = torch.tensor([3, 1, 2])
    with StepCounter() as counter:
        kept = keep_range(labels)
        assert find_range(kept) == (1, 3)
        assert find_range(kept) == (1, 3)  # asked for once
        labels[0] = 5
        assert find_range(labels) == (1, 5)  # of what is not kept, again
    assert sum(counter.reads.values()) == 2
    assert {place.partition(":")[0] for place in counter.reads} == {"marginals.py"}


def test_a_step_asks_seldom() -> None:
    assert count_reads("plain")["reads"] == 0
    assert count_reads("mib")["reads"] <= 11
