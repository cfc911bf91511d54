"""The methods we compare with: each against its formula written out slowly."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from midebias.errors import InputError
from midebias.lightning import MethodModule
from midebias.methods import (
    CLUB,
    HSIC,
    METHODS,
    BalancedSampling,
    BiasContrastive,
    BlindEye,
    DomainIndependent,
    EnD,
    FairKL,
    GradientReversal,
    Gray,
    GroupDRO,
    LearningNotToLearn,
    Plain,
)
from midebias.methods.adversaries import ColumnClassifiers, freeze, reverse_gradient
from midebias.methods.attribute_groups import Groups, join_categories
from midebias.methods.bias_contrastive import contrast
from midebias.methods.blind_eye import compute_confusion_loss
from midebias.methods.club import compute_contrastive_log_ratio
from midebias.methods.entangling import compute_disentangling, compute_entangling
from midebias.methods.fair_kl import compare_correlations, contrast_with_margin
from midebias.methods.group_dro import compute_group_means
from midebias.methods.hsic import hsic
from midebias.methods.learning_not_to_learn import compute_negative_entropy
from midebias.networks import Classifier, DigitClassifier, GlobalPoolClassifier, build_perceptron
from midebias.randomness import seeded
from midebias.training import StepResult
from midebias.training.data import Batch, Problem, TensorData
from midebias.training.method import Draw, Method

from ..conftest import generator

COMPARED = (
    "gray", "blind_eye", "lnl", "grl", "end", "hsic", "club", "group_dro", "balanced",
    "domain_independent", "bias_contrastive", "fair_kl",
)  # fmt: skip
SIZES = (3, 2)
PROBLEM = Problem(n_classes=4, level_sizes=SIZES)


class Small(Classifier):
    """Rows of six numbers, a z of five."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 5)
        self.head = nn.Linear(5, 4)
        self.dim, self.shapes = 5, (5,)

    def depths(self, x: Tensor) -> tuple[Tensor]:
        return (self.first(x).tanh(),)


def small(seed: int = 0) -> Small:
    with seeded(seed):
        return Small()


def rows(n: int = 12, seed: int = 0) -> Batch:
    g = generator(seed)
    levels = torch.stack([torch.randint(size, (n,), generator=g) for size in SIZES], dim=1)
    return Batch(torch.randn(n, 6, generator=g), torch.randint(4, (n,), generator=g), levels, levels.float())


def images(n: int = 16, seed: int = 0) -> Batch:
    g = generator(seed)
    colours = torch.rand(n, 3, generator=g)
    x = torch.rand(n, 1, 28, 28, generator=g) * colours[:, :, None, None]
    return Batch(x, torch.randint(10, (n,), generator=g), (colours * 7.99).long(), colours)


def digits(seed: int = 0) -> DigitClassifier:
    with seeded(seed):
        return DigitClassifier()


def no_draw() -> Batch:
    raise AssertionError("no further batch is needed")


def take_step(method: Method, batch: Batch) -> None:
    method.prepare(batch.levels, batch.c, batch.y)
    method.step(batch, no_draw, 1e-3)


def gradients(method: Method, batch: Batch) -> list[Tensor]:
    """Of the network, as the optimiser was given them in one step on the batch."""
    seen: list[Tensor] = []
    method.optimizer.register_step_pre_hook(
        lambda *_: seen.extend(p.grad.clone() for p in method.model.parameters())  # type: ignore[union-attr]
    )
    take_step(method, batch)
    return seen


# What they share


def test_the_joint_category_numbers_all_combinations_once() -> None:
    every = torch.tensor(list(itertools.product(range(3), range(2), range(4))))
    assert join_categories(every, (3, 2, 4)).tolist() == list(range(24))
    for wrong in ([[3, 0]], [[-1, 0]], [[0, 2]]):
        with pytest.raises(InputError, match="levels"):
            join_categories(torch.tensor(wrong), SIZES)
    with pytest.raises(InputError, match=r"shape \(n, 2\)"):
        join_categories(torch.zeros(4, 3, dtype=torch.long), SIZES)


