from __future__ import annotations

import math

import pytest
import torch

from midebias.errors import InputError
from midebias.estimators import DiscreteMI

from ..conftest import generator


def test_discrete_information_is_that_of_the_joint_table() -> None:
    joint = torch.tensor([[0.3, 0.1], [0.2, 0.4]], dtype=torch.float64)  # c by decision
    n = 1000
    cells = [(c, y) for c in (0, 1) for y in (0, 1) for _ in range(round(n * float(joint[c, y])))]
    c, y = (torch.tensor(v) for v in zip(*cells, strict=True))
    p, onehot = (torch.nn.functional.one_hot(v, 2).double() for v in (y, c))
    outer = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    truth = float((joint * (joint / outer).log()).sum())
    assert float(DiscreteMI(2, [2], balanced=False)(p, onehot)) == pytest.approx(truth, rel=1e-6)


def test_balanced_information_does_not_depend_on_how_many_there_are() -> None:
    estimator = DiscreteMI(2, [2], memory=0)
    p = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    few, many = torch.tensor([0, 1]), torch.tensor([0] * 99 + [1])
    values = [float(estimator(p[c], torch.nn.functional.one_hot(c, 2).float())) for c in (few, many)]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_information_given_a_group_is_blind_to_what_the_group_explains() -> None:
    y = torch.tensor([0, 0, 1, 1] * 8)
    c = torch.tensor([0, 0, 0, 1] * 8)  # depends on y
    p = torch.stack([0.9 - 0.8 * y, 0.1 + 0.8 * y], dim=1)  # depends on y alone
    onehot = torch.nn.functional.one_hot(c, 2).float()
    estimator = DiscreteMI(2, [2], n_groups=2, memory=0)
    assert float(estimator(p, onehot, y)) == pytest.approx(0, abs=1e-6)
    assert float(estimator(p, onehot)) > 0.05


@pytest.mark.parametrize("balanced", [True, False])
def test_the_gradient_of_discrete_information_agrees_with_finite_differences(balanced: bool) -> None:
    p = torch.rand(12, 3, generator=generator(0), dtype=torch.float64).softmax(1).requires_grad_()
    c, y = (torch.randint(k, (12,), generator=generator(k)) for k in (3, 2))
    onehot = torch.nn.functional.one_hot(c, 3).double()
    estimator = DiscreteMI(3, [3], n_groups=2, balanced=balanced, memory=0)
    assert torch.autograd.gradcheck(lambda p: estimator(p, onehot, y), (p,))


def test_the_kept_sums_have_the_gradient_of_the_batch_in_expectation() -> None:
    # A batch that is seen again and again: kept sums are its own, and so is the gradient.
    p = torch.rand(64, 2, generator=generator(0)).softmax(1).double().requires_grad_()
    onehot = torch.nn.functional.one_hot(torch.randint(2, (64,), generator=generator(1)), 2).double()
    plain, kept = DiscreteMI(2, [2], memory=0), DiscreteMI(2, [2], memory=0.9)
    for _ in range(400):
        value = kept(p, onehot)
    (a,) = torch.autograd.grad(plain(p, onehot), p)
    (b,) = torch.autograd.grad(value, p)
    torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
    kept.eval()
    before = kept.sums.clone()
    kept(p, onehot)
    assert torch.equal(before, kept.sums)


def test_discrete_information_names_bad_input() -> None:
    onehot = torch.eye(2)
    with pytest.raises(InputError, match="z must hold probabilities"):
        DiscreteMI(2, [2])(torch.tensor([[2.0, -1.0], [0.5, 0.5]]), onehot)
    with pytest.raises(InputError, match="z must hold probabilities"):
        DiscreteMI(2, [2])(torch.full((2, 2), 0.4), onehot)
    with pytest.raises(InputError, match="c must be encoded to shape"):
        DiscreteMI(2, [3])(torch.full((2, 2), 0.5), onehot)
    with pytest.raises(InputError, match="y holds label 1 but n_groups is 1"):
        DiscreteMI(2, [2])(torch.full((2, 2), 0.5), onehot, torch.tensor([0, 1]))
    with pytest.raises(InputError, match="z must have 3 columns"):
        DiscreteMI(3, [2])(torch.full((2, 2), 0.5), onehot)
    with pytest.raises(InputError, match="y must have shape"):
        DiscreteMI(2, [2], n_groups=2)(torch.full((2, 2), 0.5), onehot, torch.zeros(3, dtype=torch.long))
    for outcomes, sizes, groups in ((1, [2], 1), (2, [], 1), (2, [1], 1), (2, [2], 0)):
        with pytest.raises(InputError, match="n_outcomes and sizes"):
            DiscreteMI(outcomes, sizes, n_groups=groups)
    for memory in (-0.1, 1.0):
        with pytest.raises(InputError, match="memory"):
            DiscreteMI(2, [2], memory=memory)


def test_several_columns_count_jointly() -> None:
    # The decision is the exclusive or of two fair coins: either alone says nothing, both say all.
    first, second = torch.tensor([0, 0, 1, 1] * 4), torch.tensor([0, 1, 0, 1] * 4)
    p, one, two = (torch.nn.functional.one_hot(v, 2).double() for v in (first ^ second, first, second))
    assert float(DiscreteMI(2, [2])(p, one)) == pytest.approx(0, abs=1e-9)
    assert float(DiscreteMI(2, [2, 2])(p, torch.cat([one, two], dim=1))) == pytest.approx(math.log(2), rel=1e-6)


def test_groups_count_by_their_size_or_alike() -> None:
    # Group 0, three quarters of the rows, tells all of c; group 1 nothing. A third group is never seen.
    y, c = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1]), torch.tensor([0, 1] * 4)
    decided = torch.where(y == 0, c, 0)
    p, onehot = (torch.nn.functional.one_hot(v, 2).double() for v in (decided, c))
    weighed, alike = (float(DiscreteMI(2, [2], n_groups=3, balanced=b)(p, onehot, y)) for b in (False, True))
    assert weighed == pytest.approx(0.75 * math.log(2), rel=1e-6)
    assert alike == pytest.approx(0.5 * math.log(2), rel=1e-6)


def test_the_kept_sums_fade() -> None:
    p, onehot = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.eye(2)
    estimator = DiscreteMI(2, [2], memory=0.5)
    estimator(p, onehot)
    estimator(p, onehot.flip(0))  # the other way round: of 1.5 rows a category one is decided so, half a row so
    assert estimator.counts.tolist() == [1.5, 1.5]
    assert estimator.sums.tolist() == [[0.5, 1.0], [1.0, 0.5]]
    third = torch.tensor(1 / 3)
    entropy = -float(third * third.log() + (1 - third) * (1 - third).log())
    assert float(estimator.eval()(p, onehot)) == pytest.approx(math.log(2), rel=1e-5)  # of this batch alone
    assert float(estimator._information(estimator.sums, estimator.counts)) == pytest.approx(
        math.log(2) - entropy, rel=1e-5
    )
