"""Attributes that few rows have: drawn for the others as likely as the known rows say, and penalised."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from midebias.attributes import Attributes, Categorical, Continuous
from midebias.errors import InputError
from midebias.sklearn import MIDebiasClassifier, MIDebiasRegressor
from midebias.tabular.missing_attributes import draw_missing

BOTH = Attributes(Categorical(2), Continuous(1))


def draw_table(n: int = 4000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, 3, generator=g, dtype=torch.float64)
    sex = (torch.rand(n, generator=g) < torch.sigmoid(2 * x[:, 0])).double()
    age = x[:, 1] + 0.5 * torch.randn(n, generator=g, dtype=torch.float64)
    return x, torch.stack([sex, age], dim=1), (x[:, 2] > 0).long()


def test_what_is_drawn_goes_with_the_rows_as_what_is_known_does() -> None:
    x, c, y = draw_table()
    gaps = c.clone()
    gaps[500:] = torch.nan
    filled = draw_missing(gaps, x, y, BOTH, seed=0)
    assert torch.equal(filled[:500], c[:500])
    assert not bool(filled.isnan().any())
    for column in range(2):
        found, truth = (torch.corrcoef(torch.stack([v[500:, column], x[500:, column]]))[0, 1] for v in (filled, c))
        assert float(found) == pytest.approx(float(truth), abs=0.08)
    assert float(filled[500:, 1].std()) == pytest.approx(float(c[500:, 1].std()), rel=0.1)
    again = draw_missing(gaps, x, y, BOTH, seed=0)
    assert torch.equal(filled, again)
    other = draw_missing(gaps, x, y, BOTH, seed=1)
    assert not torch.equal(filled, other)


def test_complete_attributes_are_left_alone_and_too_few_are_refused() -> None:
    x, c, y = draw_table(200)
    assert torch.equal(draw_missing(c, x, y, BOTH, seed=0), c)
    c[19:] = torch.nan
    with pytest.raises(InputError, match="at least 20 rows, and one is in 19"):
        draw_missing(c, x, y, BOTH, seed=0)


@pytest.mark.parametrize("categories", [1, 2, 7])
def test_rare_categories_are_drawn_as_rarely(categories: int) -> None:
    """One row of each but the first."""
    x, _, y = draw_table(2000)
    c = torch.full((2000, 1), torch.nan, dtype=torch.float64)
    c[:60, 0] = 0
    c[: categories - 1, 0] = torch.arange(1, categories).double()
    filled = draw_missing(c, x, y, Categorical(max(2, categories)), seed=0)
    assert torch.equal(filled[:60], c[:60])
    assert set(filled.flatten().tolist()) <= set(range(categories))
    assert float((filled == 0).double().mean()) > 0.75


def test_few_known_rows_penalise_all() -> None:
    x, c, _ = draw_table(3000)
    label = ((x[:, 0] + x[:, 2]) > 0).numpy().astype(int)
    known = np.where(np.arange(3000) % 5 == 0, c[:, 0].numpy(), np.nan)
    gaps = {}
    for how in ("mask", "draw"):
        model = MIDebiasClassifier(
            criterion="independence", base="network", mi_weight=8, epochs=60, batch_size=256, missing_attribute=how,
            random_state=0,
        )  # fmt: skip
        decided = model.fit(x.numpy(), label, sensitive_features=known).predict(x.numpy())
        gaps[how] = abs(decided[c[:, 0] == 1].mean() - decided[c[:, 0] == 0].mean())
    assert gaps["draw"] < 0.6 * gaps["mask"]


def test_other_words_are_refused_and_the_regressor_takes_it_too() -> None:
    x, c, y = draw_table(300)
    with pytest.raises(InputError, match="missing_attribute must be 'mask' or 'draw'"):
        MIDebiasClassifier(missing_attribute="drop").fit(x.numpy(), y.numpy(), sensitive_features=c[:, 0].numpy())  # type: ignore[arg-type]
    age = np.where(np.arange(300) % 3 == 0, c[:, 1].numpy(), np.nan)
    model = MIDebiasRegressor(missing_attribute="draw", epochs=2, random_state=0)
    assert model.fit(x.numpy(), x[:, 2].numpy(), sensitive_features=age).predict(x.numpy()).shape == (300,)