def test_groups_are_pairs_of_label_and_category_that_occur() -> None:
    batch = rows(40)
    groups = Groups(batch.levels, batch.y, SIZES)
    numbers = groups(batch.levels, batch.y)
    pairs = [(int(y), *map(int, level)) for y, level in zip(batch.y, batch.levels, strict=True)]
    assert len(groups) == len(set(pairs))
    for a, b in itertools.combinations(range(40), 2):
        assert (numbers[a] == numbers[b]) == (pairs[a] == pairs[b])
    assert all(int(groups.counts[number]) == pairs.count(pair) for number, pair in zip(numbers, pairs, strict=True))
    only_first = Groups(batch.levels[:1], batch.y[:1], SIZES)
    with pytest.raises(InputError, match="the training set lacks"):
        only_first(batch.levels, batch.y)


def test_frozen_modules_pass_gradients_on_and_keep_none() -> None:
    with seeded(0):
        layer = build_perceptron(5, (4,), 3)
    z = torch.ones(2, 5, requires_grad=True)
    with freeze(layer):
        layer(z).sum().backward()
    assert z.grad is not None
    assert all(p.grad is None and p.requires_grad for p in layer.parameters())


def test_reversal_turns_the_sign_for_what_lies_before_it_only() -> None:
    classifiers = ColumnClassifiers(SIZES, lambda size: build_perceptron(5, (4,), size), seed=0)
    levels = rows().levels
    z = torch.randn(12, 5, generator=generator(1)).requires_grad_()
    weights = list(classifiers.parameters())
    straight = torch.autograd.grad(classifiers.cross_entropy(z, levels), [z, *weights])
    turned = torch.autograd.grad(classifiers.cross_entropy(reverse_gradient(z, 0.3), levels), [z, *weights])
    assert torch.allclose(turned[0], -0.3 * straight[0])
    assert all(torch.equal(a, b) for a, b in zip(straight[1:], turned[1:], strict=True))


@pytest.mark.parametrize("name", COMPARED)
def test_compared_methods_train_in_bfloat16_too(name: str) -> None:
    steps = {}
    for precision in ("float32", "bfloat16"):
        method = METHODS[name](digits(), precision=precision)
        batch = images()
        method.prepare(batch.levels, batch.c, batch.y)
        steps[precision] = method.step(batch, no_draw, 1e-3)
        z, logits = method.representations(batch.x)
        assert z.dtype == logits.dtype == torch.float32
    assert steps["bfloat16"].loss == pytest.approx(steps["float32"].loss, rel=0.02)


@pytest.mark.parametrize(
    ("build", "off"),
    [
        (lambda m: BlindEye(m, PROBLEM, alpha=0.0), True),
        (lambda m: GradientReversal(m, PROBLEM, weight=0.0), True),
        (lambda m: LearningNotToLearn(m, PROBLEM, entropy_weight=0.0, reversal=0.0), True),
        (lambda m: EnD(m, PROBLEM, alpha=0.0, beta=0.0), True),
        (lambda m: HSIC(m, PROBLEM, weight=0.0), True),
        (lambda m: CLUB(m, PROBLEM, weight=0.0), True),
        (lambda m: BlindEye(m, PROBLEM), False),
        (lambda m: LearningNotToLearn(m, PROBLEM), False),
        (lambda m: EnD(m, PROBLEM), False),
        (lambda m: HSIC(m, PROBLEM), False),
        (lambda m: CLUB(m, PROBLEM), False),
    ],
)
def test_at_weight_zero_they_are_plain_training_else_not(build: Callable[[Small], Method], off: bool) -> None:
    plain, other = gradients(Plain(small(), PROBLEM), rows()), gradients(build(small()), rows())
    same = all(torch.allclose(a, b, atol=1e-7) for a, b in zip(plain, other, strict=True))
    assert same == off


# Each for itself


