"""One small function for each frozen name. Where things are imported from may change; what is computed may not."""

from __future__ import annotations

import copy
import functools
import io
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from midebias import FeatureMap, LogitAdjustment, MIPenalty, Tokens, audit, estimate_mi
from midebias.attributes import Attribute, Attributes, Categorical, Continuous
from midebias.datasets import BiasedMNIST, ColoredMNIST, fetch_adult, fetch_german
from midebias.estimation import bracket_mi
from midebias.estimators import (
    CLUB,
    NWJ,
    SMILE,
    BarberAgakov,
    DiscreteMI,
    DonskerVaradhan,
    GaussianMI,
    InfoNCE,
    JensenShannon,
    LearnedGaussianMI,
)
from midebias.lightning import DebiasModule, MethodModule, SeededLoader
from midebias.methods import METHODS
from midebias.networks import DigitClassifier, GlobalPoolClassifier
from midebias.sklearn import MIDebiasClassifier, MIDebiasRegressor, MIDebiasTransformer
from midebias.training import TensorData, evaluate, train_step

# What another CPU may be off by, relatively, as measured with AVX2 and SSE alone: sums differ in the last digits, and
# Adam makes whole steps of gradients that are all rounding, such as those of a critic's constant that does not count.
EXACT, ESTIMATE, LEARNED, TRAINING, UNSTEADY = 1e-6, 5e-5, 1e-3, 5e-3, 3e-2


@dataclass(frozen=True)
class Frozen:
    """How a name is computed, and the relative tolerance on other machines."""

    function: Callable[[], list[Any]]
    tolerance: float


FROZEN: dict[str, Frozen] = {}
Function = Callable[[], list[Any]]


def frozen(tolerance: float) -> Callable[[Function], Function]:
    def register(function: Function) -> Function:
        FROZEN[function.__name__] = Frozen(function, tolerance)
        return function

    return register


def compute(name: str) -> list[float]:
    """The numbers of that name, afresh."""
    return [float(value) for value in FROZEN[name].function()]


