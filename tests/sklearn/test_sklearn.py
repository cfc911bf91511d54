from __future__ import annotations

import pickle
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import sklearn
from midebias import estimate_mi
from midebias.errors import InputError
from midebias.penalty import MIPenalty
from midebias.randomness import seeded
from midebias.sklearn import MIDebiasClassifier, MIDebiasRegressor, MIDebiasTransformer
from midebias.tabular.leakage import measure_leakage
from midebias.tabular.networks import TabularNetwork

PLAIN = "ignore:MIDebias.*trains plainly:UserWarning"
SMALL: dict[str, Any] = {"hidden_layer_sizes": (16,), "learning_rate": 0.02, "random_state": 0}


# The checks give no attribute; two of them make frames whose absence scikit-learn reports as skipped tests.
@pytest.mark.filterwarnings(PLAIN, "ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [
        MIDebiasClassifier(hidden_layer_sizes=(16,), learning_rate=0.02, epochs=40),
        MIDebiasRegressor(hidden_layer_sizes=(8,), learning_rate=0.05, epochs=20),
        MIDebiasTransformer(hidden_layer_sizes=(8,), learning_rate=0.05, epochs=3),
    ]
)
def test_scikit_learn_finds_nothing_to_object_to(estimator: Any, check: Any) -> None:
    state = np.random.get_state()  # noqa: NPY002 - some checks draw from it
    try:
        check(estimator)
    finally:
        np.random.set_state(state)  # noqa: NPY002


def biased(n: int = 600, seed: int = 0) -> tuple[pd.DataFrame, Any, Any]:
    """y depends on a merit that c does not touch, and on c; a column of X says c outright."""
    rng = np.random.default_rng(seed)
    c = rng.integers(2, size=n)
    merit = rng.normal(size=n)
    y = (merit + 1.5 * c + 0.3 * rng.normal(size=n) > 0.75).astype(int)
    frame = pd.DataFrame({"merit": merit, "tell": c + 0.3 * rng.normal(size=n), "town": np.where(c, "east", "west")})
    frame.loc[rng.random(n) < 0.05, ["merit", "town"]] = None
    return frame, np.where(y, "yes", "no"), np.where(c, "m", "f")


def parity(decided: Any, c: Any) -> float:
    return float(abs((decided[c == "m"] == "yes").mean() - (decided[c == "f"] == "yes").mean()))


def test_independence_takes_the_attribute_out_of_decisions_and_representation() -> None:
    X, y, c = biased(6000)
    new, truth, whose = biased(6000, seed=1)
    steps = SMALL | {"batch_size": 512}  # enough of them to settle: decisions hang on 0.01 of a probability here
    plain = MIDebiasClassifier(mi_weight=0.0, **steps).fit(X, y, sensitive_features=c)
    fair = MIDebiasClassifier(criterion="independence", **steps).fit(X, y, sensitive_features=c)
    assert parity(plain.predict(new), whose) > 0.4
    assert parity(fair.predict(new), whose) < 0.06
    assert fair.score(new, truth) > 0.7  # merit is still used: 0.5 would be guessing
    assert plain.score(new, truth) > fair.score(new, truth)

    def leak(model: Any) -> float:
        z = torch.tensor(model.transform(new))
        return measure_leakage(z, torch.tensor((whose == "m").astype(int)), model.attribute_, None)

    assert leak(plain) > 0.2
    assert leak(fair) < 0.05


def test_the_raw_loop_takes_the_same_path() -> None:
    X, y, c = biased(300)
    x = X[["merit", "tell"]].fillna(0.0).to_numpy()
    codes, labels = (c == "m").astype(float), (y == "yes").astype(int)

    def encoder(n: int) -> torch.nn.Module:
        torch.manual_seed(5)  # only ever called where the global generator is restored
        return torch.nn.Sequential(torch.nn.Linear(n, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))

    model = MIDebiasClassifier(
        criterion="separation", mi_weight=3.0, decision_weight=0.0, module=encoder, preprocess=False, epochs=12,
        weight_decay=0.0, random_state=0,
    )  # fmt: skip
    model.fit(x, labels, sensitive_features=codes)

    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    net = TabularNetwork(encoder(2), 3, 2).double()
    torch.set_rng_state(state)
    penalty = MIPenalty(3, model.attribute_, criterion="separation", estimator="gaussian", bank=0, seed=seed)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.0)
    inputs, target, attribute = torch.tensor(x), torch.tensor(labels), torch.tensor(codes)[:, None].float()
    for step in range(12):
        for group in optimizer.param_groups:
            rise = min(1.0, (step + 1) / (0.1 * 12 + 1))
            group["lr"] = 3e-3 * rise * 0.5 * (1 + np.cos(np.pi * step / 12))
        outputs, z = net(inputs)
        loss = torch.nn.functional.cross_entropy(outputs, target)
        loss = loss + 3.0 * min(1.0, step / 12 / 0.3) * penalty(z, attribute, target)  # the one line
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
    for name, value in net.state_dict().items():
        torch.testing.assert_close(model.network_.state_dict()[name], value, rtol=1e-9, atol=1e-12)