def test_gray_does_not_see_which_channel_is_which() -> None:
    batch = images()
    permuted = replace(batch, x=batch.x[:, [2, 0, 1]])
    methods = [Gray(digits()), Gray(digits())]
    for method, seen in zip(methods, (batch, permuted), strict=True):
        take_step(method, seen)
    for a, b in zip(*(m.representations(x.x) for m, x in zip(methods, (permuted, batch), strict=True)), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    plain = Plain(digits())
    assert not torch.allclose(plain.representations(batch.x)[1], plain.representations(permuted.x)[1], atol=1e-3)


def test_confusion_is_least_where_every_answer_is_uniform() -> None:
    uniform = [torch.full((7, size), 3.0) for size in SIZES]
    least = sum(math.log(size) for size in SIZES)
    assert float(compute_confusion_loss(uniform)) == pytest.approx(least)
    noisy = [torch.randn(7, size, generator=generator(0)).requires_grad_() for size in SIZES]
    by_hand = sum(
        -sum(math.log(p) / size for p in row.softmax(0).tolist()) / 7
        for size, logits in zip(SIZES, noisy, strict=True)
        for row in logits
    )
    loss = compute_confusion_loss(noisy)
    assert float(loss.detach()) == pytest.approx(by_hand, rel=1e-5)
    assert float(loss.detach()) > least


def test_blind_eye_classifiers_learn_first_and_stand_still_while_the_network_moves() -> None:
    method = BlindEye(small(), PROBLEM, alpha=0.5)
    slow = copy.deepcopy(method)
    batch = rows()
    seen = gradients(method, batch)

    z = slow.model.encode(batch.x)
    optimizer = torch.optim.Adam(slow.classifiers.parameters(), lr=1e-3)
    cross_entropy = nn.functional.cross_entropy
    for j, column in enumerate(slow.classifiers.columns):
        cross_entropy(column(z.detach()), batch.levels[:, j]).backward()
    optimizer.step()
    loss = cross_entropy(slow.model.head(z), batch.y) + 0.5 * compute_confusion_loss(slow.classifiers(z))
    for a, b in zip(seen, torch.autograd.grad(loss, list(slow.model.parameters())), strict=True):
        assert torch.allclose(a, b, atol=1e-7)
    for a, b in zip(method.classifiers.parameters(), slow.classifiers.parameters(), strict=True):
        assert torch.equal(a, b)


def test_gradient_reversal_ramps_up_over_its_steps() -> None:
    method = GradientReversal(small(), PROBLEM, ramp_steps=4, weight=0.5)
    seen = []
    for _ in range(6):
        seen.append(method.reversal)
        method.step(rows(), no_draw, 1e-3)
    expected = [0.5 * (2 / (1 + math.exp(-10 * min(1.0, i / 4))) - 1) for i in range(6)]
    assert seen == pytest.approx(expected)
    assert seen[0] == 0.0
    with pytest.raises(InputError, match="ramp_steps"):
        GradientReversal(small(), PROBLEM, ramp_steps=0)


def test_gradient_reversal_moves_the_adversary_down_and_the_encoder_up_the_same_loss() -> None:
    method = GradientReversal(small(), PROBLEM, ramp_steps=1)
    method.done_steps = 1
    slow = copy.deepcopy(method)
    batch = rows()
    adversary: list[Tensor] = []
    method.adversary_optimizer.register_step_pre_hook(
        lambda *_: adversary.extend(p.grad.clone() for p in method.adversary.parameters())  # type: ignore[union-attr]
    )
    seen = gradients(method, batch)

    z = slow.model.encode(batch.x)
    task = nn.functional.cross_entropy(slow.model.head(z), batch.y)
    bias = slow.adversary.cross_entropy(z, batch.levels) / 2  # the mean of two columns
    expected = torch.autograd.grad(task - slow.reversal * bias, list(slow.model.parameters()), retain_graph=True)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(seen, expected, strict=True))
    downhill = torch.autograd.grad(bias, list(slow.adversary.parameters()))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(adversary, downhill, strict=True))


def test_negative_entropy_against_loops() -> None:
    columns = [torch.randn(7, size, generator=generator(0)) for size in SIZES]
    by_hand = [
        sum(p * math.log(p) for row in logits for p in row.softmax(0).tolist()) / len(logits) for logits in columns
    ]
    assert float(compute_negative_entropy(columns)) == pytest.approx(sum(by_hand) / 2, rel=1e-5)
    uniform = compute_negative_entropy([torch.zeros(7, size) for size in SIZES])
    assert float(uniform) == pytest.approx(-sum(math.log(size) for size in SIZES) / 2)


