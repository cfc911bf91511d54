import numpy as np
import pytest

from benchmarks.erasure_made import MADE, make_embedding
from midebias import MIEraser


@pytest.mark.parametrize("kind", list(MADE))
def test_rows_are_as_many_as_asked_for_and_one_seed_gives_them_again(kind: str) -> None:
    made, again, other = (make_embedding(kind, seed, 202) for seed in (1, 1, 2))
    assert made.z.shape == (202, 768 if kind == "wide" else 32)
    assert made.c.shape == (202,)
    assert np.isfinite(made.z).all()
    np.testing.assert_array_equal(made.z, again.z)
    assert not np.array_equal(made.z, other.z)


@pytest.mark.parametrize("kind", ["scale", "correlation"])
def test_known_groups_are_carried_to_their_barycentre_by_the_least_movement(kind: str) -> None:
    made = make_embedding(kind, 0, 6000)
    assert isinstance(made.least, float)
    eraser = MIEraser(aware=True).fit(made.z, sensitive_features=made.c)
    assert 0.95 < eraser.movement_ / made.least < 1.05


def test_the_ring_is_carried_to_the_mean_of_its_radii_by_the_least_movement() -> None:
    made = make_embedding("ring", 0, 4000)
    rng = np.random.default_rng(0)
    short, long = np.split(np.sort(np.linalg.norm(rng.normal(size=(200_000, 8)), axis=1)), 2)
    total = np.square(made.z - made.z.mean(axis=0)).sum(axis=1).mean()
    assert made.least == pytest.approx(np.square(long - short).mean() / 4 / total, rel=0.05)
