"""Numbers read piece by piece: what the code says, where pieces end, and that a network gains by it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from midebias.errors import DataError, InputError
from midebias.serving import ServedTable, export_model, load_run
from midebias.sklearn import MIDebiasClassifier
from midebias.tabular.piecewise_linear import PiecewiseLinear


def table(n: int = 800, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """A label that depends on whether x lies in one of two narrow bands."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=n), "flag": rng.integers(2, size=n), "kind": rng.choice(["a", "b"], n)})
    frame.loc[rng.random(n) < 0.05, "x"] = np.nan
    inside = frame["x"].between(-0.4, -0.1) | frame["x"].between(0.5, 0.8)
    return frame, np.where(rng.random(n) < 0.02, ~inside, inside).astype(int), rng.integers(2, size=n)


def test_each_piece_counts_from_below_it_to_above_it() -> None:
    x = np.linspace(0, 1, 401)[:, None] ** 3
    code = PiecewiseLinear.fit(x, 4)
    assert code is not None
    assert code.added == 4
    out = code(torch.from_numpy(x))
    assert torch.equal(out[:, :1], torch.from_numpy(x))
    pieces = out[:, 1:] * code.deviation + code.mean
    torch.testing.assert_close(pieces[0], torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(pieces[-1], torch.ones(4, dtype=torch.float64))
    assert bool((out[1:] >= out[:-1]).all())  # no order is lost
    # Added up with their widths, pieces give back the number.
    torch.testing.assert_close(pieces @ code.width, torch.from_numpy(x[:, 0]))
    # Of unit variance and without a mean, on the rows they were learned from.
    torch.testing.assert_close(out[:, 1:].mean(dim=0), torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(out[:, 1:].std(dim=0, correction=0), torch.ones(4, dtype=torch.float64))


def test_pieces_end_at_values_that_are_there_however_rare() -> None:
    x = np.zeros((1000, 2))
    x[:20, 0] = np.repeat(np.arange(1, 11), 2)  # 98% are zero
    x[:500, 1] = 1  # of two values there is nothing to tell apart
    code = PiecewiseLinear.fit(x, 32)
    assert code is not None
    assert set(code.columns.tolist()) == {0}
    assert code.low.tolist() == list(range(10))


def test_one_piece_for_a_hundred_rows_and_none_for_few() -> None:
    rng = np.random.default_rng(0)
    for n, pieces in ((199, None), (200, 2), (1000, 10), (10_000, 32)):
        code = PiecewiseLinear.fit(rng.normal(size=(n, 1)), 32)
        assert (None if code is None else code.added) == pieces
    assert PiecewiseLinear.fit(rng.normal(size=(1000, 1)), 0) is None


def test_ends_too_close_for_single_precision_are_one() -> None:
    x = np.concatenate([np.linspace(0, 1e-7, 500), np.linspace(1, 1000, 500)])[:, None]
    code = PiecewiseLinear.fit(x, 32)
    assert code is not None
    assert float(code.width.min()) > 1e-4 * 1000 * 0.99
    exact, rounded = code(torch.from_numpy(x)), code.float()(torch.from_numpy(x).float())
    torch.testing.assert_close(rounded.double()[:, 1:], exact[:, 1:], atol=5e-3, rtol=0)


def test_a_network_learns_what_is_narrow() -> None:
    frame, y, c = table(2000)
    test, y_test, _ = table(2000, seed=1)

    def score(n_pieces: int, seed: int) -> float:
        model = MIDebiasClassifier(n_pieces=n_pieces, epochs=20, batch_size=256, random_state=seed)
        return model.fit(frame, y, sensitive_features=c).score(test, y_test)

    scores = {n: (score(n, 0) + score(n, 1)) / 2 for n in (0, 32)}
    assert scores[32] > 0.93
    assert scores[32] > scores[0] + 0.02


def test_it_is_saved_and_served_with_the_network(tmp_path: Path) -> None:
    frame, y, c = table()
    model = MIDebiasClassifier(base="network", epochs=5, random_state=0).fit(frame, y, sensitive_features=c)
    assert isinstance(model.network_.encoder.reading, PiecewiseLinear)
    served = ServedTable.from_model(model)
    with torch.no_grad():
        probabilities, z = served(torch.from_numpy(served.encode(frame)))
    np.testing.assert_allclose(probabilities.numpy(), model.predict_proba(frame), atol=1e-12)
    (tmp_path / "preprocessing.json").write_text(json.dumps(model.describe()))
    weights = model.network_.state_dict()
    save_file(weights, tmp_path / "model.safetensors")
    with torch.no_grad():
        assert torch.equal(load_run(tmp_path)(torch.from_numpy(served.encode(frame)))[1], z)
    weights["encoder.reading.columns"] = torch.full_like(weights["encoder.reading.columns"], 99)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="does not go with"):
        load_run(tmp_path)
    report = export_model(model, tmp_path / "model.pt2")
    assert report.largest_difference < 1e-10


@pytest.mark.parametrize("value", [-1, 1.5, "many", None])
def test_a_number_of_pieces_that_is_none_is_named(value: object) -> None:
    frame, y, c = table(50)
    with pytest.raises(InputError, match="n_pieces"):
        MIDebiasClassifier(n_pieces=value).fit(frame, y, sensitive_features=c)  # type: ignore[arg-type]