def test_lnl_gives_the_network_all_terms_and_the_predictor_the_cross_entropy_only() -> None:
    batch = images()
    method = LearningNotToLearn(digits(), entropy_weight=0.3, reversal=0.2)
    slow = copy.deepcopy(method)
    predictor: list[Tensor] = []
    method.predictor_optimizer.register_step_pre_hook(
        lambda *_: predictor.extend(p.grad.clone() for p in method.predictor.parameters())  # type: ignore[union-attr]
    )
    seen = gradients(method, batch)

    _, feature_map, z = slow.model.depths(batch.x)
    task = nn.functional.cross_entropy(slow.model.head(z), batch.y)
    bias = slow.predictor.cross_entropy(feature_map, batch.levels)
    loss = task + 0.3 * compute_negative_entropy(slow.predictor(feature_map)) - 0.2 * bias
    expected = torch.autograd.grad(loss, list(slow.model.parameters()), retain_graph=True)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(seen, expected, strict=True))
    downhill = torch.autograd.grad(bias, list(slow.predictor.parameters()))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(predictor, downhill, strict=True))


def test_lnl_reads_the_last_feature_map_unless_told_or_without_one() -> None:
    with seeded(0):
        network = GlobalPoolClassifier()
    assert LearningNotToLearn(digits()).depth == 1
    assert LearningNotToLearn(network).depth == 2
    released = LearningNotToLearn(network, depth=1)
    assert released.predictor(network.depths(images().x)[1])[0].shape == (16, 8)
    on_z = LearningNotToLearn(small(), PROBLEM)
    assert [logits.shape for logits in on_z.predictor(torch.zeros(4, 5))] == [(4, 3), (4, 2)]


def test_end_terms_against_loops_over_pairs() -> None:
    g = generator(0)
    z, n = torch.randn(14, 5, generator=g), 14
    y, bias = torch.randint(3, (n,), generator=g), torch.randint(4, (n,), generator=g)
    unit = z / z.norm(dim=1, keepdim=True)
    same_bias: dict[int, float] = {}
    pairs, across = 0, []
    for i, j in itertools.combinations(range(n), 2):
        correlation = float(unit[i] @ unit[j])
        if bias[i] == bias[j]:
            same_bias[int(bias[i])] = same_bias.get(int(bias[i]), 0.0) + correlation
            pairs += 1
        elif y[i] == y[j]:
            across.append((1 - correlation) / 2)
    assert pairs
    assert across
    assert float(compute_disentangling(z, bias)) == pytest.approx(sum(map(abs, same_bias.values())) / pairs, abs=1e-6)
    assert float(compute_entangling(z, y, bias)) == pytest.approx(sum(across) / len(across), abs=1e-6)


def test_end_terms_at_their_ends_and_without_pairs() -> None:
    y, bias = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    ideal = torch.tensor([[2.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, 5.0]])  # classes parallel, biases orthogonal
    assert float(compute_disentangling(ideal, bias)) == pytest.approx(0.0, abs=1e-6)
    assert float(compute_entangling(ideal, y, bias)) == pytest.approx(0.0, abs=1e-6)
    assert float(compute_disentangling(ideal, y)) == pytest.approx(1.0, abs=1e-6)
    apart = torch.arange(4)
    assert float(compute_disentangling(ideal, apart)) == pytest.approx(0.0, abs=1e-6)
    assert float(compute_entangling(ideal, apart, bias)) == pytest.approx(0.0, abs=1e-6)


def test_hsic_is_the_trace_of_both_centred_kernels() -> None:
    g = generator(0)
    z, levels, n = torch.randn(13, 4, generator=g).double(), torch.randint(2, (13, 2), generator=g), 13
    codes = nn.functional.one_hot(levels, 2).flatten(1).double()
    squares = torch.tensor([[float((a - b).square().sum()) for b in z] for a in z], dtype=torch.float64)
    bandwidth = torch.tensor([float(squares[i, j]) for i, j in itertools.combinations(range(n), 2)]).median()
    kernel = torch.exp(-squares / (2 * bandwidth))
    agreements = torch.tensor([[float((a == b).sum()) for b in levels] for a in levels], dtype=torch.float64)
    centre = torch.eye(n, dtype=torch.float64) - 1 / n
    expected = torch.trace(kernel @ centre @ agreements @ centre) / (n - 1) ** 2
    assert float(hsic(z, codes)) == pytest.approx(float(expected), rel=1e-6)


