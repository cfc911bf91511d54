from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

from benchmarks.planted_leaks import plant, solve_flip_rate, solve_spread_ratio
from midebias import audit
from midebias.cli import run
from midebias.errors import DataError, InputError
from midebias.leakage.embedding_files import read_embeddings
from midebias.leakage.statistics import (
    adjust_p_values,
    combine_p_values,
    compare_with_permutations,
    compute_p_value,
    compute_wilson_interval,
)

FAST = ["linear", "quadratic"]


def planted(n: int = 800, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z tells sex and nothing else."""
    rng = np.random.default_rng(seed)
    sex, y = rng.integers(0, 2, n), rng.integers(0, 2, n)
    z = rng.normal(size=(n, 5))
    z[:, 0] += 1.5 * sex
    return z, sex, y


def test_permutation_moments_agree_with_all_permutations() -> None:
    from itertools import permutations

    rng = np.random.default_rng(0)
    scores, c = rng.normal(size=(6, 3)), np.array([0, 0, 1, 2, 2, 2])
    sums = np.array([scores[np.arange(6), list(p)].sum() for p in permutations(c)])
    found = compare_with_permutations(scores, c, np.arange(6))
    assert found.excess.sum() == pytest.approx(scores[np.arange(6), c].sum() - sums.mean())
    assert found.variance == pytest.approx(sums.var())


def test_permutation_moments_of_groups_agree_with_all_permutations_of_groups() -> None:
    from itertools import permutations

    rng = np.random.default_rng(0)
    scores, c = rng.normal(size=(10, 3)), np.array([0, 1, 1, 2, 0])
    groups = np.array([3, 0, 1, 3, 4, 2, 4, 0, 1, 2])
    sums = np.array([scores[np.arange(10), np.array(p)[groups]].sum() for p in permutations(c)])
    found = compare_with_permutations(scores, c[groups], groups)
    assert found.excess.sum() == pytest.approx(scores[np.arange(10), c[groups]].sum() - sums.mean())
    assert found.variance == pytest.approx(sums.var())


def test_permutation_moments_within_groups_agree_with_all_permutations_within_them() -> None:
    from itertools import permutations, product

    rng = np.random.default_rng(1)
    scores, c, groups = rng.normal(size=(8, 3)), np.array([0, 1, 2, 0, 2, 0, 1, 0]), np.array([0] * 4 + [1] * 4)
    sums = np.array(
        [scores[np.arange(8), [*a, *b]].sum() for a, b in product(permutations(c[:4]), permutations(c[4:]))]
    )
    found = compare_with_permutations(scores, c, groups)  # both groups hold the same: only rows within them move
    assert found.variance == pytest.approx(sums.var())


def test_p_values_of_constant_scores_and_of_many_tests() -> None:
    constant = compare_with_permutations(np.zeros((5, 2)), np.array([0, 1, 0, 1, 1]), np.arange(5))
    assert compute_p_value([constant], [np.arange(5)]) == 1.0
    assert combine_p_values([0.01, 0.2, 0.9]) == pytest.approx(0.4)
    assert combine_p_values([0.01, 0.2]) == pytest.approx(0.4)  # the larger of two middle values
    assert adjust_p_values([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    low, high = compute_wilson_interval(0, 10)
    assert low == pytest.approx(0)
    assert high == pytest.approx(0.2775, abs=1e-3)


def test_a_wider_spread_tells_as_much_as_asked_for() -> None:
    c, x = np.random.default_rng(0).integers(0, 2, 400_000), np.random.default_rng(1).normal(size=400_000)
    s = solve_spread_ratio(0.05)
    x = np.where(c == 1, s * x, x)
    log_odds = x**2 / 2 * (1 - 1 / s**2) - math.log(s)
    told = math.log(2) - np.logaddexp(0, np.where(c == 1, -log_odds, log_odds)).mean()
    assert told == pytest.approx(0.05, abs=0.003)


def test_a_flipped_bit_tells_as_much_as_asked_for() -> None:
    rate = solve_flip_rate(0.2)
    assert math.log(2) + rate * math.log(rate) + (1 - rate) * math.log(1 - rate) == pytest.approx(0.2)


@pytest.mark.parametrize("kind", ["linear", "xor", "radial", "one class", "clean", "clean, with y"])
def test_planted_leaks_are_found_and_nothing_else(kind: str) -> None:
    z, c, y = plant(kind, 0.25, 2000, 6, seed=1)
    result = audit(z, c, y, probes=FAST)
    assert result.leaks == (not kind.startswith("clean"))
    if result.leaks:
        assert result.worst.leakage < 0.25 + 4 * result.findings[0].stderr + 0.02
        assert result.worst.condition == ("y = 1" if kind == "one class" else "overall")
    else:
        assert result.leakage < 0.01


@pytest.mark.parametrize(("columns", "dim"), [((1, 4, 2), 40), ((0, 3, 5, 6), 9)])
def test_sign_patterns_that_no_pair_shows_are_found(columns: tuple[int, ...], dim: int) -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2000, dim))
    c = (z[:, columns].prod(axis=1) > 0) ^ (rng.random(2000) < solve_flip_rate(0.2))
    result = audit(z, c.astype(int), probes=["quadratic"])
    assert result.leaks
    assert 0.05 < result.leakage < 0.23
    assert not audit(z, c[rng.permutation(2000)].astype(int), probes=["quadratic"]).leaks


@pytest.mark.parametrize("probe", ["linear", "quadratic", "nearest neighbours", "boosted trees", "mlp"])
def test_every_probe_finds_a_shift_and_stays_below_the_truth(probe: str) -> None:
    z, sex, _ = planted(1500)
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    truth = math.log(2) - (weights @ np.logaddexp(0, nodes * 1.5 - 1.5**2 / 2)) / weights.sum()
    (finding,) = audit(z, sex, probes=[probe]).findings
    assert finding.p_adjusted < 1e-6
    assert 0.4 * truth < finding.mi < truth + 3 * finding.stderr
    assert finding.low < finding.mi < finding.high
    assert finding.balanced_low > finding.balanced_chance == 0.5


def test_what_goes_in_and_in_which_form_does_not_matter() -> None:
    z, sex, y = planted()
    first = audit(z, sex, y, probes=["linear"])
    forms = [
        audit(torch.tensor(z), torch.tensor(sex), torch.tensor(y), probes=["linear"]),
        audit(pd.DataFrame(z), pd.DataFrame({"c": sex}), pd.Series(y), probes=["linear"]),
        audit(z, {"c": np.where(sex == 1, "woman", "man")}, np.where(y == 1, "yes", "no"), probes=["linear"]),
        audit(100 * z + 7, sex[:, None], y, probes=["linear"]),
    ]
    for other in forms:
        assert other.leakage == pytest.approx(first.leakage, abs=2e-3)
        assert other.leaks


def test_several_attributes_each_get_their_own_answer() -> None:
    z, sex, _ = planted(1200)
    age = 40 + 10 * np.random.default_rng(5).normal(size=1200)
    age[:7] = np.nan
    site = np.where(np.arange(1200) % 3 == 0, None, "a")
    site[1::6] = "b"
    result = audit(z, {"sex": sex, "age": age, "site": site}, probes=["linear"])
    found = {s.attribute: s for s in result.summary}
    assert found["sex"].leaks
    assert not found["age"].leaks
    assert found["age"].missing == 7
    assert found["age"].entropy == pytest.approx(math.log(5), abs=1e-3)
    assert found["site"].missing == 400
    assert any("age is missing in 7" in w for w in result.warnings)


def test_within_classes_forgives_what_the_label_tells() -> None:
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 2000)
    c = np.where(rng.random(2000) < 0.8, y, 1 - y)
    z = rng.normal(size=(2000, 3)) + 2 * y[:, None]
    result = audit(z, c, y, probes=["linear"])
    leaks = {s.condition: s.leaks for s in result.summary}
    assert leaks == {"overall": True, "within classes": False, "y = 0": False, "y = 1": False}
    assert result.exceeds(0.01)
    assert not result.exceeds(0.01, condition="within classes")


def test_fairness_is_fairlearns_own() -> None:
    z, sex, y = planted(600)
    predictions = np.where(np.random.default_rng(1).random(600) < 0.7 + 0.2 * sex, y, 1 - y)
    result = audit(z, {"sex": sex, "half": np.arange(600) % 2}, y, predictions=predictions, probes=["linear"])
    by = {d["attribute"]: d for d in result.differences}
    assert set(by) == {"sex", "half", "sex x half"}
    expected = demographic_parity_difference(y, predictions, sensitive_features=sex)
    assert by["sex"]["demographic_parity_difference"] == pytest.approx(expected)
    expected = equalized_odds_difference(y, predictions, sensitive_features=sex)
    assert by["sex"]["equalized_odds_difference"] == pytest.approx(expected)
    assert sum(g["n"] for g in result.groups if g["attribute"] == "sex x half") == 600
    probabilities = np.stack([1.0 - predictions, predictions], axis=1)
    again = audit(z, sex, y, predictions=probabilities, probes=["linear"])
    assert again.differences[0]["accuracy_difference"] == pytest.approx(by["sex"]["accuracy_difference"])


def test_fairness_of_counts_is_that_of_rows() -> None:
    """Against fairlearn's MetricFrame on the rows themselves, of three classes of words, with missing attributes."""
    rng = np.random.default_rng(2)
    n = 900
    y, answers = (rng.choice(["no", "perhaps", "yes"], n) for _ in range(2))
    site = np.where(rng.random(n) < 0.1, None, rng.choice(["a", "b"], n))
    result = audit(rng.normal(size=(n, 2)), {"site": site}, y, predictions=answers, probes=["linear"])
    there = np.array([s is not None for s in site])
    by_group = {g["group"]: g for g in result.groups}
    for group in ("a", "b"):
        assert by_group[group]["n"] == (site == group).sum()
        assert by_group[group]["accuracy"] == pytest.approx((y == answers)[site == group].mean())
    for name, function in (
        ("demographic_parity_difference", demographic_parity_difference),
        ("equalized_odds_difference", equalized_odds_difference),
    ):
        rows = [
            function(y[there] == k, answers[there] == k, sensitive_features=site[there])
            for k in ("no", "perhaps", "yes")
        ]
        assert result.differences[0][name] == pytest.approx(max(rows))


def test_a_rate_without_rows_is_not_a_rate_of_zero() -> None:
    """Group b holds no row of class 1: its true positive rate is unknown, and no difference is made of it."""
    rng = np.random.default_rng(0)
    site = np.repeat(["a", "b", "c"], 200)
    y = np.where(site == "b", 0, rng.integers(0, 2, 600))
    result = audit(rng.normal(size=(600, 2)), {"site": site}, y, predictions=y, probes=["linear"])
    assert result.differences[0]["equalized_odds_difference"] == 0
    assert [g["true_positive_rate"] for g in result.groups] == [1.0, None, 1.0]


def test_odds_that_no_two_groups_can_be_compared_by_are_not_equal(tmp_path: Path) -> None:
    site = np.repeat(["a", "b"], 200)
    y = (site == "b").astype(int)
    z = np.random.default_rng(0).normal(size=(400, 2))
    result = audit(z, {"site": site}, y, predictions=y, probes=["linear"])
    assert result.differences[0]["equalized_odds_difference"] is None
    assert "–" in str(result)
    result.to_html(tmp_path / "report.html")
    assert ">–</td>" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, bool])
