from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from sklearn.utils.estimator_checks import parametrize_with_checks

from midebias import MIEraser
from midebias.errors import InputError


def draw(n: int = 600, p: int = 12, k: int = 3, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    c = rng.integers(k, size=n)
    z = (rng.normal(size=(n, p)) + rng.normal(size=(k, p))[c]) @ rng.normal(size=(p, p)) + 50
    return z, c


def correlate(z: NDArray[np.floating], values: NDArray[np.generic]) -> float:
    """The largest absolute correlation of a column of z with one of ``values``, indicators of labels."""
    wide = np.eye(values.max() + 1)[values] if values.dtype.kind == "i" else values.astype(float).reshape(len(z), -1)
    z, wide = z - z.mean(axis=0), wide - wide.mean(axis=0)
    return float(np.abs(z.T @ wide / len(z)).max() / z.std() / wide.std())


def linear(**parameters: object) -> MIEraser:
    return MIEraser(method="linear", **parameters)  # type: ignore[arg-type]  # parameters of every kind


def test_the_linear_map_is_the_least_that_removes_all_covariance() -> None:
    z, c = draw()
    eraser = linear(shrinkage=False).fit(z, sensitive_features=c)
    erased = eraser.transform(z)
    assert correlate(erased, c) < 1e-10
    # Karush, Kuhn and Tucker: at the least movement A S - S lies in the span of the constraints' gradients, so that
    # for any map B with B cov(z, c) = 0 the movement's derivative along B is zero.
    centred, indicators = z - z.mean(axis=0), np.eye(3)[c] - np.bincount(c) / len(c)
    covariance, cross = centred.T @ centred / len(z), centred.T @ indicators / len(z)
    null = np.linalg.svd(cross)[0][:, 2:]
    change = ((erased - z).T @ centred / len(z)) @ null
    assert np.abs(change).max() < 1e-9 * np.abs(covariance).max()
    assert eraser.movement_ == pytest.approx(((erased - z) ** 2).sum() / (centred**2).sum())


def test_the_linear_map_is_that_of_the_authors() -> None:
    # concept-erasure 0.2.4: LeaceEraser.fit(z, c)(z), with the shrinkage that is its default.
    z = np.array([[0.0, 1.0], [1.0, 3.0], [2.0, 2.0], [3.0, 5.0], [4.0, 3.0], [6.0, 7.0]])
    erased = linear().fit(z, sensitive_features=[0, 0, 0, 1, 1, 1]).transform(z)
    theirs = [
        [2.71120221659659, 3.44008199493693], [2.22131116736741, 4.09918005063067], [3.067486616036, 2.9607379544324],
        [2.13224006750756, 4.2190160607568], [3.4237710154754, 2.48139391392786], [2.44398891701704, 3.79959002531533],
    ]  # fmt: skip
    assert np.abs(erased - theirs).max() < 1e-9


def test_what_is_kept_keeps_its_covariance() -> None:
    z, c = draw()
    rng = np.random.default_rng(1)
    label = (z[:, 0] + 3 * rng.normal(size=len(z)) > 50).astype(int)
    quantity = z[:, 1] * z[:, 2] / 50 + rng.normal(size=len(z))
    erased = linear().fit(z, sensitive_features=c, keep={"label": label, "quantity": quantity}).transform(z)
    assert correlate(erased, c) < 1e-10
    for kept in (label, quantity):
        assert np.abs((erased - z).T @ (kept - kept.mean())).max() / len(z) < 1e-8


def test_separation_leaves_no_covariance_within_classes() -> None:
    z, c = draw(k=2)
    y = ((c + np.random.default_rng(2).integers(3, size=len(c))) > 1).astype(int)
    z[:, 3] += 5 * y
    erased = linear(criterion="separation").fit(z, y, c).transform(z)
    within = sum((erased[y == k] - erased[y == k].mean(axis=0)).T @ (c[y == k] - c[y == k].mean()) for k in (0, 1))
    assert np.abs(within).max() / len(z) < 1e-9
    assert correlate(erased, y) > 0.1


def test_batches_give_the_map_of_all_rows() -> None:
    z, c = draw()
    z, c = z[np.argsort(c)], np.sort(c)  # categories that appear in later batches
    weights = np.random.default_rng(0).uniform(size=len(z))
    names = np.array(["a", "b", "c"])[c]
    batches = linear()
    for rows in np.array_split(np.arange(len(z)), 7):
        batches.partial_fit(z[rows], sensitive_features=names[rows], sample_weight=weights[rows])
    whole = linear().fit(z, sensitive_features=names, sample_weight=weights)
    np.testing.assert_allclose(batches.transform(z), whole.transform(z), rtol=1e-9)
    once = linear().fit(z, sensitive_features=names, sample_weight=weights).fit(z, sensitive_features=names)
    assert correlate(once.transform(z), c) < 1e-10  # a second fit forgets the first


def test_each_attribute_is_erased_from_the_rows_that_have_it() -> None:
    z, c = draw(k=2)
    quantity = z[:, 0] + np.random.default_rng(0).normal(size=len(z))
    site = pd.Series(np.where(c == 1, "north", "south")).mask(np.arange(len(z)) % 3 == 0)
    quantity[np.arange(len(z)) % 4 == 1] = np.nan
    erased = linear().fit(z, sensitive_features=pd.DataFrame({"site": site, "age": quantity})).transform(z)
    assert correlate(erased[site.notna()], c[site.notna()]) < 1e-10
    known = ~np.isnan(quantity)
    assert correlate(erased[known], quantity[known]) < 1e-10


def test_only_rows_of_fit_on_are_learned_from() -> None:
    z, c = draw()
    chosen = np.random.default_rng(0).uniform(size=len(z)) < 0.5
    some = linear().fit(z, sensitive_features=c, fit_on=chosen).transform(z)
    np.testing.assert_allclose(some, linear().fit(z[chosen], sensitive_features=c[chosen]).transform(z), rtol=1e-9)


def test_constant_columns_and_more_columns_than_rows() -> None:
    z, c = draw(n=30, p=40)
    z[:, 5], z[:, 6] = 2.0, z[:, 7]
    for shrinkage in (True, False):
        erased = linear(shrinkage=shrinkage).fit(z, sensitive_features=c).transform(z)
        assert correlate(erased, c) < 1e-8
        assert np.abs(erased[:, 5] - 2).max() < 1e-8


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_module_computes_what_transform_does(dtype: type) -> None:
    z, c = draw()
    z = (z - 50).astype(dtype)
    eraser = linear().fit(z, sensitive_features=c)
    erased = eraser.transform(z)
    assert erased.dtype == (np.float64 if dtype == np.float64 else np.float32)
    np.testing.assert_array_equal(
        eraser.module_(torch.from_numpy(z).to(torch.from_numpy(erased).dtype)).numpy(), erased
    )


def test_frames_come_out_as_frames() -> None:
    z, c = draw()
    frame = pd.DataFrame(z, columns=[f"z{j}" for j in range(12)], index=np.arange(600) + 7)
    eraser = linear().set_output(transform="pandas").fit(frame, sensitive_features=c)
    erased = eraser.transform(frame)
    assert list(erased.columns) == list(frame.columns) == list(eraser.get_feature_names_out())
    np.testing.assert_array_equal(erased.index, frame.index)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs sensitive_features"),
        ({"sensitive_features": np.zeros(600)}, "one value only"),
        ({"sensitive_features": np.zeros(5)}, "has 5 rows, X has 600"),
        ({"sensitive_features": np.arange(600) % 3, "fit_on": np.arange(600)}, "fit_on must hold 600 booleans"),
        ({"sensitive_features": np.arange(600) % 3, "keep": np.arange(600) % 3}, "keep cannot be kept"),
        ({"sensitive_features": np.arange(600) % 3, "fit_on": np.zeros(600, bool)}, "no row to learn from"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused_by_name(arguments: dict[str, object], message: str) -> None:
    z, _ = draw()
    with pytest.raises(InputError, match=message):
        linear().fit_transform(z, **arguments)


@pytest.mark.parametrize(("name", "value"), [("method", "magic"), ("criterion", "x"), ("unseen", 3), ("max_mi", -1)])
def test_bad_parameters_are_refused_by_name(name: str, value: object) -> None:
    z, c = draw()
    with pytest.raises(InputError, match=name):
        MIEraser(**{name: value}).fit(z, sensitive_features=c)  # type: ignore[arg-type]  # that is what is tested


class ErasesTheFirstColumn(MIEraser):
    """What scikit-learn's checks can fit: they know no sensitive_features."""

    def __init__(self) -> None:
        super().__init__(method="linear")

    def _gather(self, X: object, y: object, sensitive_features: object, *rest: object, **kwargs: object) -> object:  # type: ignore[override]  # the arguments after these are passed on
        z = self._read(X, reset=bool(kwargs["first"]))
        if len(z) < 2 or np.ptp(z[:, 0]) == 0:
            raise InputError(f"n_samples={len(z)}: X must hold 2 samples, and they must differ")
        given = (z[:, 0] > z[:, 0].mean()).astype(int)
        return super()._gather(X, y, given, *rest, **kwargs)  # type: ignore[arg-type]  # as they were given


WEIGHTED = "the attribute is drawn from the rows, and shrinkage counts rows as weights allow"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [ErasesTheFirstColumn()],
    expected_failed_checks=lambda estimator: {"check_sample_weight_equivalence_on_dense_data": WEIGHTED},
)
def test_conventions_of_scikit_learn(estimator: MIEraser, check: Callable[[MIEraser], None]) -> None:
    state = np.random.get_state()  # noqa: NPY002 - some checks draw from it
    try:
        check(estimator)
    finally:
        np.random.set_state(state)  # noqa: NPY002