def test_hsic_tells_dependence_and_bears_equal_rows() -> None:
    g = generator(0)
    levels = torch.randint(3, (200,), generator=g)
    codes = nn.functional.one_hot(levels, 3).float()
    independent = torch.randn(200, 3, generator=g)
    assert float(hsic(independent + 3 * codes, codes)) > 10 * float(hsic(independent, codes))
    equal = torch.ones(10, 3, requires_grad=True)
    value = hsic(equal, codes[:10])
    value.backward()
    assert float(value.detach()) == pytest.approx(0.0, abs=1e-6)
    assert equal.grad is not None
    assert bool(equal.grad.isfinite().all())


def test_hsic_weight_rises_in_equal_parts() -> None:
    ramped, full = HSIC(small(), PROBLEM, weight=8.0, ramp_steps=4), HSIC(small(), PROBLEM, weight=2.0, ramp_steps=1)
    plain, first, quarter = gradients(Plain(small()), rows()), gradients(ramped, rows()), gradients(full, rows())
    assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(first, quarter, strict=True))
    assert not all(torch.allclose(a, b, atol=1e-4) for a, b in zip(first, plain, strict=True))
    with pytest.raises(InputError, match="ramp_steps"):
        HSIC(small(), PROBLEM, ramp_steps=0)


def test_club_bound_against_loops_over_all_pairs() -> None:
    batch, n = rows(9), 9
    columns = [torch.randn(n, size, generator=generator(2)) for size in SIZES]
    by_hand = 0.0
    for j, logits in enumerate(columns):
        log_q = logits.log_softmax(dim=1)
        by_hand += sum(float(log_q[i, batch.levels[i, j]]) for i in range(n)) / n
        by_hand -= sum(float(log_q[i, batch.levels[k, j]]) for i in range(n) for k in range(n)) / n**2
    assert float(compute_contrastive_log_ratio(columns, batch.levels)) == pytest.approx(by_hand, abs=1e-5)


def test_club_bounds_the_information_when_q_is_the_truth() -> None:
    """q = p(c|z) of a binary symmetric channel: at least I = log 2 - H(0.9), and the closed form of the bound."""
    z = torch.arange(2000) % 2
    flipped = torch.arange(2000) // 2 % 10 == 0
    c = torch.where(flipped, 1 - z, z)[:, None]
    truth = torch.where(z[:, None] == torch.arange(2), 0.9, 0.1).log()
    information = math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1)
    bound = float(compute_contrastive_log_ratio([truth], c))
    assert bound >= information
    assert bound == pytest.approx(0.4 * math.log(9), rel=1e-4)


def test_club_reports_its_estimate_and_q_learns_apart_from_the_network() -> None:
    method = CLUB(small(), PROBLEM)
    before = copy.deepcopy(method.q.state_dict())
    result = method.step(rows(), no_draw, 1e-3)
    assert len(result.mi) == 1
    assert math.isfinite(result.mi[0])
    assert any(not torch.equal(v, before[k]) for k, v in method.q.state_dict().items())
    owned = {id(p) for group in method.optimizer.param_groups for p in group["params"]}
    assert not owned & {id(p) for p in method.q.parameters()}


def test_group_means_and_the_weight_update_by_hand() -> None:
    losses, groups = torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 2])
    assert compute_group_means(losses, groups, 4).tolist() == [2.0, 0.0, 5.0, 0.0]

    method = GroupDRO(small(), PROBLEM, step_size=0.1)
    everything = rows(40)
    batch = Batch(*(t[:10] for t in (everything.x, everything.y, everything.levels, everything.c)))
    method.prepare(everything.levels, everything.c, everything.y)
    assert method.groups is not None
    assert method.q.sum().item() == pytest.approx(1.0)
    q, numbers = method.q.tolist(), method.groups(batch.levels, batch.y).tolist()
    with torch.no_grad():
        each = nn.functional.cross_entropy(method.model(batch.x), batch.y, reduction="none").tolist()
    means = []
    for g in range(len(q)):
        members = [loss for loss, number in zip(each, numbers, strict=True) if number == g]
        means.append(sum(members) / len(members) if members else 0.0)
    raised = [a * math.exp(0.1 * b) for a, b in zip(q, means, strict=True)]
    expected = [a / sum(raised) for a in raised]

    network = copy.deepcopy(method.model)
    objective = torch.zeros(())
    loss_each = nn.functional.cross_entropy(network(batch.x), batch.y, reduction="none")
    for i, number in enumerate(numbers):
        objective = objective + expected[number] * loss_each[i] / numbers.count(number)
    by_hand = torch.autograd.grad(objective, list(network.parameters()))
    seen: list[Tensor] = []
    method.optimizer.register_step_pre_hook(lambda *_: seen.extend(p.grad.clone() for p in method.model.parameters()))  # type: ignore[union-attr]
    result = method.step(batch, no_draw, 1e-3)
    assert method.q.tolist() == pytest.approx(expected, rel=1e-5)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(seen, by_hand, strict=True))
    assert result.loss == pytest.approx(sum(each) / 10, rel=1e-5)