def test_any_numbers_are_read_as_they_are(dtype: type, tmp_path: Path) -> None:
    """Also from a memory-mapped file; nothing is written to it."""
    rng = np.random.default_rng(0)
    z = (rng.normal(size=(400, 3)) * 3).astype(dtype)
    np.save(tmp_path / "z.npy", z)
    mapped = read_embeddings(tmp_path / "z.npy", [], table=None).z
    assert isinstance(mapped, np.memmap)
    sex = np.arange(400) % 2
    found = audit(mapped, sex, probes=["linear"])
    assert found.leakage == pytest.approx(audit(z.astype(np.float32), sex, probes=["linear"]).leakage, abs=1e-6)


def test_small_groups_are_marked() -> None:
    z, _, y = planted(400)
    site = np.where(np.arange(400) < 25, "tiny", np.where(np.arange(400) % 2, "a", "b"))
    result = audit(z, {"site": site}, y, predictions=y, probes=["linear"])
    assert [g["group"] for g in result.groups if g["small"]] == ["tiny"]
    assert result.differences[0]["without_small"]
    assert any("fewer than 50" in w for w in result.warnings)


def test_large_data_is_drawn_from_and_it_is_said() -> None:
    z, sex, _ = planted(3000)
    result = audit(z, sex, probes=["linear"], max_rows=500)
    assert result.findings[0].n == 500
    assert any("500 of 3,000" in w for w in result.warnings)