def test_a_budget_decides_the_weight_itself() -> None:
    X, y, c = biased(3000)
    records: list[Any] = []
    model = MIDebiasClassifier(
        criterion="independence", max_mi=0.1, batch_size=256, hidden_layer_sizes=(16,), epochs=20, random_state=0,
        callbacks=[lambda _, record: records.append(record)],
    )  # fmt: skip
    model.fit(X, y, sensitive_features=c)
    assert model.held_out_mi_ == pytest.approx(0.1, abs=0.05)
    new, _, whose = biased(3000, seed=1)
    z, codes = torch.tensor(model.transform(new)), torch.tensor((whose == "m").astype(int))
    assert measure_leakage(z, codes, model.attribute_, None) == pytest.approx(0.1, abs=0.06)
    assert model.mi_weight_ != 2.5
    assert len(records) == model.n_iter_


def test_the_same_seed_gives_the_same_model_and_a_second_fit_starts_afresh() -> None:
    X, y, c = biased()
    model = MIDebiasClassifier(epochs=10, **SMALL)
    first = model.fit(X, y, sensitive_features=c).predict_proba(X)
    model.fit(X.iloc[:50], y[:50], sensitive_features=c[:50])
    np.testing.assert_array_equal(model.fit(X, y, sensitive_features=c).predict_proba(X), first)
    other = clone(model).set_params(random_state=1).fit(X, y, sensitive_features=c)
    assert abs(other.predict_proba(X) - first).max() > 1e-3
    again = pickle.loads(pickle.dumps(model))  # our own bytes, just made: scikit-learn's estimators are to be picklable
    np.testing.assert_array_equal(again.predict_proba(X), first)


def test_warm_start_goes_on() -> None:
    X, y, c = biased()
    model = MIDebiasClassifier(mi_weight=0.0, epochs=5, warm_start=True, **SMALL).fit(X, y, sensitive_features=c)
    first = model.history_[-1].loss
    network = model.network_
    model.fit(X, y, sensitive_features=c)
    assert model.network_ is network
    assert model.history_[-1].loss < first
    with pytest.raises(InputError, match="warm_start: y holds classes"):
        model.fit(X, np.where(y == "yes", "maybe", "no"), sensitive_features=c)


def test_early_stopping_and_callbacks_end_the_training() -> None:
    X, y, c = biased()
    early = MIDebiasClassifier(epochs=400, early_stopping=True, n_iter_no_change=3, **SMALL)
    early.fit(X, y, sensitive_features=c)
    assert 4 <= early.n_iter_ < 400
    told = []

    def stop(estimator: Any, record: Any) -> bool:
        told.append((estimator, record.epoch))
        return record.epoch == 3

    model = MIDebiasClassifier(callbacks=[stop], **SMALL).fit(X, y, sensitive_features=c)
    assert model.n_iter_ == 3
    assert told == [(model, 1), (model, 2), (model, 3)]


def test_a_column_of_the_table_is_the_attribute() -> None:
    X, y, c = biased()
    with_c = X.assign(sex=c)
    given = MIDebiasClassifier(epochs=8, **SMALL).fit(X, y, sensitive_features=pd.Series(c, name="sex"))
    named = MIDebiasClassifier(epochs=8, sensitive_columns=["sex"], **SMALL).fit(with_c, y)
    assert list(named.feature_names_in_) == ["merit", "tell", "town"]
    expected = given.predict_proba(X)
    np.testing.assert_array_equal(named.predict_proba(with_c), expected)
    np.testing.assert_array_equal(named.predict_proba(X), expected)  # not needed any more
    numbers = np.column_stack([c == "m", X["tell"], X["merit"].fillna(0)]).astype(float)
    by_number = MIDebiasClassifier(epochs=8, sensitive_columns=0, **SMALL).fit(numbers, y)
    np.testing.assert_array_equal(by_number.predict(numbers), by_number.predict(numbers[:, 1:]))


