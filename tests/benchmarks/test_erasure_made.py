import numpy as np
import pytest
from scipy.linalg import sqrtm

from benchmarks.erasure_made import MADE, make_embedding


@pytest.mark.parametrize("kind", list(MADE))
def test_rows_are_as_many_as_asked_for_and_one_seed_gives_them_again(kind: str) -> None:
    made, again, other = (make_embedding(kind, seed, 202) for seed in (1, 1, 2))
    assert made.z.shape == (202, 768 if kind == "wide" else 32)
    assert made.c.shape == (202,)
    assert np.isfinite(made.z).all()
    np.testing.assert_array_equal(made.z, again.z)
    assert not np.array_equal(made.z, other.z)


@pytest.mark.parametrize("kind", ["scale", "correlation"])
def test_the_least_movement_of_two_groups_is_a_quarter_of_their_squared_distance(kind: str) -> None:
    made = make_embedding(kind, 0, 20_000)
    a, b = (np.cov(made.z[made.c == group].T.astype(float)) for group in (0, 1))
    root = sqrtm(a).real
    distance = np.trace(a + b - 2 * sqrtm(root @ b @ root).real)  # of Gaussian groups of one mean, squared
    assert made.least == pytest.approx(distance / 4 / made.z.var(axis=0).sum(), rel=0.03)


def test_the_ring_is_carried_to_the_mean_of_its_radii_by_the_least_movement() -> None:
    made = make_embedding("ring", 0, 4000)
    rng = np.random.default_rng(0)
    short, long = np.split(np.sort(np.linalg.norm(rng.normal(size=(200_000, 8)), axis=1)), 2)
    total = np.square(made.z - made.z.mean(axis=0)).sum(axis=1).mean()
    assert made.least == pytest.approx(np.square(long - short).mean() / 4 / total, rel=0.05)