def test_the_result_as_text_frame_and_json(tmp_path: Path) -> None:
    z, sex, y = planted()
    result = audit(z, {"sex": sex}, y, probes=FAST, random_state=4)
    assert str(audit(z, {"sex": sex}, y, probes=FAST, random_state=4)) == str(result)
    assert "leaks sex" in str(result)
    frame = result.to_frame()
    assert len(frame) == 2 * 4
    assert frame["mi"].max() == pytest.approx(result.leakage)
    document = json.loads(result.to_json(tmp_path / "audit.json"))
    assert document == json.loads((tmp_path / "audit.json").read_text())
    assert document["leakage"] == pytest.approx(result.leakage)
    assert document["interval"][0] < document["leakage"] < document["interval"][1]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"z": np.full((200, 2), np.nan)}, "z contains NaN"),
        ({"z": np.full((200, 2), 1e300)}, "z holds values beyond"),
        ({"z": np.zeros(200)}, "z must have shape"),
        ({"z": np.zeros((50, 2)), "c": np.arange(50) % 2}, "at least 100"),
        ({"c": np.zeros(200)}, "c never varies"),
        ({"c": [f"p{i}" for i in range(200)]}, "'c' has 200 categories in 200 rows, nearly all distinct"),
        ({"c": np.arange(7)}, "c has 7 rows, z has 200"),
        ({"y": np.zeros(3)}, "y has 3 rows, z has 200"),
        ({"predictions": np.zeros(200)}, "predictions need y"),
        ({"y": np.arange(200) % 2, "predictions": np.zeros(3)}, "predictions has 3 rows, z has 200"),
        ({"y": np.arange(200) % 2, "predictions": 3}, "predictions must have shape"),
        ({"y": np.arange(200) % 2, "predictions": np.full(200, np.nan)}, "predictions are missing"),
        ({"y": np.arange(200) % 2, "predictions": np.full(200, 5)}, "which y never is"),
        ({"probes": ["crystal ball"]}, "probes must be among"),
        ({"alpha": 2.0}, "alpha"),
        ({"n_folds": 1}, "n_folds"),
        ({"n_folds": 21}, "n_folds must leave 10 of 200 rows"),
    ],
)
def test_bad_inputs_name_the_argument(change: dict[str, object], named: str) -> None:
    given = {"z": np.random.default_rng(0).normal(size=(200, 2)), "c": np.arange(200) % 2, "y": None} | change
    z, c, y = given.pop("z"), given.pop("c"), given.pop("y")
    with pytest.raises(InputError, match=named):
        audit(z, c, y, **given)