def test_search_and_pipeline_work_without_routing_and_with_it() -> None:
    X, y, c = biased(200)
    with_c = X[["merit", "tell"]].fillna(0.0).assign(sex=c)
    grid = {"mi_weight": [0.0, 3.0]}
    search = GridSearchCV(MIDebiasClassifier(epochs=3, sensitive_columns="sex", **SMALL), grid, cv=2).fit(with_c, y)
    assert search.best_estimator_.attribute_ is not None
    with sklearn.config_context(enable_metadata_routing=True):
        routed = MIDebiasClassifier(epochs=3, **SMALL).set_fit_request(sensitive_features=True)
        pipeline = make_pipeline(StandardScaler(), routed)
        search = GridSearchCV(pipeline, {"midebiasclassifier__mi_weight": [1.0]}, cv=2)
        search.fit(with_c[["merit", "tell"]], y, sensitive_features=c)
        assert search.best_estimator_[-1].attribute_ is not None
    columns = make_column_transformer((MIDebiasTransformer(epochs=3, sensitive_columns="sex", **SMALL), list(with_c)))
    assert make_pipeline(columns, LogisticRegression()).fit(with_c, y).score(with_c, y) > 0.4


def test_frames_come_out_where_they_are_asked_for() -> None:
    X, y, c = biased(100)
    model = MIDebiasTransformer(epochs=2, dim=3, **SMALL).fit(X, y, sensitive_features=c)
    names = [f"midebiastransformer{i}" for i in range(3)]
    assert list(model.get_feature_names_out()) == names
    assert list(model.set_output(transform="pandas").transform(X).columns) == names
    assert model.set_output(transform="polars").transform(X).columns == names
    arrays = MIDebiasClassifier(epochs=2, **SMALL).fit(X, y, sensitive_features=c)
    frames = MIDebiasClassifier(epochs=2, **SMALL).fit(pl.from_pandas(X), y, sensitive_features=pl.Series("c", c))
    np.testing.assert_array_equal(arrays.predict_proba(X), frames.predict_proba(pl.from_pandas(X)))


@pytest.mark.parametrize("criterion", ["independence", "separation"])
def test_several_attributes_of_any_kind_with_missing_values(criterion: Any) -> None:
    X, y, c = biased()
    age = np.random.default_rng(2).normal(40, 10, len(X))
    age[::7] = np.nan
    model = MIDebiasClassifier(criterion=criterion, epochs=4, **SMALL)
    model.fit(X, y, sensitive_features=pd.DataFrame({"sex": c, "years": age}))
    assert repr(model.attribute_) == "Attributes(Categorical(2), Continuous(1))"
    assert all(np.isfinite(model.mi_))
    two = MIDebiasClassifier(criterion=criterion, epochs=4, **SMALL).fit(
        X, y, sensitive_features=np.column_stack([c, np.roll(c, 1)])
    )
    assert repr(two.attribute_) == "Categorical((2, 2))"


def test_three_classes_and_two_outputs() -> None:
    X, _, c = biased()
    y = np.array(["low", "mid", "high"])[np.digitize(X["tell"], [0.2, 0.8])]
    model = MIDebiasClassifier(epochs=20, mi_weight=0.1, **SMALL).fit(X, y, sensitive_features=c)
    assert model.predict_proba(X).shape == (len(X), 3)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    assert model.transform(X).shape == (len(X), 3)
    both = np.column_stack([X["tell"], -X["tell"]])
    regressor = MIDebiasRegressor(criterion="separation", epochs=40, mi_weight=0.1, **SMALL)
    assert regressor.fit(X, both, sensitive_features=c).predict(X).shape == both.shape
    single = MIDebiasRegressor(mi_weight=0.0, epochs=40, **SMALL).fit(X, X["tell"], sensitive_features=c)
    assert single.score(X, X["tell"]) > 0.9


def test_a_regressor_forgets_what_it_may_not_know() -> None:
    X, _, c = biased(1500)
    X = X.fillna({"merit": 0.0})
    y = X["merit"] + 2.0 * (c == "m")
    plain = MIDebiasRegressor(mi_weight=0.0, **SMALL).fit(X, y, sensitive_features=c).predict(X)
    fair = MIDebiasRegressor(mi_weight=5.0, **SMALL).fit(X, y, sensitive_features=c).predict(X)

    def gap(p: Any) -> float:
        return float(abs(p[c == "m"].mean() - p[c == "f"].mean()))

    assert gap(plain) > 1.5
    assert gap(fair) < 0.5
    assert np.corrcoef(fair, X["merit"])[0, 1] > 0.7


