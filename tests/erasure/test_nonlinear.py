from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.svm import SVC

from midebias import MIEraser
from midebias.erasure.judging import Judge
from midebias.erasure.transport import compute_transport
from midebias.errors import DataError, InputError, TooFewSamples
from midebias.serving import export_model


def draw_spreads(n: int = 3000, p: int = 12, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Groups of one mean whose covariances differ much."""
    rng = np.random.default_rng(seed)
    c = rng.integers(2, size=n)
    spread = np.where(c[:, None] == 1, np.linspace(0.3, 2, p), np.linspace(2, 0.3, p))
    return (rng.normal(size=(n, p)) * spread).astype(np.float32), c


def probe(z: NDArray[np.floating], c: NDArray[np.int64]) -> float:
    half = len(z) // 2
    return float(SVC(random_state=0).fit(z[:half], c[:half]).score(z[half:], c[half:]))


def draw_hidden(n: int = 2000, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rectified units of five inputs and a binary c: rows lie on two folded surfaces, and some units are dead."""
    rng = np.random.default_rng(seed)
    c = rng.integers(2, size=n)
    inputs = np.column_stack([rng.normal(size=(n, 5)), 2 * c - 1])
    z = np.maximum(inputs @ rng.normal(size=(6, 24)), 0)
    z[:, :3] = 0
    return z.astype(np.float32), c


@pytest.fixture(scope="module")
def hidden() -> tuple[MIEraser, NDArray[np.float32], NDArray[np.int64]]:
    z, c = draw_hidden()
    return MIEraser(random_state=0).fit(z[:1000], sensitive_features=c[:1000]), z[1000:], c[1000:]


@pytest.fixture(scope="module")
def fitted() -> tuple[MIEraser, NDArray[np.float32], NDArray[np.int64]]:
    z, c = draw_spreads()
    return MIEraser(max_mi=0.02, random_state=0).fit(z[:2000], sensitive_features=c[:2000]), z[2000:], c[2000:]


def test_what_linear_erasure_leaves_is_erased(fitted: tuple[MIEraser, NDArray[np.float32], NDArray[np.int64]]) -> None:
    eraser, z, c = fitted
    assert probe(z, c) > 0.9
    assert probe(eraser.module_.linear(torch.from_numpy(z)).numpy(), c) > 0.9  # type: ignore[operator]  # a module
    assert probe(eraser.transform(z), c) < 0.62
    assert eraser.leakage_["sensitive_features"] <= 0.02
    assert eraser.history_[0]["step"] == 0


def test_groups_of_two_scales_move_hardly_more_than_to_their_barycentre(
    fitted: tuple[MIEraser, NDArray[np.float32], NDArray[np.int64]],
) -> None:
    eraser, z, _ = fitted
    a, b = np.linspace(0.3, 2, 12), np.linspace(2, 0.3, 12)
    least = np.square(a - b).sum() / 4 / z.var(axis=0).sum()
    moved = np.square(eraser.transform(z) - z).sum() / np.square(z).sum()
    assert 0.8 * least < moved < 1.2 * least


def test_folded_surfaces_are_brought_together(
    hidden: tuple[MIEraser, NDArray[np.float32], NDArray[np.int64]], tmp_path: Path
) -> None:
    eraser, z, c = hidden
    erased, linear = eraser.transform(z), eraser.module_.linear(torch.from_numpy(z)).numpy()  # type: ignore[operator]
    assert probe(erased, c) < 0.7 < 0.85 < probe(linear, c)
    assert (erased[:, :3] == z[:, :3]).all()  # what does not vary is not given anything, not even rounding
    eraser.save(tmp_path / "eraser.safetensors")
    np.testing.assert_array_equal(MIEraser.load(tmp_path / "eraser.safetensors").transform(z), erased)
    assert export_model(eraser, tmp_path / "eraser.onnx").largest_difference < 1e-4


def test_the_judge_reads_what_only_trees_see() -> None:
    rng = np.random.default_rng(0)
    c = rng.integers(2, size=1500)
    z = rng.normal(size=(1500, 30))
    z[c == 1, 4] = np.sign(z[c == 1, 4])
    judge = Judge(c, 900, np.zeros(2, dtype=np.intp))
    assert judge.measure_leakage(torch.from_numpy(z)) > 0.1


def test_separation_erases_within_classes_what_the_linear_map_leaves() -> None:
    rng = np.random.default_rng(0)
    n = 2600
    y = rng.integers(2, size=n)
    c = np.where(rng.random(n) < 0.7, y, 1 - y)
    z = rng.normal(size=(n, 12)) * np.where(c[:, None] == 1, 2.0, 0.6)
    z[:, 0] += 6 * y
    eraser = MIEraser(criterion="separation", max_mi=0.03, random_state=0)
    eraser.fit(z[:1600], y[:1600], sensitive_features=c[:1600])
    erased, y, c = eraser.transform(z), y[1600:], c[1600:]
    for label in (0, 1):
        before, after = ((v[1600:][y == label], c[y == label]) for v in (z, erased))
        assert probe(*after) < 0.85 < 0.95 < probe(*before)  # the more frequent c alone has 0.7
    assert ((erased[1600:, 0] > 3) == (y == 1)).mean() > 0.9


def test_what_tells_nothing_is_not_moved() -> None:
    rng = np.random.default_rng(0)
    z, c = rng.normal(size=(1500, 8)), rng.integers(2, size=1500)
    np.testing.assert_array_equal(MIEraser(random_state=0).fit_transform(z, None, c), z)


def test_a_shift_needs_the_linear_map_only() -> None:
    rng = np.random.default_rng(0)
    c = rng.integers(2, size=1500)
    z = rng.normal(size=(1500, 8)) + c[:, None]
    eraser = MIEraser(random_state=0).fit(z, sensitive_features=c)
    linear = MIEraser(method="linear").fit(z, sensitive_features=c)
    np.testing.assert_array_equal(eraser.transform(z), linear.transform(z))


def test_one_seed_gives_one_map() -> None:
    z, c = draw_spreads(n=600)
    first, second = (MIEraser(random_state=1).fit(z, sensitive_features=c).transform(z) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_what_is_kept_keeps_its_covariance_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    z, c = draw_spreads(n=1000)
    label = np.where(rng.random(1000) < 0.8, c, 1 - c)
    z[:, 0] += label
    age = (z[:, 1] * np.where(c == 1, 1.0, 0.2)).astype(np.float64)  # the groups' transport would change this one
    eraser = MIEraser(random_state=0).fit(z, sensitive_features=c, keep={"label": label, "age": age})
    erased = eraser.transform(z)
    assert probe(erased, c) < 0.75 < 0.9 < probe(z, c)
    for kept in (label, age):
        before, after = ((kept - kept.mean()) @ part.astype(np.float64) / 1000 for part in (z, erased))
        np.testing.assert_allclose(after, before, atol=1e-6)
    np.testing.assert_allclose((c - c.mean()) @ erased.astype(np.float64) / 1000, 0, atol=1e-6)
    assert eraser.history_[-1]["leakage"] == eraser.leakage_["sensitive_features"]
    eraser.save(tmp_path / "eraser.safetensors")
    np.testing.assert_array_equal(MIEraser.load(tmp_path / "eraser.safetensors").transform(z), erased)


def test_much_leakage_is_erased_at_the_cost_of_neighbours() -> None:
    rng = np.random.default_rng(0)
    age = rng.normal(size=1000)
    z = rng.normal(size=(1000, 16)) * np.exp(0.5 * age)[:, None]
    eraser = MIEraser(random_state=0).fit(z, sensitive_features=age)
    assert eraser.history_[0]["leakage"] > 0.3 > 0.1 > eraser.leakage_["sensitive_features"]


def test_more_neighbours_kept_is_less_moved() -> None:
    z, c = draw_spreads(n=1000)
    moved = [
        float(np.square(MIEraser(min_neighbours=share, random_state=0).fit_transform(z, None, c) - z).mean())
        for share in (0.95, 0.6)
    ]
    assert moved[0] < moved[1]


def test_several_categories_and_quantities_are_erased() -> None:
    rng = np.random.default_rng(0)
    site, age = rng.integers(4, size=2000), rng.normal(size=2000)
    z = rng.normal(size=(2000, 10))
    z[:, :4] *= np.where(np.eye(4)[site] == 1, 3.0, 0.5)
    z[:, 5] *= np.exp(age)
    eraser = MIEraser(max_mi=0.05, random_state=0)
    erased = eraser.fit_transform(z, None, {"site": site, "age": age})
    assert set(eraser.leakage_) == {"site", "age"}
    assert probe(erased, site) < 0.45 < 0.65 < probe(z, site)


def test_a_budget_that_is_not_met_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    z, c = draw_spreads(n=300)
    monkeypatch.setattr(Judge, "measure_leakage", lambda judge, z: 0.5)
    with pytest.warns(UserWarning, match=r"max_mi=0\.01 is not met: held-out rows still leak 0\.500 nats"):
        eraser = MIEraser(max_mi=0.01, random_state=0).fit(z, sensitive_features=c)
    assert eraser.leakage_ == {"sensitive_features": 0.5}


def test_too_few_rows_are_refused() -> None:
    z, c = draw_spreads(n=60)
    with pytest.raises(TooFewSamples, match="method='linear'"):
        MIEraser().fit(z, sensitive_features=c)


def test_transport_of_gaussian_groups_is_knott_and_smiths() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(20_000, 3)) * [1.0, 2.0, 3.0] + [1, 0, 0]
    b = rng.normal(size=(20_000, 3)) * [3.0, 2.0, 1.0] - [1, 0, 0]
    codes = np.repeat([0, 1], 20_000)
    transport = compute_transport(np.concatenate([a, b]), codes, np.zeros(2, dtype=np.intp), np.ones(40_000))
    np.testing.assert_allclose(transport.slopes[0].diagonal(), [1.0, 0.0, -1 / 3], atol=0.03)  # to 2, 2, 2
    moved = transport(torch.from_numpy(a), torch.tensor([[1.0, 0.0]]).expand(len(a), 2)).numpy()
    np.testing.assert_allclose(np.cov(moved.T), 4 * np.eye(3), atol=0.2)
    np.testing.assert_allclose(moved.mean(axis=0), 0, atol=0.05)


def test_the_judge_reads_zero_of_independent_rows() -> None:
    rng = np.random.default_rng(0)
    judge = Judge(rng.integers(3, size=1500), 900, np.zeros(3, dtype=np.intp))
    assert abs(judge.measure_leakage(torch.from_numpy(rng.normal(size=(1500, 20))))) < 0.01


def test_groups_whose_group_is_known_are_carried_to_the_barycentre() -> None:
    z, c = draw_spreads()
    z[c == 1] += 2
    names = np.array(["a", "b"])[c]
    eraser = MIEraser(aware=True, random_state=0).fit(z[:2000], sensitive_features=names[:2000])
    erased = eraser.transform(z[2000:], names[2000:])
    assert probe(erased, c[2000:]) < 0.57
    with pytest.raises(InputError, match="'c', which fit has not seen"):
        eraser.transform(z[:2], ["a", "c"])
    with pytest.raises(InputError, match="takes sensitive_features where aware=True"):
        eraser.transform(z[:2])
    shifted = MIEraser(aware=True, method="linear").fit_transform(z, None, names)
    for group in "ab":
        np.testing.assert_allclose(shifted[names == group].mean(axis=0), z.mean(axis=0), atol=1e-4)


def test_unseen_categories_can_be_treated_by_the_unaware_map() -> None:
    z, c = draw_spreads(n=800)
    eraser = MIEraser(method="linear", aware=True, unseen="unaware").fit(z, sensitive_features=c)
    unaware = MIEraser(method="linear").fit(z, sensitive_features=c).transform(z[:3])
    np.testing.assert_allclose(eraser.transform(z[:3], [7, 7, 7]), unaware, atol=1e-6)


@pytest.mark.parametrize(
    "parameters",
    [{"method": "linear"}, {"max_mi": 0.2}, {"aware": True, "unseen": "unaware", "max_mi": 0.2}],
)  # fmt: skip
def test_a_file_gives_the_eraser_back(parameters: dict[str, object], tmp_path: Path) -> None:
    z, c = draw_spreads(n=800)
    eraser = MIEraser(**parameters, random_state=0).fit(z, sensitive_features=c)  # type: ignore[arg-type]  # of every kind
    eraser.save(tmp_path / "eraser.safetensors")
    loaded = MIEraser.load(tmp_path / "eraser.safetensors")
    given = (z, c) if eraser.aware else (z,)
    np.testing.assert_array_equal(loaded.transform(*given), eraser.transform(*given))
    assert loaded.get_params()["method"] == eraser.method


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read as an eraser"):
        MIEraser.load(tmp_path / "x.safetensors")


def test_a_loaded_eraser_does_not_begin_anew_with_the_next_batch(tmp_path: Path) -> None:
    z, c = draw_spreads(200)
    MIEraser(method="linear").fit(z, sensitive_features=c).save(tmp_path / "eraser.safetensors")
    loaded = MIEraser.load(tmp_path / "eraser.safetensors")
    before = loaded.transform(z)
    with pytest.raises(InputError, match="was loaded"):
        loaded.partial_fit(z, sensitive_features=c)
    assert np.array_equal(loaded.transform(z), before)


def test_onnx_computes_what_the_module_does(
    fitted: tuple[MIEraser, NDArray[np.float32], NDArray[np.int64]], tmp_path: Path
) -> None:
    written = export_model(fitted[0], tmp_path / "eraser.onnx")
    assert written.outputs == ("z",)
    assert written.largest_difference < 1e-5