# -- made data -------------------------------------------------------------------------------------------------


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pairs(n: int = 256, dim: int = 6, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """z, a category of three, a label of three: z tells both, and they go together."""
    g = generator(seed)
    y = torch.randint(3, (n,), generator=g)
    c = torch.where(torch.rand(n, generator=g) < 0.5, y, torch.randint(3, (n,), generator=g))
    z = torch.randn(n, dim, generator=g)
    z[:, 0] += 1.5 * c
    z[:, 1] += y
    z[:, 2] *= 1 + 0.5 * (c == 1)
    return z, c, y


def number_pairs(n: int = 256, dim: int = 6, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """z, two columns of numbers, a label of three."""
    g = generator(seed)
    y = torch.randint(3, (n,), generator=g)
    c = torch.randn(n, 2, generator=g) + 0.5 * y[:, None]
    z = torch.randn(n, dim, generator=g)
    z[:, 0] += c[:, 0]
    z[:, 1] += 0.5 * c[:, 1].square()
    return z, c, y


def one_hot(c: Tensor) -> Tensor:
    return nn.functional.one_hot(c, 3).float()


def build(make: Callable[[], Any], seed: int = 0) -> Any:
    """A module whose weights hang on the seed alone; the global generator is as before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def summarize_weights(*modules: nn.Module) -> list[float]:
    """Sum and length of all parameters."""
    flat = torch.cat([p.detach().double().flatten() for module in modules for p in module.parameters()])
    return [float(flat.sum()), float(flat.norm())]


def summarize_steps(before: dict[str, Tensor], module: nn.Module) -> list[float]:
    """Sum and length of what parameters moved by since their state was copied."""
    moved = [(p.detach().double() - before[name].double()).flatten() for name, p in module.named_parameters()]
    return [float(torch.cat(moved).sum()), float(torch.cat(moved).norm())]


def value_and_gradient(function: Callable[..., Tensor], z: Tensor, *others: Tensor | None) -> list[float]:
    """The value, the length of its gradient by z, and one of the gradient's entries."""
    leaf = z.clone().requires_grad_()
    value = function(leaf, *others)
    (gradient,) = torch.autograd.grad(value, leaf)
    return [float(value.detach()), float(gradient.double().norm()), float(gradient[3, 0])]


# -- estimators ------------------------------------------------------------------------------------------------


def updated(estimator: Any, z: Tensor, c: Tensor, groups: Tensor | None) -> list[float]:
    """The loss after 30 updates of the critic, and the estimate then."""
    optimizer = torch.optim.Adam([p for p in estimator.parameters() if p.requires_grad], lr=3e-3, eps=1e-3)
    loss = estimator.update(z, c, groups, optimizer, steps=30)
    return [loss, *value_and_gradient(estimator, z, c, groups)]


def updated_both_ways(make: Callable[[int], Any]) -> list[float]:
    """Unconditional, then within y; ``make`` is told the number of groups."""
    z, c, y = pairs()
    return updated(make(0), z, one_hot(c), None) + updated(make(3), z, one_hot(c), y)


@frozen(ESTIMATE)
def gaussian_linear() -> list[Any]:
    z, c, _ = number_pairs()
    return value_and_gradient(GaussianMI(), z, c)


@frozen(ESTIMATE)
def gaussian_linear_within_groups() -> list[Any]:
    z, c, y = number_pairs()
    estimator = GaussianMI(ridge=0.1, attribute_degree=2, group_signs=True, seed=1)
    return value_and_gradient(estimator, z, c, y) + value_and_gradient(estimator, z, c, y)


@frozen(ESTIMATE)
def gaussian_projection() -> list[Any]:
    z, c, _ = number_pairs()
    return value_and_gradient(GaussianMI(projection=torch.randn(6, 3, generator=generator(1))), z, c)


@frozen(ESTIMATE)
def gaussian_random_features() -> list[Any]:
    z, c, y = pairs()
    estimator = GaussianMI(features="random", n_features=32, bandwidth=1.5, ridge=1e-2)
    return value_and_gradient(estimator, z, one_hot(c)) + value_and_gradient(estimator, z, one_hot(c), y)


@frozen(ESTIMATE)
def gaussian_random_features_of_several() -> list[Any]:
    z, c, y = pairs()
    estimator = GaussianMI(features="random", n_features=32, group_signs=True, ridge=1e-2)
    return estimator.estimate_several([z, z[:, :3].tanh()], one_hot(c), y).tolist()


@frozen(ESTIMATE)
def gaussian_of_few_rows_and_many_columns_of_c() -> list[Any]:
    z, c, _ = pairs(40)
    wide = torch.cat([one_hot(c), torch.randn(40, 30, generator=generator(1))], dim=1)
    return value_and_gradient(GaussianMI(features="random", n_features=16, ridge=1e-2), z, wide)


@frozen(LEARNED)
def learned_gaussian() -> list[Any]:
    return updated_both_ways(lambda n_groups: LearnedGaussianMI(6, 3))


@frozen(LEARNED)
def learned_gaussian_of_a_wide_z() -> list[Any]:
    z, c, y = number_pairs(dim=100)
    return updated(LearnedGaussianMI(100, 2, hidden=32, n_linear=16, attribute_degree=2, ridge=1e-2), z, c, y)


def discrete(*, balanced: bool) -> list[Any]:
    z, c, y = pairs()
    estimator = DiscreteMI(6, [3], n_groups=3, balanced=balanced)
    first = value_and_gradient(estimator, z.softmax(1), one_hot(c), y)
    return first + value_and_gradient(estimator, (2 * z).softmax(1), one_hot(c), y)


@frozen(ESTIMATE)
def discrete_balanced() -> list[Any]:
    return discrete(balanced=True)


@frozen(ESTIMATE)
def discrete_by_frequency() -> list[Any]:
    return discrete(balanced=False)


@frozen(LEARNED)
def donsker_varadhan() -> list[Any]:
    return updated_both_ways(lambda n_groups: DonskerVaradhan(6, 3, n_groups=n_groups))


@frozen(LEARNED)
def donsker_varadhan_of_a_separable_critic() -> list[Any]:
    z, c, _ = pairs()
    critic = DonskerVaradhan(6, 3, critic="separable", hidden=(32,), standardize=False, moving_average=0.1, seed=1)
    return updated(critic, z, one_hot(c), None)


@frozen(LEARNED)
def nwj() -> list[Any]:
    return updated_both_ways(lambda n_groups: NWJ(6, 3, n_groups=n_groups))


@frozen(LEARNED)
def jensen_shannon() -> list[Any]:
    return updated_both_ways(lambda n_groups: JensenShannon(6, 3, n_groups=n_groups))


@frozen(LEARNED)
def smile() -> list[Any]:
    return updated_both_ways(lambda n_groups: SMILE(6, 3, clip=0.5, critic="bilinear", n_groups=n_groups))


@frozen(LEARNED)
def info_nce() -> list[Any]:
    return updated_both_ways(lambda n_groups: InfoNCE(6, 3, n_groups=n_groups))


@frozen(LEARNED)
def club() -> list[Any]:
    return updated_both_ways(lambda n_groups: CLUB(6, Categorical(3), n_groups=n_groups))


@frozen(LEARNED)
def club_of_numbers_sampled() -> list[Any]:
    z, c, _ = number_pairs()
    return updated(CLUB(6, Continuous(2), sampled=True), z, c, None)


@frozen(LEARNED)
def barber_agakov() -> list[Any]:
    return updated_both_ways(lambda n_groups: BarberAgakov(6, Categorical(3), n_groups=n_groups))


# -- the penalty -----------------------------------------------------------------------------------------------


def penalised(penalty: MIPenalty, make: Callable[[int], tuple[Tensor, Tensor, Tensor]]) -> list[float]:
    """What three calls on three batches give, with the gradient of the last one."""
    values = []
    for seed in range(3):
        z, c, y = make(seed)
        values.append(value_and_gradient(penalty, z, c, y))
    return [values[0][0], values[1][0], *values[2]]


def batch_of_pairs(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    return pairs(128, seed=seed)


def batch_of_numbers(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    return number_pairs(128, seed=seed)


def both_criteria(estimator: Any) -> list[float]:
    values = []
    for criterion in ("separation", "independence"):
        penalty = MIPenalty(
            6,
            Categorical(3),
            criterion=criterion,
            estimator=estimator,
            critic_steps=5,
            critic_warmup=10,  # type: ignore[arg-type]
        )
        values += penalised(penalty, batch_of_pairs)
    return values


@frozen(LEARNED)
def penalty_default() -> list[Any]:
    return both_criteria("gaussian_learned")


@frozen(ESTIMATE)
def penalty_gaussian() -> list[Any]:
    return both_criteria("gaussian")


@frozen(ESTIMATE)
def penalty_gaussian_linear() -> list[Any]:
    return both_criteria("gaussian_linear")


@frozen(UNSTEADY)
def penalty_donsker_varadhan() -> list[Any]:
    return both_criteria("donsker_varadhan")


@frozen(LEARNED)
def penalty_club() -> list[Any]:
    return both_criteria("club")


@frozen(LEARNED)
def penalty_of_numbers() -> list[Any]:
    learned = MIPenalty(6, Continuous(2), critic_steps=4, seed=1)
    conditioned = MIPenalty(6, Continuous(2), estimator="gaussian", condition_on=lambda y: y // 2, preconditioning=0.5)
    return penalised(learned, batch_of_numbers) + penalised(conditioned, batch_of_numbers)


@frozen(LEARNED)
def penalty_of_attributes_with_missing_values() -> list[Any]:
    def batch(seed: int) -> tuple[Tensor, Tensor, Tensor]:
        z, numbers, y = number_pairs(128, seed=seed)
        c = torch.cat([(numbers.sum(1, keepdim=True) > 0).float(), numbers], dim=1)
        c[::7, 0], c[::5, 2] = -1, float("nan")
        return z, c, y

    values = []
    for estimator in ("gaussian_learned", "gaussian"):
        penalty = MIPenalty(6, Attributes(Categorical(2), Continuous(2)), estimator=estimator)  # type: ignore[arg-type]
        values += [*penalised(penalty, batch), penalty.health[0].missing]
    return values


def several_depths(z: Tensor) -> tuple[Tensor, Tensor]:
    """A feature map of 8 channels and a representation of 16 columns, both made of z."""
    g = generator(5)
    maps = (z @ torch.randn(z.shape[1], 8 * 9, generator=g)).reshape(len(z), 8, 3, 3).tanh()
    return maps, (z @ torch.randn(z.shape[1], 16, generator=g)).relu()


@frozen(LEARNED)
def penalty_of_two_depths() -> list[Any]:
    values = []
    for estimator in ("gaussian_learned", "gaussian"):
        penalty = MIPenalty([FeatureMap(8), 16], Categorical(3), estimator=estimator)  # type: ignore[arg-type]
        values += penalised(lambda z, c, y, own=penalty: own(several_depths(z), c, y), batch_of_pairs)  # type: ignore[arg-type, misc]
        values += penalty.estimates
    return values


@frozen(ESTIMATE)
def penalty_of_tokens() -> list[Any]:
    penalty = MIPenalty(Tokens(4), Categorical(3), criterion="independence", estimator="gaussian")
    z, c, _ = pairs(128, dim=12)
    leaf = z.reshape(128, 3, 4).clone().requires_grad_()
    value = penalty(leaf, c)
    value.backward()
    return [value.detach(), leaf.grad.norm(), leaf.grad[3, 0, 0]]  # type: ignore[union-attr]


@frozen(LEARNED)
def penalty_of_a_z_wider_than_the_batch() -> list[Any]:
    def batch(seed: int) -> tuple[Tensor, Tensor, Tensor]:
        z, c, y = pairs(48, seed=seed)
        return z @ torch.randn(6, 200, generator=generator(5)) + torch.randn(48, 200, generator=generator(seed)), c, y

    values = []
    for estimator in ("gaussian_learned", "gaussian"):
        values += penalised(MIPenalty(200, Categorical(3), estimator=estimator), batch)  # type: ignore[arg-type]
    return values


@frozen(ESTIMATE)
def penalty_of_small_batches() -> list[Any]:
    penalty = MIPenalty(6, Categorical(3), estimator="gaussian")
    return penalised(penalty, lambda seed: pairs(20, seed=seed))


@frozen(LEARNED)
def penalty_backward_balanced() -> list[Any]:
    """Estimate, weights, and the gradients that arrive, over four steps that move the encoder."""
    encoder, head = build(lambda: (nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 5)), nn.Linear(5, 3)))
    penalty = MIPenalty(5, Categorical(3), gradient_ratio=0.7, critic_warmup=20)
    optimizer = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=0.1)
    values: list[Any] = []
    for seed in range(4):
        x, c, y = pairs(128, seed=seed)
        z = encoder(x)
        z.retain_grad()
        optimizer.zero_grad()
        value = penalty.backward(nn.functional.cross_entropy(head(z), y), z, c, y)
        optimizer.step()
        values += [value, *penalty.weights, z.grad.norm(), z.grad[3, 0]]
    return [*values, *summarize_weights(encoder, head)]


@frozen(ESTIMATE)
def penalty_budget() -> list[Any]:
    """Value and multipliers after 30 calls."""
    penalty = MIPenalty([FeatureMap(8), 16], Categorical(3), estimator="gaussian", max_mi=0.35)
    value = torch.zeros(())
    for seed in range(30):
        z, c, y = pairs(128, seed=seed)
        value = penalty(several_depths(z), c, y)
    return [value, *penalty.multipliers]


@frozen(UNSTEADY)
def penalty_from_a_saved_state() -> list[Any]:
    """The next value, and that of a penalty which was given the state; twice, as a budget moves on."""
    values = []
    for estimator in ("gaussian_learned", "donsker_varadhan"):
        first, second = (
            MIPenalty(6, Categorical(3), estimator=estimator, critic_warmup=20, max_mi=0.4)  # type: ignore[arg-type]
            for _ in range(2)
        )
        penalised(first, batch_of_pairs)
        file = io.BytesIO()
        torch.save(first.state_dict(), file)
        file.seek(0)
        second.load_state_dict(torch.load(file, weights_only=True))
        for penalty in (first, second):
            values += [penalty(*pairs(128, seed=seed)).detach() for seed in (7, 8)]
    return values


# -- the task's half -------------------------------------------------------------------------------------------


def fitted_adjustment() -> tuple[LogitAdjustment, Tensor, Tensor, Tensor]:
    z, c, y = pairs(600)
    adjustment = LogitAdjustment(Categorical(3), 3, rebalance=0.5, seed=1).fit(c, y)
    return adjustment, z[:, :3], c, y


@frozen(LEARNED)
def logit_adjustment_fitted() -> list[Any]:
    adjustment, logits, c, y = fitted_adjustment()
    loss = nn.functional.cross_entropy(adjustment(logits, c, y), y)
    return [loss, adjustment.sampling_weights(c, y).sum(), adjustment.probabilities(c)[0, 0]]


@frozen(LEARNED)
def logit_adjustment_while_it_learns() -> list[Any]:
    adjustment, (z, c, y) = LogitAdjustment(Continuous(2), 3, strength=0.8, floor=0.05, steps=5), number_pairs()
    return [nn.functional.cross_entropy(adjustment(z[:, :3], c, y), y) for _ in range(3)]


# -- held-out estimates ----------------------------------------------------------------------------------------


def told(z: Tensor, c: Tensor, **options: Any) -> list[Any]:
    found = estimate_mi(z, c, **{"n_permutations": 49, "random_state": 3} | options)
    return [found.value, found.stderr, found.p_value]


@frozen(LEARNED)
def estimate_of_numbers() -> list[Any]:
    g = generator(0)
    c = torch.randn(400, 1, generator=g)
    z = torch.cat([0.8 * c, torch.zeros(400, 1)], dim=1) + 0.6 * torch.randn(400, 2, generator=g)
    return told(z, c, max_steps=100)


@frozen(LEARNED)
def estimate_of_categories() -> list[Any]:
    z, c, _ = pairs(400)
    return told(z, c, max_steps=100)


@frozen(LEARNED)
def estimate_within_groups() -> list[Any]:
    z, c, y = pairs(400)
    numbers, n, of_numbers = number_pairs(400, dim=5)
    return told(z, c, condition_on=y, max_steps=100) + told(numbers, n, condition_on=of_numbers, max_steps=100)


@frozen(ESTIMATE)
def estimate_in_closed_form() -> list[Any]:
    z, c, y = number_pairs(400)
    return told(z, c, estimator="gaussian_linear") + told(z, c, estimator="gaussian_linear", condition_on=y)


@frozen(LEARNED)
def estimate_by_networks() -> list[Any]:
    z, c, y = pairs(400)
    options: dict[str, Any] = {"max_steps": 60, "n_permutations": 9}
    return [
        *told(z, c, estimator="donsker_varadhan", **options),
        *told(z, c, estimator="nwj", condition_on=y, **options),
        *told(z, c, estimator="barber_agakov", **options),
    ]


@frozen(LEARNED)
def estimate_per_attribute() -> list[Any]:
    z, numbers, _ = number_pairs(400)
    c = torch.cat([(numbers[:, :1] > 0).float(), numbers[:, 1:]], dim=1)
    c[::9, 1] = float("nan")
    attribute: Attribute = Attributes(Categorical(2), Continuous(1))
    found = estimate_mi(z, c, attribute=attribute, estimator="gaussian_linear", per_attribute=True, n_permutations=0)
    return [found.value, found.stderr, found.n, *(number for p in found.parts for number in (p.value, p.stderr, p.n))]


@frozen(LEARNED)
def bracket() -> list[Any]:
    z, c, _ = pairs(400)
    found = bracket_mi(z, c, max_steps=60, n_permutations=9)
    return [found.lower.value, found.lower.stderr, found.upper.value, found.upper.stderr]


# -- the audit -------------------------------------------------------------------------------------------------


@functools.cache
def audited() -> Any:
    z, c, y = pairs(500, dim=4)
    predictions = (z[:, 1] + 0.5 * z[:, 0] > 1.5).long()
    named = {"c": c.numpy(), "size": (z[:, 3] + torch.randn(500, generator=generator(9))).numpy()}
    return audit(
        z.numpy(), named, (y > 0).long().numpy(), predictions=predictions.numpy(),
        n_bins=3, n_folds=3, probes=("linear", "quadratic", "nearest neighbours", "mlp"),
    )  # fmt: skip


@frozen(TRAINING)
def audit_leakage() -> list[Any]:
    found = audited()
    worst = found.worst
    return [found.leakage, *found.interval, found.p_value, worst.entropy, worst.balanced_accuracy]


@frozen(TRAINING)
def audit_findings() -> list[Any]:
    """The estimate and the balanced accuracy of each probe on all rows."""
    overall = [finding for finding in audited().findings if finding.condition == "overall"]
    return [number for finding in overall for number in (finding.mi, finding.balanced_accuracy)]


@frozen(TRAINING)
def audit_within_classes() -> list[Any]:
    inside = [s for s in audited().summary if s.condition == "within classes"]
    return [number for s in inside for number in (s.leakage, s.low, s.high, s.p_adjusted)]


@frozen(EXACT)
def audit_fairness() -> list[Any]:
    names = ("demographic_parity_difference", "equalized_odds_difference", "accuracy_difference")
    return [difference[name] for difference in audited().differences for name in names]


@frozen(TRAINING)
def audit_by_trees() -> list[Any]:
    z, c, _ = pairs(300, dim=3)
    found = audit(z, c, probes=("boosted trees",), n_folds=2)
    return [found.leakage, *found.interval, found.worst.balanced_accuracy]


# -- training on digits ----------------------------------------------------------------------------------------


@functools.cache
def digits(split: Any, n: int) -> TensorData:
    data = ColoredMNIST(split=split, variance=0.03, seed=1, limit=n)
    return TensorData(data.images, data.targets, data.levels, data.colours)


@functools.cache
def trained(name: str, n: int, steps: int, batch_size: int, **options: Any) -> tuple[list[float], list[float]]:
    """Loss, movement of the parameters, estimates and their weights; and accuracies, the last on unbiased images."""
    method = METHODS[name](build(DigitClassifier), precision="float32", **options)
    run = MethodModule(method, digits("train", n), epochs=1, batch_size=batch_size, max_steps=steps, warmup=4)
    before = copy.deepcopy(method.model.state_dict())
    run.advance(steps)
    test = digits("test", 500)
    _, logits = evaluate(method, test)
    point = run.trace[-1]
    numbers = [point.loss, *summarize_steps(before, method.model), *point.mi, *point.weights]
    return numbers, [point.train_accuracy, float((logits.argmax(1) == test.y).double().mean())]


def trained_mib() -> tuple[list[float], list[float]]:
    return trained("mib", 1500, 8, 180, lr=5e-4)


def trained_plain() -> tuple[list[float], list[float]]:
    return trained("plain", 1500, 8, 180)


def trained_reference() -> tuple[list[float], list[float]]:
    return trained("reference", 512, 3, 64, critic_steps=3)


@frozen(UNSTEADY)  # a critic in a run of eight steps: AVX2 and AVX512 differ by 1.1%
def train_mib() -> list[Any]:
    return trained_mib()[0]


@frozen(TRAINING)
def train_plain() -> list[Any]:
    return trained_plain()[0]


@frozen(UNSTEADY)
def train_reference() -> list[Any]:
    return trained_reference()[0]


@frozen(UNSTEADY)
def train_accuracies() -> list[Any]:
    """Of the three: on the last training batch, and on unbiased images."""
    return [*trained_mib()[1], *trained_plain()[1], *trained_reference()[1]]


def first_step(name: str, network: Any = GlobalPoolClassifier, **options: Any) -> list[float]:
    """Loss and movement of the weights after one step on 64 images."""
    method = METHODS[name](build(network), precision="float32", **options)
    run = MethodModule(method, digits("train", 512), epochs=1, batch_size=64, max_steps=1, warmup=1)
    before = copy.deepcopy(method.model.state_dict())
    run.advance(1)
    return [run.trace[-1].loss, *summarize_steps(before, method.model)]


@frozen(TRAINING)
def step_lnl() -> list[Any]:
    return first_step("lnl")


@frozen(TRAINING)
def step_end() -> list[Any]:
    return first_step("end")


@frozen(TRAINING)
def step_hsic() -> list[Any]:
    return first_step("hsic", ramp_steps=1)


@frozen(TRAINING)
def step_others() -> list[Any]:
    names = ("gray", "blind_eye", "grl", "club", "group_dro", "balanced")
    return [number for name in names for number in first_step(name)]


# -- the loop and Lightning ------------------------------------------------------------------------------------


def small_parts(**options: Any) -> tuple[nn.Module, nn.Module, MIPenalty]:
    encoder, head = build(lambda: (nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8)), nn.Linear(8, 3)))
    return encoder, head, MIPenalty(8, Categorical(3), critic_steps=2, critic_warmup=4, **options)