def test_an_encoder_of_ones_own_is_not_changed() -> None:
    X, y, c = biased(100)
    x = X[["merit", "tell"]].fillna(0.0)
    with seeded(0):
        module = torch.nn.Sequential(torch.nn.Linear(2, 5))
    before = {k: v.clone() for k, v in module.state_dict().items()}
    model = MIDebiasClassifier(module=module, epochs=3, **SMALL).fit(x, y, sensitive_features=c)
    assert model.transform(x).shape == (100, 5)
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    with pytest.raises(InputError, match=r"module cannot encode x of shape \(n, 1\)"):
        clone(model).fit(x[["merit"]], y, sensitive_features=c)


def bad_inputs() -> list[Any]:
    X, y, c = biased(100)
    holes = y.astype(object)
    holes[[3, 5]] = None
    return [
        ({}, (X, holes, c), "2 labels are missing, the first in row 3"),
        ({}, (X, y, np.full(100, "m")), "has one value only"),
        ({}, (X.iloc[:3], y[:3], c[:3]), "n_samples=3 rows; at least 5"),
        ({}, (X.assign(merit=np.inf), y, c), "column 'merit' holds infinity"),
        ({}, (X.assign(merit=["x", *range(99)]), y, c), "column 'merit' mixes numbers and text"),
        ({"max_categories": 50}, (X.assign(i=[f"p{i}" for i in range(100)]), y, c), "column 'i' has 100 categories"),
        ({}, (X.assign(sex=c), y, pd.Series(c, name="sex")), "column 'sex' is both a feature in X and in sensitive_fe"),
        ({"sensitive_columns": "sex"}, (X, y, None), "sensitive_columns: X has no column 'sex'"),
        ({"sensitive_columns": "town"}, (X, y, c), "sensitive_features or sensitive_columns, not both"),
        ({}, (X, np.full(100, "no"), c), "one class only"),
        ({}, (X, y[:50], c), "y has 50 rows, X has 100"),
        ({}, (X, y, c[:50]), "sensitive_features has 50 rows, X has 100"),
        ({"criterion": "fair"}, (X, y, c), "criterion must be"),
        ({"mi_weight": -1}, (X, y, c), "mi_weight must be a number >= 0"),
        ({"max_mi": 0}, (X, y, c), "max_mi must be a positive number"),
        ({"max_mi": 0.1, "early_stopping": True}, (X, y, c), "exclude each other"),
        ({"validation_fraction": "a"}, (X, y, c), "validation_fraction must lie in"),
        ({"epochs": 0}, (X, y, c), "epochs must be a whole number >= 1"),
        ({"preprocess": False}, (X, y, c), "column 'merit' has missing values"),
        ({"hidden_layer_sizes": 16}, (X, y, c), "hidden_layer_sizes must be whole numbers"),
        ({"hidden_layer_sizes": (True,)}, (X, y, c), "hidden_layer_sizes must be whole numbers"),
        ({"dim": 10**30}, (X, y, c), "dim must be a whole number >= 1 and <= 1,000,000,000"),
        ({"mi_weight": 10**400}, (X, y, c), "mi_weight must be a number >= 0"),
        ({"random_state": -1}, (X, y, c), "random_state cannot be used"),
        ({"sensitive_columns": np.int64(9)}, (X, y, None), "sensitive_columns: X has no column"),
    ]


@pytest.mark.parametrize(("options", "given", "message"), bad_inputs())
def test_bad_input_is_one_sentence(options: dict[str, Any], given: Any, message: str) -> None:
    X, y, c = given
    with pytest.raises(ValueError, match=message) as caught:
        MIDebiasClassifier(**{**SMALL, "epochs": 1, **options}).fit(X, y, sensitive_features=c)
    assert "\n" not in str(caught.value)


def test_text_where_numbers_were_is_named_in_prediction() -> None:
    X, y, c = biased(100)
    model = MIDebiasClassifier(epochs=1, **SMALL).fit(X, y, sensitive_features=c)
    with pytest.raises(InputError, match="column 'tell' held numbers in fit and now holds text"):
        model.predict(X.assign(tell="many"))


