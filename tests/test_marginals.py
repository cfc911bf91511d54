from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from midebias.attributes import Continuous
from midebias.marginals import center_within, draw_permutation_within, number_groups
from midebias.penalty.pair_bank import PairBank

from .conftest import generator


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 1000))
def test_permutation_within_groups_is_a_permutation_that_stays_inside(labels: list[int], seed: int) -> None:
    groups = torch.tensor(labels)
    perm = draw_permutation_within(groups, generator(seed))
    assert torch.equal(groups[perm], groups)
    assert sorted(perm.tolist()) == list(range(len(labels)))


def test_permutation_within_groups_moves_everybody_everywhere() -> None:
    groups, g = torch.tensor([0, 0, 0, 1]), generator(0)
    seen = {tuple(draw_permutation_within(groups, g).tolist()) for _ in range(200)}
    assert len(seen) == 6


def test_centering_within_groups() -> None:
    values = torch.randn(50, 3, generator=generator(0), dtype=torch.float64)
    groups = torch.arange(50) % 4
    centred, count = center_within(values, groups)
    assert count == 4
    for label in range(4):
        inside = values[groups == label]
        assert torch.allclose(centred[groups == label], inside - inside.mean(0))
    whole, count = center_within(values, None)
    assert count == 1
    assert torch.allclose(whole, values - values.mean(0))
    several = torch.stack([values, 2 * values + 1])
    for inside in (None, groups):
        together = center_within(several, inside)[0]
        assert all(torch.allclose(a, center_within(b, inside)[0]) for a, b in zip(together, several, strict=True))
    lone, count = center_within(values[:3], torch.tensor([0, 0, 4]))  # labels between them are no groups
    assert count == 2
    assert not lone[2].any()


def test_bank_keeps_the_newest_rows() -> None:
    bank = PairBank(5, 1, Continuous(1))
    for value in range(4):
        rows = torch.full((2, 1), float(value), requires_grad=True)
        bank.push(rows, rows, torch.tensor([value, value]))
    z, _, groups = bank.rows()
    assert sorted(groups.tolist()) == [1, 2, 2, 3, 3]
    assert not z.requires_grad
    assert bank.rows(2)[2].tolist() == [3, 3]
    assert len(bank.rows(0)[0]) == 0
    other = PairBank(5, 1, Continuous(1))
    other.load_state_dict(bank.state_dict())
    assert torch.equal(other.rows(3)[0], bank.rows(3)[0])


def test_bank_smaller_than_a_batch() -> None:
    bank = PairBank(3, 1, Continuous(1))
    rows = torch.arange(7.0)[:, None]
    bank.push(rows, rows, None)
    assert sorted(bank.rows()[0].flatten().tolist()) == [4.0, 5.0, 6.0]
    empty = PairBank(0, 1, Continuous(1))
    empty.push(rows, rows, None)
    assert len(empty.rows()[0]) == 0


def test_identifiers_of_groups_are_numbered_and_small_labels_stay() -> None:
    small = torch.tensor([0, 7, 7, 1023])
    labels, bound = number_groups(small)
    assert (labels.tolist(), bound) == (small.tolist(), 1024)
    labels, bound = number_groups(small + 10**12)
    assert (labels.tolist(), bound) == ([0, 1, 1, 2], 3)
    values = torch.randn(4, 2, generator=generator(0))
    assert torch.equal(center_within(values, small + 10**12)[0], center_within(values, torch.tensor([0, 1, 1, 2]))[0])