@frozen(LEARNED)
def loop_of_five_steps() -> list[Any]:
    encoder, head, penalty = small_parts()
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-2)
    adjustment = LogitAdjustment(Categorical(3), 3)
    values: list[float] = []
    for seed in range(5):
        x, c, y = pairs(100, seed=seed)
        result = train_step(
            encoder, head, penalty, optimizer, x, y, c, mi_weight=0.5, adjustment=adjustment, max_grad_norm=1.0
        )
        values += [result.loss, *result.mi]
    return [*values, *summarize_weights(encoder, head)]


@frozen(LEARNED)
def lightning_of_two_epochs() -> list[Any]:
    encoder, head, penalty = small_parts(max_mi=0.05, gradient_ratio=0.5)
    module = DebiasModule(encoder, head, penalty, learning_rate=1e-2, mi_weight=None)
    x, c, y = pairs(300)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice for other machines
        trainer = pl.Trainer(
            accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
            enable_checkpointing=False, default_root_dir=folder, max_epochs=2,
        )  # fmt: skip
        trainer.fit(module, SeededLoader(TensorDataset(x, y, c), 100, seed=3))
    step = module.last_step
    assert step is not None
    return [step.loss, *step.mi, *step.weights, *penalty.multipliers, *summarize_weights(encoder, head)]