def test_without_an_attribute_it_says_that_it_trains_plainly() -> None:
    X, y, _ = biased(100)
    with pytest.warns(UserWarning, match="neither sensitive_features nor sensitive_columns"):
        MIDebiasClassifier(epochs=1, **SMALL).fit(X, y)


def test_a_regressor_that_separates_errs_alike() -> None:
    """Of people of one y, sex tells the plain prediction; predictions may follow y, and sex with it."""
    rng = np.random.default_rng(0)
    sex = rng.integers(2, size=1500)
    y = 1.5 * sex + rng.normal(size=1500)
    X = np.column_stack([y + rng.normal(size=1500), sex + 0.3 * rng.normal(size=1500)])
    options = {"hidden_layer_sizes": (16,), "epochs": 60, "random_state": 0}
    plain, fair = (
        MIDebiasRegressor(criterion="separation", mi_weight=w, **options).fit(X, y, sensitive_features=sex)  # type: ignore[arg-type]
        for w in (0.0, 3.0)
    )
    before, after = (
        estimate_mi(m.predict(X)[:, None], sex, condition_on=y, estimator="gaussian", n_permutations=0)
        for m in (plain, fair)
    )
    assert before.value > 0.04
    assert after.value < 0.01
    assert np.corrcoef(fair.predict(X), y)[0, 1] > np.corrcoef(plain.predict(X), y)[0, 1] - 0.05


def test_the_signature_holds_what_an_estimator_uses() -> None:
    names = {kind: set(kind().get_params()) for kind in (MIDebiasClassifier, MIDebiasRegressor, MIDebiasTransformer)}
    shared = set.intersection(*names.values())
    assert {kind: own - shared for kind, own in names.items()} == {
        MIDebiasClassifier: {"base", "decision_weight", "max_odds_difference", "max_parity_difference", "n_cells"},
        MIDebiasRegressor: set(),
        MIDebiasTransformer: {"decision_weight", "n_cells"},
    }
    with pytest.raises(TypeError, match="decision_weight"):
        MIDebiasRegressor(decision_weight=1.0)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [MIDebiasClassifier, MIDebiasRegressor])
