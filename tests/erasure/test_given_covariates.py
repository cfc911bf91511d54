from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from midebias import MIEraser, estimate_mi
from midebias.errors import InputError

Floats = np.ndarray[Any, np.dtype[np.float64]]


def scans(n: int, seed: int) -> tuple[Floats, Any, Floats]:
    """Embeddings that tell age and the scanner, which goes along with age."""
    rng = np.random.default_rng(seed)
    age = rng.normal(50, 10, size=n)
    x = (age - 50) / 10
    scanner = (rng.random(n) < 1 / (1 + np.exp(-1.5 * x))).astype(int)
    parts = [x, x**2, scanner + rng.normal(size=n), (1 + 2 * scanner) * rng.normal(size=n), rng.normal(size=n)]
    return (np.column_stack(parts) + 0.3 * rng.normal(size=(n, 5))) @ rng.normal(size=(5, 5)), scanner, age


def explain(z: Floats, target: Floats) -> float:
    return float(LinearRegression().fit(z, target).score(z, target))


def test_a_linear_map_takes_the_scanner_and_leaves_age() -> None:
    z, scanner, age = scans(2000, 0)
    given = MIEraser(method="linear", criterion="separation").fit(z, y=age, sensitive_features=scanner)
    erased = given.transform(z)
    options: dict[str, Any] = {"condition_on": age, "estimator": "gaussian_linear", "n_permutations": 0}
    assert estimate_mi(z, scanner, **options).value > 0.05
    assert abs(estimate_mi(erased, scanner, **options).value) < 0.01
    without = MIEraser(method="linear").fit(z, sensitive_features=scanner).transform(z)
    assert explain(erased, age) > 0.98 * explain(z, age)
    assert explain(without, age) < 0.5


@pytest.mark.filterwarnings("ignore:max_mi")
def test_a_nonlinear_map_takes_what_is_not_linear_too() -> None:
    z, scanner, age = scans(2000, 1)
    new, new_scanner, new_age = z[1200:], scanner[1200:], age[1200:]
    options: dict[str, Any] = {"criterion": "separation", "random_state": 0}
    fitted = {"y": age[:1200], "sensitive_features": scanner[:1200]}
    linear = MIEraser(method="linear", criterion="separation").fit(z[:1200], **fitted).transform(new)
    nonlinear = MIEraser(max_mi=0.01, **options).fit(z[:1200], **fitted).transform(new)
    left = [
        estimate_mi(e, new_scanner, condition_on=new_age, estimator="gaussian", n_permutations=0).value
        for e in (linear, nonlinear)
    ]
    assert left[1] < left[0] - 0.02
    assert explain(nonlinear, new_age) > 0.9 * explain(linear, new_age)


def test_quantities_of_several_columns_and_what_is_erased_may_be_one() -> None:
    rng = np.random.default_rng(0)
    age, dose = rng.normal(size=(2, 600))
    height = age + rng.normal(size=600)
    z = np.column_stack([height, age, dose]) @ rng.normal(size=(3, 3)) + 0.3 * rng.normal(size=(600, 3))
    y = {"age": age, "dose": dose, "site": rng.choice(["a", "b"], size=600)}
    erased = MIEraser(method="linear", criterion="separation").fit(z, y=y, sensitive_features=height).transform(z)
    left = estimate_mi(
        erased, height, condition_on=np.column_stack([age, dose]), estimator="gaussian_linear", n_permutations=0
    )
    assert abs(left.value) < 0.02


def test_what_cannot_be_conditioned_on_is_named() -> None:
    z, scanner, age = scans(200, 0)
    age[3] = np.nan
    eraser = MIEraser(method="linear", criterion="separation")
    with pytest.raises(InputError, match="y is missing in 1 rows"):
        eraser.fit(z, y=age, sensitive_features=scanner)
    with pytest.raises(InputError, match="partial_fit conditions on labels alone"):
        eraser.partial_fit(z, y=np.linspace(0, 1, 200), sensitive_features=scanner)