# -- tables ----------------------------------------------------------------------------------------------------


@functools.cache
def adult(n: int) -> tuple[Any, Any, Any]:
    found = fetch_adult()
    return found.data[:n], found.target[:n], found.sensitive_features[:n]


def fitted(model: Any, n: int) -> list[Any]:
    X, y, c = adult(n)
    model.fit(X, y, sensitive_features=c)
    probabilities = model.predict_proba(X)
    right = float((model.predict(X) == y.to_numpy()).mean())
    return [*model.mi_, probabilities[:, 1].sum(), np.abs(model.transform(X)).sum(), right]


@frozen(TRAINING)
def classifier() -> list[Any]:
    return fitted(MIDebiasClassifier(epochs=2, batch_size=512, random_state=0), 3000)


@frozen(TRAINING)
def classifier_of_a_small_table() -> list[Any]:
    """Trained whole, in double precision."""
    return fitted(MIDebiasClassifier(criterion="independence", epochs=30, random_state=0), 800)


@frozen(TRAINING)
def classifier_with_a_budget() -> list[Any]:
    model = MIDebiasClassifier(max_mi=0.01, epochs=3, batch_size=256, random_state=0)
    values = fitted(model, 1500)
    return [*values, model.held_out_mi_, model.mi_weight_]


def made_table() -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    c = rng.integers(0, 2, 500)
    X = rng.normal(size=(500, 4)) + c[:, None] * np.array([1.0, 0.0, 0.5, 0.0])
    X[::11, 1] = np.nan
    return X, X[:, 0] + 0.5 * rng.normal(size=500) + X[:, 2] ** 2, c