def test_what_predicts_needs_y(kind: Any) -> None:
    X, _, c = biased(100)
    with pytest.raises(InputError, match="requires y"):
        kind(epochs=1, **SMALL).fit(X, sensitive_features=c)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (pd.to_datetime(pd.Series(["2020-01-01", None] * 30)), "30 labels are missing, the first in row 1"),
        (pd.Series(["a", None] * 30, dtype="string"), "30 labels are missing, the first in row 1"),
        (pd.Series([True, None] * 30, dtype="boolean"), "30 labels are missing, the first in row 1"),
        (np.array([1, pd.NA, 2] * 20, dtype=object), "20 labels are missing, the first in row 1"),
        (["a", "", "b"] * 20, "20 labels are missing, the first in row 1"),
        (pd.to_datetime(pd.Series(["2020-01-01", "2020-01-02"] * 30)), "column 'y' holds Datetime"),
        ([1, "a"] * 30, "column 'y' mixes numbers and text"),
    ],
)
def test_labels_that_are_missing_are_counted(y: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MIDebiasClassifier(epochs=1).fit(np.zeros((60, 2)), y, sensitive_features=[0, 1] * 30)


def test_labels_come_back_as_they_are() -> None:
    X = np.random.default_rng(0).normal(size=(60, 2))
    for y in (
        np.array([True, False] * 30, dtype=object),
        pd.Series([3, 4] * 30, dtype="Int64"),
        [2**60, 2**60 + 1] * 30,
    ):
        model = MIDebiasClassifier(epochs=1, random_state=0).fit(X, y, sensitive_features=[0, 1] * 30)
        assert set(model.classes_.tolist()) == set(model.predict(X).tolist()) | set(y) == set(y)


def test_a_category_is_the_same_in_text_and_in_numbers() -> None:
    rng = np.random.default_rng(0)
    code = rng.integers(2, size=300)
    X = pd.DataFrame({"k": np.where(code, "1234567", "no number"), "w": rng.normal(size=300)})
    model = MIDebiasClassifier(epochs=20, random_state=0).fit(X, code, sensitive_features=rng.integers(2, size=300))
    ones = X[code == 1]
    for k in (1234567, 1234567.0, "1234567"):
        np.testing.assert_array_equal(model.predict_proba(ones.assign(k=k)), model.predict_proba(ones))
    words = MIDebiasClassifier(epochs=1, random_state=0).fit(X.assign(k=np.where(code, "a", "b")), code, code)
    with pytest.raises(InputError, match="column 'k' held text in fit \\('a'\\) and now holds numbers"):
        words.predict(X.assign(k=7))
    commas = X.assign(k=[f"{v:.2f}".replace(".", ",") for v in 1000 + code + rng.normal(size=300)])
    model.fit(commas, code, sensitive_features=code)
    points = commas.assign(k=commas["k"].str.replace(",", ".").astype(float))
    np.testing.assert_array_equal(model.predict_proba(commas), model.predict_proba(points))


def test_attributes_that_other_rows_miss_are_penalised_one_by_one() -> None:
    rng = np.random.default_rng(0)
    A, B = rng.integers(2, size=(2, 2000))
    X = rng.normal(size=(2000, 4))
    X[:, 0] += 1.5 * A
    X[:, 1] += 1.5 * B
    y = (X[:, :3].sum(axis=1) + rng.normal(size=2000) > 1.5).astype(int)
    row = rng.permutation(2000)
    partly = {"A": np.where(row < 1025, A, np.nan), "B": np.where(row >= 975, B, np.nan)}

    def measure_parity(**options: Any) -> list[float]:
        model = MIDebiasClassifier(criterion="independence", epochs=30, random_state=0, **options)
        decided = model.fit(X, y, sensitive_features=partly).predict(X)
        return [abs(decided[c == 1].mean() - decided[c == 0].mean()) for c in (A, B)]

    assert min(measure_parity(mi_weight=0)) > 0.2
    assert max(measure_parity()) < 0.12


def test_frames_that_cannot_be_read_are_named() -> None:
    X = pl.DataFrame({"a": [1.0, 2.0] * 10})
    with pytest.raises(InputError, match="X is a lazy frame"):
        MIDebiasClassifier().fit(X.lazy(), [0, 1] * 10)
    half = torch.tensor(X.to_numpy(), dtype=torch.bfloat16)
    assert MIDebiasClassifier(epochs=1).fit(half, [0, 1] * 10, [0, 1] * 10).predict(half).shape == (20,)


@pytest.mark.parametrize("write", [
    lambda y: y.astype(object), lambda y: pd.Series(y, dtype="boolean"), lambda y: y.tolist(),
    lambda y: np.array([Decimal(int(v)) for v in y], dtype=object),
])  # fmt: skip
def test_score_reads_labels_as_fit_does(write: Callable[[np.ndarray], Any]) -> None:
    rng = np.random.default_rng(0)
    X, sex = rng.normal(size=(60, 2)), rng.integers(2, size=60)
    y = X[:, 0] > 0
    model = MIDebiasClassifier(epochs=1, random_state=0).fit(X, write(y), sensitive_features=sex)
    plain = MIDebiasClassifier(epochs=1, random_state=0).fit(X, y, sensitive_features=sex)
    assert model.score(X, write(y)) == plain.score(X, y)


def test_a_regressor_scores_numbers_of_any_type() -> None:
    rng = np.random.default_rng(0)
    X, sex = rng.normal(size=(60, 2)), rng.integers(2, size=60)
    y = X[:, 0].round(2)
    model = MIDebiasRegressor(epochs=1, random_state=0).fit(X, y, sensitive_features=sex)
    assert model.score(X, [Decimal(str(v)) for v in y]) == pytest.approx(model.score(X, y))


def test_a_lazy_y_and_labels_that_are_quantities_are_named() -> None:
    X, sex = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 2
    model = MIDebiasClassifier(epochs=1, random_state=0)
    with pytest.raises(InputError, match="y is a lazy frame"):
        model.fit(X, pl.DataFrame({"y": sex}).lazy(), sensitive_features=sex)
    with pytest.raises(InputError, match="y: Unknown label type"):
        model.fit(X, X[:, 0], sensitive_features=sex)


def drawn_table(n: int = 3000, seed: int = 0) -> tuple[pd.DataFrame, Any, Any]:
    """Categories and numbers of which y depends jointly, and c on one of them."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["a", "b", "k"])
    c = (X["k"] + rng.normal(size=n) > 0).astype(int).to_numpy()
    X["kind"] = rng.choice(["x", "y", "z"], size=n, p=[0.6, 0.3, 0.1])
    score = 2 * np.sign(X["a"]) * np.sign(X["b"]) + 2 * X["k"] + (X["kind"] == "y")
    return X, (score + rng.normal(size=n) > 0).astype(int).to_numpy(), c


def test_trees_are_not_weaker_than_those_of_scikit_learn_and_the_penalty_takes_the_attribute() -> None:
    (X, y, c), (new, truth, whose) = drawn_table(), drawn_table(seed=1)
    plain = MIDebiasClassifier(mi_weight=0.0, random_state=0).fit(X, y, sensitive_features=c)
    numbers = X.assign(kind=X["kind"].astype("category").cat.codes)
    peer = HistGradientBoostingClassifier(random_state=0).fit(numbers, y)
    assert plain.score(new, truth) > peer.score(new.assign(kind=new["kind"].astype("category").cat.codes), truth) - 0.01
    fair = MIDebiasClassifier(criterion="independence", random_state=0).fit(X, y, sensitive_features=c)

    def measure(model: Any) -> float:
        return float(abs(np.diff([model.predict(new)[whose == k].mean() for k in (0, 1)])[0]))

    assert measure(plain) > 0.15
    assert measure(fair) < 0.06
    assert fair.score(new, truth) > 0.7


def test_the_front_holds_models_and_budgets_are_kept_on_it() -> None:
    (X, y, c), (new, _, _) = drawn_table(1500), drawn_table(seed=1)
    model = MIDebiasClassifier(criterion="independence", max_parity_difference=0.08, max_mi=0.02, random_state=0)
    model.fit(X, y, sensitive_features=c)
    weights = [point.mi_weight for point in model.front_]
    assert weights == sorted(weights)
    assert model.mi_weight_ in weights
    assert model.front_[0].mi_weight == 0
    assert model.front_[0].parity_difference > 0.1
    assert model.front_[0].leakage > 0.02
    at = weights.index(model.mi_weight_)
    assert model.front_[at].parity_difference < 0.1
    before = model.predict_proba(new)
    np.testing.assert_allclose(model.use_front_point(at).predict_proba(new), before, atol=1e-5)
    assert abs(model.use_front_point(0).predict_proba(new) - before).max() > 0.1
    with pytest.raises(InputError, match="index must be that of one of the"):
        model.use_front_point(99)


def test_a_budget_that_binds_nothing_costs_nothing() -> None:
    X, y, _ = drawn_table(1500)
    coin, (new, truth, _) = np.random.default_rng(5).integers(2, size=1500), drawn_table(seed=1)
    plain = MIDebiasClassifier(mi_weight=0.0, random_state=0).fit(X, y, sensitive_features=coin)
    within = MIDebiasClassifier(max_mi=0.05, random_state=0).fit(X, y, sensitive_features=coin)
    assert within.mi_weight_ == 0
    assert within.score(new, truth) > plain.score(new, truth) - 0.02


@pytest.mark.filterwarnings("ignore:MIDebiasClassifier answers alike")
def test_a_budget_that_cannot_be_kept_is_named() -> None:
    X, y, c = drawn_table(600)
    model = MIDebiasClassifier(max_mi=1e-9, epochs=2, random_state=0)
    with pytest.warns(UserWarning, match="does not keep max_mi=1e-09"):
        model.fit(X, y, sensitive_features=c)


@pytest.mark.filterwarnings("ignore:MIDebiasClassifier does not keep")
def test_an_answer_that_is_the_same_for_all_rows_is_told() -> None:
    X, _y, c = drawn_table(600)
    with pytest.warns(UserWarning, match="answers alike for all rows"):
        MIDebiasClassifier(base="network", mi_weight=1e6, random_state=0).fit(X, np.arange(600) >= 5, c)


def test_rows_in_another_order_names_twice_and_identifiers_are_refused() -> None:
    X, y, c = drawn_table(60)
    model = MIDebiasClassifier(epochs=1, random_state=0)
    with pytest.raises(InputError, match="sensitive_features has the index of X in another order"):
        model.fit(X, y, sensitive_features=pd.Series(c).sample(frac=1, random_state=0))
    with pytest.raises(InputError, match="y has the index of X in another order"):
        model.fit(X, pd.Series(y).iloc[::-1], sensitive_features=c)
    model.fit(X, pd.Series(y, index=range(100, 160)), sensitive_features=pd.Series(c))  # another index says nothing
    with pytest.raises(InputError, match="X has two columns named 'a'"):
        model.fit(X.set_axis(["a", "a", "k", "kind"], axis=1), y, sensitive_features=c)
    with pytest.raises(InputError, match="column 'id' has 60 categories in 60 rows: leave identifiers out"):
        model.fit(X.assign(id=[f"p{i}" for i in range(60)]), y, sensitive_features=c)


def test_a_fit_can_be_watched(capsys: pytest.CaptureFixture[str]) -> None:
    X, y, c = drawn_table(60)
    MIDebiasClassifier(epochs=12, verbose=True, random_state=0).fit(X, y, sensitive_features=c)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == [f"epoch {i}" for i in range(1, 11)]


def test_a_rare_answer_is_not_given_up_by_default() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 4))
    c = (X[:, 0] + 0.5 * rng.normal(size=3000) > 1.2).astype(int)
    y = (X[:, :2].sum(axis=1) + rng.normal(size=3000) < 2.6).astype(int)
    model = MIDebiasClassifier(criterion="independence", random_state=0).fit(X, y, sensitive_features=c)
    assert 0 < (model.predict(X) == 0).mean() < 0.1


def test_trees_need_rows_of_each_class_and_disparities_need_groups() -> None:
    rng = np.random.default_rng(0)
    X, sex, age = rng.normal(size=(60, 3)), rng.integers(2, size=60), rng.normal(size=60)
    rare = np.r_[1, 1, np.zeros(58)]
    with pytest.raises(InputError, match="base='trees' needs 3 rows of each class, and y has 2"):
        MIDebiasClassifier(base="trees").fit(X, rare, sensitive_features=sex)
    with pytest.raises(InputError, match="max_odds_difference compares groups"):
        MIDebiasClassifier(max_odds_difference=0.1).fit(X, sex, sensitive_features=age)


@pytest.mark.filterwarnings("ignore:MIDebiasClassifier answers alike:UserWarning")
def test_a_disparity_that_too_few_rows_show_does_not_count_as_kept() -> None:
    rng = np.random.default_rng(0)
    X, sex = rng.normal(size=(60, 3)), rng.integers(2, size=60)  # 12 rows are held aside, and 20 of a group are needed
    with pytest.warns(UserWarning, match=r"does not keep max_parity_difference=0.1 \(nan"):
        MIDebiasClassifier(max_parity_difference=0.1, epochs=2, random_state=0).fit(
            X, (X[:, 0] > 0) * 1, sensitive_features=sex
        )


def test_each_attribute_has_its_own_reading_and_budget_and_so_have_crossed_groups() -> None:
    rng = np.random.default_rng(0)
    c = pd.DataFrame({"sex": rng.integers(2, size=600), "coin": rng.integers(2, size=600), "age": rng.normal(size=600)})
    X = rng.normal(size=(600, 3)) + c[["sex"]].to_numpy() * [[2.0, 0.0, 0.0]]
    y = X.sum(axis=1) + rng.normal(size=600) > 1
    model = MIDebiasClassifier(
        criterion="independence", max_parity_difference={"sex": 0.9, "sex x coin": 0.95}, epochs=16, random_state=0
    )
    model.fit(X, y, sensitive_features=c)
    assert list(model.readings_) == ["sex", "coin", "age", "sex x coin"]
    assert model.mi_weight_ == 0
    plain = model.front_[0]
    assert plain.readings["sex"].leakage > 0.1 > plain.readings["coin"].leakage
    assert plain.leakage == plain.readings["sex"].leakage
    assert np.isnan(plain.readings["age"].parity_difference)
    assert plain.readings["sex x coin"].parity_difference >= plain.readings["sex"].parity_difference - 1e-9
    for limits, said in (
        ({"hair": 0.1}, "names 'hair', which is none of: sex, coin"),
        ({"age": 0.1}, "compares groups"),
    ):
        with pytest.raises(InputError, match=said):
            MIDebiasClassifier(max_parity_difference=limits, epochs=4).fit(X, y, sensitive_features=c)


def test_one_column_among_many_is_erased_from_a_wide_representation() -> None:
    rng = np.random.default_rng(0)
    c = rng.integers(2, size=6000)
    X = rng.normal(size=(6000, 100))
    X[:, 0] += 4 * c
    model = MIDebiasTransformer(dim=100, hidden_layer_sizes=(), n_pieces=0, epochs=60, random_state=0)
    z = model.fit(X[:3000], sensitive_features=c[:3000]).transform(X[3000:])
    probe = LogisticRegression(max_iter=2000).fit(z[:1500], c[3000:4500])
    assert probe.score(z[1500:], c[4500:]) < 0.65  # random features of all columns alone leave 0.94