def write(path: Path) -> Path:
    z, sex, y = planted(400)
    columns = {"sex": np.where(sex == 1, "w", "m"), "y": y, "guess": y}
    if path.suffix == ".npz":
        np.savez(path, z=z, **columns)
        return path
    frame = pd.DataFrame(columns | {f"z_{i}": z[:, i] for i in range(5)})
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("ending", ["npz", "csv", "tsv", "parquet"])
def test_files_of_every_kind_hold_the_same(ending: str, tmp_path: Path) -> None:
    found = read_embeddings(write(tmp_path / f"e.{ending}"), ["sex", "y", "guess"])
    assert found.z.shape == (400, 5)
    np.testing.assert_allclose(found.z, planted(400)[0], rtol=1e-5, atol=1e-6)
    assert set(found.columns["sex"]) == {"w", "m"}


def test_an_npy_takes_its_columns_from_a_table(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", planted(400)[0])
    table = write(tmp_path / "t.csv")
    assert set(read_embeddings(tmp_path / "e.npy", ["sex"], table=table).columns) == {"sex"}
    with pytest.raises(InputError, match="--table"):
        read_embeddings(tmp_path / "e.npy", ["sex"])


def test_columns_choose_the_representation(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv")
    assert read_embeddings(path, ["sex"], columns=["z_[01]"]).dimensions == ("z_0", "z_1")
    with pytest.raises(InputError, match="'q'"):
        read_embeddings(path, ["sex"], columns=["q"])
    with pytest.raises(InputError, match="does not hold numbers"):
        read_embeddings(path, ["y"], columns=["sex"])


def test_anndata_gives_x_or_a_key_of_obsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    z, sex, _ = planted(400)
    dense = SimpleNamespace(toarray=lambda: z)  # as a sparse matrix
    obs = pd.DataFrame({"sex": pd.Categorical(np.where(sex == 1, "w", "m"))})
    stored = SimpleNamespace(obs=obs, X=dense, obsm={"X_pca": z[:, :2]})
    monkeypatch.setitem(sys.modules, "anndata", SimpleNamespace(read_h5ad=lambda path: stored))
    path = tmp_path / "cells.h5ad"
    path.touch()
    assert read_embeddings(path, ["sex"]).z.shape == (400, 5)
    found = read_embeddings(path, ["sex"], columns=["X_pca"])
    assert (found.z.shape, found.dimensions) == ((400, 2), ("X_pca",))
    assert audit(found.z, {"sex": found.columns["sex"]}, probes=["linear"]).leaks
    with pytest.raises(InputError, match="'batch'"):
        read_embeddings(path, ["batch"])
    with pytest.raises(InputError, match="X_umap"):
        read_embeddings(path, ["sex"], columns=["X_umap"])


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "executed",)

    array = np.array([Trap()], dtype=object)
    np.save(tmp_path / "trap.npy", array, allow_pickle=True)  # writing a pickle executes nothing; reading it must fail
    np.savez(tmp_path / "trap.npz", z=array, sex=array)
    for name, named in (("trap.npy", []), ("trap.npz", ["sex"])):
        with pytest.raises(DataError, match="cannot be read"):
            read_embeddings(tmp_path / name, named)
    assert not (tmp_path / "executed").exists()


def test_the_command_is_a_gate(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, out = write(tmp_path / "e.parquet"), tmp_path / "runs"
    command = ["audit", str(path), "--attribute", "sex", "--label", "y", "--predictions", "guess", "--probes", "linear"]
    command += ["--output-dir", str(out)]
    assert run([*command, "--max-leakage", "0.01"]) == 1
    assert run([*command, "--max-leakage", "0.6"]) == 0
    assert "leaks sex" in capfd.readouterr().out
    first = out / "audit-001"
    document = json.loads((first / "results.json").read_text())
    assert document["schema"] == 1
    assert document["leaks"] is True
    assert document["rows"][0]["probe"] == "linear"
    assert (first / "report.html").stat().st_size < 5_000_000
    again = ["audit", str(path), "--config", str(first / "config.yaml"), "--output-dir", str(out)]
    assert run(again) == 1  # the gate is among the options that are read again


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--attribute", "age"], "age"),
        ([], "--attribute"),
        (["--attribute", "sex", "--label", "z_9"], "z_9"),
        (["--attribute", "sex", "--predictions", "guess"], "--label"),
        (["--attribute", "sex", "--probes", "magic"], "probes"),
        (["--attribute", "sex", "--max-leakage", "-1"], "--max-leakage"),
        (["--attribute", "sex", "--max-leakage", "nan"], "--max-leakage"),
    ],
)
def test_bad_arguments_exit_2(
    arguments: list[str], named: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "e.csv")
    assert run(["audit", str(path), *arguments, "--output-dir", str(tmp_path / "runs")]) == 2
    error = capfd.readouterr().err
    assert named in error
    assert "Traceback" not in error
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["nowhere.npz", "text.pkl", "broken.npz", "broken.parquet", "broken.npy"])
def test_bad_files_exit_2_with_their_name(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if not name.startswith("nowhere"):
        (tmp_path / name).write_bytes(b"\x80\x04 not what it says")
    assert run(["audit", str(tmp_path / name), "--attribute", "sex", "--output-dir", str(tmp_path / "runs")]) == 2
    assert name in capfd.readouterr().err