def test_balanced_sampling_draws_each_group_as_often() -> None:
    """Three groups of 80, 15 and 5 rows in a hundred, each seen a third of the time by the training loop."""
    n = 3000
    kind = torch.tensor([0] * 2400 + [1] * 450 + [2] * 150)
    levels = torch.stack([kind % 2, torch.zeros(n, dtype=torch.long)], dim=1)
    data = TensorData(torch.zeros(n, 3, 2, 2), kind // 2, levels, levels.float())
    seen: list[Tensor] = []

    class Recorder(BalancedSampling):
        def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
            seen.append(2 * batch.y + batch.levels[:, 0])
            return StepResult(0.0, 0)

    for _ in range(2):
        MethodModule(Recorder(small(), PROBLEM), data, epochs=1, batch_size=500, seed=3).advance(6)
    drawn = torch.cat(seen[:6])
    frequency = torch.bincount(drawn, minlength=3) / n
    assert torch.allclose(frequency, torch.full((3,), 1 / 3), atol=5 * math.sqrt(2 / 9 / n))
    assert torch.equal(torch.cat(seen[6:]), drawn)


def test_group_dro_says_that_it_needs_the_training_set() -> None:
    with pytest.raises(InputError, match="prepare"):
        GroupDRO(small(), PROBLEM).step(rows(), no_draw, 1e-3)


def draw_pairs(n: int = 14) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = generator(0)
    z = torch.randn(n, 5, generator=g)
    unit = z / z.norm(dim=1, keepdim=True)
    return z, unit @ unit.T, torch.randint(3, (n,), generator=g), torch.randint(3, (n,), generator=g)


def test_bias_contrast_against_loops_over_pairs() -> None:
    z, correlations, y, bias = draw_pairs()
    losses = []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        total = sum(math.exp(float(correlations[i, j]) / 0.2) for j in others)
        positive = [j for j in others if y[j] == y[i] and bias[j] != bias[i]]
        terms = [math.log(total) - float(correlations[i, j]) / 0.2 for j in positive]
        losses.append(sum(terms) / max(1, len(terms)))
    assert float(contrast(z, y, bias, temperature=0.2)) == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    alone = z.clone().requires_grad_()
    contrast(alone, torch.arange(len(z)), bias, temperature=0.2).backward()
    assert alone.grad is not None
    assert not alone.grad.any()  # no row has another of its class


def test_bias_contrastive_draws_rare_pairs_and_corrects_the_task_for_it() -> None:
    batch = rows(400, seed=3)
    rare = (batch.y == 0) | (torch.arange(400) % 8 == 0)
    common = replace(batch, levels=rare.long()[:, None].expand(-1, 2))
    method = BiasContrastive(small(), PROBLEM, ratio=3.0, balanced=False)
    method.prepare(common.levels, common.c, common.y)
    weights = method.sampling_weights(common.levels, common.y)
    assert float(weights.max() / weights.min()) == pytest.approx(3)
    # Drawn by these weights, the cross-entropy is still that of the training set on average.
    logits = torch.randn(400, 4, generator=generator(1))
    losses = nn.functional.cross_entropy(logits, common.y, reduction="none").double()
    drawn = (weights / weights.sum() * method.mean_weight / weights * losses).sum()
    assert float(drawn) == pytest.approx(float(losses.mean()), rel=1e-6)
    with pytest.raises(InputError, match="needs prepare"):
        BiasContrastive(small(), PROBLEM).step(batch, no_draw, 1e-3)
    with pytest.raises(InputError, match="ratio at least 1"):
        BiasContrastive(small(), PROBLEM, ratio=0.5)


def test_bias_balanced_logits_leave_nothing_to_learn_where_the_bias_tells_the_label() -> None:
    g = generator(2)
    y = torch.randint(2, (300,), generator=g)
    levels = torch.stack([y, torch.zeros_like(y)], dim=1)
    batch = Batch(torch.randn(300, 6, generator=g), y, levels, levels.float())
    found = {}
    for balanced in (False, True):
        method = BiasContrastive(small(), PROBLEM, task_weight=1.0, balanced=balanced)
        found[balanced] = sum(float(g.abs().sum()) for g in gradients(method, batch))
    assert found[True] < 1e-3 * found[False]  # z has no pair to contrast either


def test_domain_heads_are_averaged_in_the_head_of_the_model() -> None:
    batch = rows(40)
    batch = replace(batch, levels=batch.levels.clamp(max=1))  # of six domains four occur
    method = DomainIndependent(small(), PROBLEM)
    before = method.heads.weight.detach().clone()
    take_step(method, batch)
    domains = batch.levels[:, 0] * 2 + batch.levels[:, 1]
    moved = (method.heads.weight.detach() - before).reshape(6, 4, 5).abs().sum(dim=(1, 2)) > 0
    assert moved.tolist() == [bool((domains == d).any()) for d in range(6)]
    z, logits = method.representations(batch.x)
    every = method.heads(z).reshape(len(z), 6, 4)
    assert torch.allclose(logits, every[:, moved].mean(dim=1), atol=1e-6)
    # As the released code predicts: by the sum of the domains' log-probabilities.
    assert torch.equal(logits.argmax(1), every[:, moved].log_softmax(dim=2).sum(dim=1).argmax(1))
    with pytest.raises(InputError, match="needs prepare"):
        DomainIndependent(small(), PROBLEM).step(batch, no_draw, 1e-3)


def test_fair_kl_terms_against_loops_over_pairs() -> None:
    _, correlations, y, bias = draw_pairs()
    same_class, same_bias = y[:, None] == y, bias[:, None] == bias
    n = len(y)
    losses = []
    for i in range(n):
        others = sum(math.exp(float(correlations[i, j])) for j in range(n) if y[j] != y[i])
        terms = [
            math.log(math.exp(s - 0.3) + others) - s
            for j in range(n)
            if j != i and y[j] == y[i]
            for s in [float(correlations[i, j])]
        ]
        losses.append(sum(terms) / max(1, len(terms)))
    found = contrast_with_margin(correlations, same_class, epsilon=0.3)
    assert float(found) == pytest.approx(sum(losses) / n, rel=1e-5)
    expected = 0.0
    for of_class in (True, False):
        parts = [
            torch.stack(
                [
                    correlations[i, j]
                    for i, j in itertools.permutations(range(n), 2)
                    if bool(same_class[i, j]) == of_class and bool(same_bias[i, j]) == of_bias
                ]
            )
            for of_bias in (True, False)
        ]
        expected += float((parts[0].mean() - parts[1].mean()).square())
        expected += float((parts[0].std(unbiased=False) - parts[1].std(unbiased=False)).square())
    assert float(compare_correlations(correlations, same_class, same_bias)) == pytest.approx(expected, rel=1e-4)
    one_bias = torch.ones_like(same_bias)
    assert float(compare_correlations(correlations, same_class, one_bias)) == 0  # nothing to compare


def test_the_head_moves_no_encoder_in_fair_kl() -> None:
    batch = rows()
    method = FairKL(small(), PROBLEM, weight=0.0)
    single = replace(batch, y=torch.arange(12) % 4)
    with torch.no_grad():
        method.model.head.weight.mul_(100)
    scaled = gradients(method, single)
    plain = gradients(FairKL(small(), PROBLEM, weight=0.0), single)
    names = [name for name, _ in method.model.named_parameters()]
    for name, a, b in zip(names, scaled, plain, strict=True):
        assert torch.allclose(a, b, atol=1e-7) == name.startswith("first")
