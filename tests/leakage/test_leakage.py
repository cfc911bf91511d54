from __future__ import annotations

import math

import pytest
import torch

from midebias.errors import InputError
from midebias.leakage import probe

from ..conftest import generator
from ..constructions import shifted_normals


def test_a_probe_at_chance_on_independent_pairs() -> None:
    g = generator(0)
    z, c = torch.randn(4000, 5, generator=g), torch.randint(4, (4000,), generator=g)
    found = probe(z, c)
    assert found.balanced_accuracy == pytest.approx(0.25, abs=0.04)
    assert found.mi.value < 0.01
    assert found.chance == pytest.approx(0.25, abs=0.03)


def test_a_probe_reads_zero_of_independent_pairs_for_many_labels() -> None:
    g = generator(2)
    found = probe(torch.randn(2000, 5, generator=g), torch.randint(300, (2000,), generator=g), max_epochs=10)
    assert found.mi.value == pytest.approx(0, abs=max(0.01, 3 * found.mi.stderr))


def test_a_probe_reads_what_is_there_and_not_more() -> None:
    z, c, truth = shifted_normals(8000, 2.0, seed=0)
    found = probe(z, c)
    best = 0.5 * (1 + math.erf(1 / math.sqrt(2)))  # of any classifier, at the midpoint
    assert found.accuracy == pytest.approx(best, abs=0.02)
    assert found.mi.bound == "lower"
    assert truth - 0.03 < found.mi.value < truth + 3 * found.mi.stderr


def test_the_deeper_probe_sees_an_exclusive_or() -> None:
    g = generator(1)
    z = torch.randn(4000, 2, generator=g)
    assert probe(z, (z[:, 0] * z[:, 1] > 0).long()).balanced_accuracy > 0.9


def test_scale_and_labels_do_not_matter() -> None:
    z, c, _ = shifted_normals(2000, 2.0, seed=0)
    first = probe(z, c)
    assert probe(z, c) == first
    assert probe(1e-4 * z + 50, 7 * c + 3).accuracy == pytest.approx(first.accuracy, abs=0.02)


def test_bad_inputs_name_the_argument() -> None:
    z, c, _ = shifted_normals(200, 1.0, seed=0)
    with pytest.raises(InputError, match="c never varies"):
        probe(z, torch.zeros_like(c))
    with pytest.raises(InputError, match="at least 100"):
        probe(z[:50], c[:50])
    with pytest.raises(InputError, match="z contains NaN"):
        probe(z * float("nan"), c)
    with pytest.raises(InputError, match="c must hold integer"):
        probe(z, c.float())