@frozen(TRAINING)
def regressor() -> list[Any]:
    X, y, c = made_table()
    model = MIDebiasRegressor(criterion="separation", epochs=4, random_state=0).fit(X, y, sensitive_features=c)
    return [*model.mi_, model.predict(X).sum(), np.abs(model.transform(X)).sum(), model.score(X, y)]


@frozen(TRAINING)
def transformer() -> list[Any]:
    X, _, c = made_table()
    model = MIDebiasTransformer(epochs=4, early_stopping=True, random_state=0).fit(X, sensitive_features=c)
    return [*model.mi_, np.abs(model.transform(X)).sum(), model.history_[-1].loss]


@frozen(EXACT)
def table_preprocessing() -> list[Any]:
    """Through an encoder that hands on what it is given: columns, their sum, their squares, and rows not seen."""
    X, y, _ = adult(400)
    model = MIDebiasTransformer(module=nn.Identity(), mi_weight=0.0, epochs=1, random_state=0).fit(X[:300], y[:300])
    known, new = model.transform(X[:300]), model.transform(X[300:])
    return [known.shape[1], known.sum(), np.square(known).sum(), new.sum(), np.square(new).sum()]


# -- data ------------------------------------------------------------------------------------------------------


@frozen(EXACT)
def colored_mnist() -> list[Any]:
    train, test = (ColoredMNIST(split=split, variance=0.02, seed=2, limit=50) for split in ("train", "test"))
    return [
        number
        for data in (train, test)
        for number in (
            data.images.double().sum(), data.colours.double().sum(), data.levels.sum(), data.targets.sum(),
        )
    ]  # fmt: skip


@frozen(EXACT)
def biased_mnist() -> list[Any]:
    train, test = (BiasedMNIST(split=split, rho=rho, seed=2, limit=50) for split, rho in (("train", 0.9), ("test", 0)))
    return [
        number
        for data in (train, test)
        for number in (data.images.double().sum(), data.colour_classes.sum(), data.targets.sum())
    ]


@frozen(EXACT)
def tables() -> list[Any]:
    X, y, c = adult(3000)
    german = fetch_german()
    return [
        X.select_dtypes("number").to_numpy().sum(), X.isna().to_numpy().sum(), y.sum(), (c["sex"] == "Female").sum(),
        german.data.select_dtypes("number").to_numpy().sum(), german.target.sum(),
    ]  # fmt: skip
