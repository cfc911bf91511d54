from __future__ import annotations

import torch

from midebias.attributes import Categorical, Continuous
from midebias.experiments.mi_columns import measure_mi_columns


def test_both_columns_read_a_leak_of_categories_and_of_quantities() -> None:
    g = torch.Generator().manual_seed(0)
    noise, c = torch.randn(4000, 2, generator=g), torch.randint(2, (4000,), generator=g)
    leaking = noise + 3.0 * c[:, None]
    for attribute, values in ((Categorical(2), c), (Continuous(1), leaking[:, :1])):
        found = measure_mi_columns(leaking, values, attribute)
        clean = measure_mi_columns(noise, torch.roll(values, 1, 0), attribute)
        assert set(found) == {"mi", "mi_gaussian"}
        for name in found:
            value, nothing = found[name], clean[name]
            assert value is not None
            assert nothing is not None
            assert value > 0.4
            assert abs(nothing) < 0.05


def test_too_few_rows_for_a_probe_leave_its_column_empty() -> None:
    g = torch.Generator().manual_seed(0)
    found = measure_mi_columns(torch.randn(60, 2, generator=g), torch.arange(60) % 2, Categorical(2))
    assert found["mi"] is None
    assert found["mi_gaussian"] is not None
