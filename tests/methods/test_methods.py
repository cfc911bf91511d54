from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from midebias.attributes import Categorical
from midebias.datasets import ColoredMNIST
from midebias.devices import is_bfloat16_fast
from midebias.errors import InputError
from midebias.lightning import MethodModule
from midebias.methods import METHODS, MIBackpropagation, Plain, Reference
from midebias.networks import DigitClassifier
from midebias.randomness import seeded
from midebias.training.data import Batch, TensorData
from midebias.training.evaluation import evaluate
from midebias.training.method import Draw, Method
from midebias.training.step import StepResult

from ..conftest import generator


def data(n: int = 96, seed: int = 0) -> TensorData:
    g = generator(seed)
    y = torch.randint(10, (n,), generator=g)
    colours = torch.rand(n, 3, generator=g)
    x = torch.rand(n, 28, 28, 1, generator=g) * colours[:, None, None, :]
    return TensorData(x.permute(0, 3, 1, 2), y, (colours * 7.99).long(), colours)


def model(seed: int = 0) -> DigitClassifier:
    with seeded(seed):
        return DigitClassifier()


def batch(rows: slice, seed: int = 0) -> Batch:
    return data(seed=seed).batch(torch.arange(96)[rows])


def test_the_reference_recipe_step_for_step() -> None:
    """Against a slow version written from the description: explicit Adam, gradients of each loss on its own."""
    # In double precision: where a gradient is near zero, rounding decides the sign of Adam's first step.
    first, *others = (
        replace(b, x=b.x.double()) for b in (batch(slice(0, 32)), batch(slice(32, 64)), batch(slice(64, 96)))
    )
    method = Reference(model().double(), mi_lr_ratio=0.7, critic_steps=2)
    method.critic.double()
    slow = copy.deepcopy(method)
    draws = iter(others)
    method.step(first, lambda: next(draws), 1e-4)

    net, critic = slow.model, slow.critic
    encode = Categorical((8, 8, 8))
    encoder = [p for n, p in net.named_parameters() if not n.startswith("head")]
    z = net.encode(first.x)
    task = torch.autograd.grad(nn.functional.cross_entropy(net.head(z), first.y), [*net.parameters()])
    of_task = dict(zip(net.parameters(), task, strict=True))
    g_mi = torch.autograd.grad(critic(net.encode(first.x), encode.encode(first.levels)[0]), encoder)
    clipped = [g * min(1.0, float(of_task[p].norm() / g.norm())) for g, p in zip(g_mi, encoder, strict=True)]

    def adam_first_step(parameter: Tensor, gradient: Tensor, lr: float) -> None:
        with torch.no_grad():
            parameter -= lr * gradient / (gradient.abs() + 1e-8)

    for parameter, gradient in of_task.items():
        adam_first_step(parameter, gradient, 1e-4)
    for parameter, gradient in zip(encoder, clipped, strict=True):
        adam_first_step(parameter, gradient, 0.7 * 1e-4)
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-4)
    for other in others:
        optimizer.zero_grad()
        (-critic(net.encode(other.x).detach(), encode.encode(other.levels)[0])).backward()
        optimizer.step()
    for quick, by_hand in zip(method.model.parameters(), net.parameters(), strict=True):
        assert torch.allclose(quick, by_hand, rtol=1e-9, atol=1e-10)
    for quick, by_hand in zip(method.critic.parameters(), critic.parameters(), strict=True):
        assert torch.allclose(quick, by_hand, rtol=1e-9, atol=1e-10)


def test_the_reference_clips_each_tensor_to_the_task_gradient() -> None:
    method = Reference(model(), mi_lr_ratio=1.0, critic_steps=0)
    seen: list[Tensor] = []
    method.mi_optimizer.register_step_pre_hook(
        lambda optimizer, *_: seen.extend(p.grad.norm() for p in method.encoder_parameters)  # type: ignore[union-attr, misc]
    )
    lengths: list[Tensor] = []
    method.optimizer.register_step_pre_hook(
        lambda optimizer, *_: lengths.extend(p.grad.norm() for p in method.encoder_parameters)  # type: ignore[union-attr, misc]
    )
    method.step(batch(slice(0, 32)), lambda: batch(slice(0, 32)), 1e-4)
    assert len(seen) == len(lengths) == 8
    assert all(float(m) <= float(t) * (1 + 1e-5) for m, t in zip(seen, lengths, strict=True))


def test_the_critic_has_one_epoch_to_itself() -> None:
    method = Reference(model(), critic_steps=1)
    before = copy.deepcopy(method.model.state_dict())
    run = MethodModule(method, data(), epochs=1, batch_size=32, max_steps=1)
    run.advance(1)
    steps = [int(state["step"]) for state in method.critic_optimizer.state.values()]
    assert set(steps) == {3 + 1}  # the epoch of 3 batches, and one step
    assert any(not torch.equal(v, before[k]) for k, v in method.model.state_dict().items())


def test_no_weight_and_no_adjustment_is_plain_training() -> None:
    ends = []
    for method in (Plain(model()), MIBackpropagation(model(), gradient_ratio=0.0, adjust=0.0, rebalance=0.0)):
        MethodModule(method, data(), epochs=3, batch_size=32).advance(9)
        ends.append([p.detach().clone() for p in method.model.parameters()])
    for plain, ours in zip(*ends, strict=True):
        assert torch.allclose(plain, ours, atol=1e-6)


@pytest.mark.parametrize("name", list(METHODS))
def test_one_seed_one_result_bit_for_bit(name: str) -> None:
    ends = []
    options = {"critic_steps": 2} if name == "reference" else {}
    for seed in (0, 0, 1):
        method = METHODS[name](model(seed), seed=seed, **options)
        MethodModule(method, data(), epochs=2, batch_size=32, seed=seed).advance(5)
        ends.append(evaluate(method, data())[1])
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_ours_reads_the_digit_where_plain_training_reads_the_colour() -> None:
    """On few images and steps, but by more than any accident: accuracy on unbiased colours."""
    train, test = ColoredMNIST(limit=900), ColoredMNIST(split="test", limit=500)
    accuracy = []
    for method in (Plain(model()), MIBackpropagation(model(), seed=0)):
        biased = TensorData(train.images, train.targets, train.levels, train.colours)
        MethodModule(method, biased, epochs=6, batch_size=150).advance(36)
        accuracy.append(
            float(
                (
                    evaluate(method, TensorData(test.images, test.targets, test.levels, test.colours))[1].argmax(1)
                    == test.targets
                )
                .float()
                .mean()
            )
        )
    assert accuracy[1] > accuracy[0] + 0.15, accuracy


def test_stopping_between_steps_changes_nothing() -> None:
    ends = []
    for pieces in ([6], [1, 2, 3]):
        run = MethodModule(MIBackpropagation(model(), seed=0), data(), epochs=2, batch_size=32)
        for steps in pieces:
            run.advance(steps)
        assert run.finished
        assert [r.steps for r in run.records] == [3, 6]
        ends.append([p.detach().clone() for p in run.method.model.parameters()])
    for whole, in_pieces in zip(*ends, strict=True):
        assert torch.equal(whole, in_pieces)


def test_learning_rate_rises_and_falls_for_ours_only() -> None:
    class Recorder(Plain):
        rates: list[float]

        def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
            self.rates = [*getattr(self, "rates", []), lr]
            return super().step(batch, draw, lr)

    method = Recorder(model(), lr=1e-3)
    MethodModule(method, data(), epochs=4, batch_size=32, warmup=3).advance(12)
    assert method.rates[0] < method.rates[1] < method.rates[2]
    assert method.rates[2:] == sorted(method.rates[2:], reverse=True)
    assert method.rates[-1] < 5e-5
    assert not Reference.cosine


@pytest.mark.parametrize("name", ["plain", "mib"])
def test_bfloat16_follows_float32(name: str) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        method: Method = METHODS[name](model(), precision=precision)  # type: ignore[arg-type]
        run = MethodModule(method, data(), epochs=1, batch_size=96)
        run.advance(1)
        losses.append(run.records[0].loss)
        z, logits = method.representations(data().x)
        assert z.dtype == logits.dtype == torch.float32
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert is_bfloat16_fast() in (True, False)


def test_bad_settings_are_named() -> None:
    with pytest.raises(InputError, match="precision"):
        Plain(model(), precision="float8")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="lr"):
        Plain(model(), lr=0.0)
    with pytest.raises(InputError, match="epochs"):
        MethodModule(Plain(model()), data(), epochs=0)
    with pytest.raises(InputError, match="batch_size"):
        MethodModule(Plain(model()), data(), epochs=1, batch_size=97)
    with pytest.raises(InputError, match="equally many"):
        TensorData(data().x, data().y[:-1], data().levels, data().c)


@pytest.mark.parametrize("depths", [1, 2, 3])
def test_depths_are_counted_from_the_last(depths: int) -> None:
    method = MIBackpropagation(model(), depths=depths)
    assert method.penalty.shapes == model().shapes[-depths:]
    result = method.step(batch(slice(0, 96)), lambda: batch(slice(0, 96)), 1e-3)
    assert len(result.mi) == len(result.weights) == depths
    every = MIBackpropagation(model())
    all_depths = every.step(batch(slice(0, 96)), lambda: batch(slice(0, 96)), 1e-3)
    assert result.mi[-1] == pytest.approx(all_depths.mi[-1], rel=0.3)  # the same z, other random features of it
    for wrong in (0, 4):
        with pytest.raises(InputError, match="depths must be from 1"):
            MIBackpropagation(model(), depths=wrong)
    with pytest.raises(InputError, match="depths"):
        MIBackpropagation(model(), depths=1.5)  # type: ignore[arg-type]


def test_the_trace_holds_every_step_once() -> None:
    method = MIBackpropagation(model())
    run = MethodModule(method, data(), epochs=30, batch_size=32)
    losses = []
    step = method.step
    method.step = lambda *given: losses.append(step(*given)) or losses[-1]  # type: ignore[func-returns-value, method-assign]
    run.advance(7)
    run.advance(1000)
    n = run.done_steps
    assert len(losses) == n == run.trace[-1].step
    assert [p.step for p in run.trace] == sorted({p.step for p in run.trace})
    assert {r.steps for r in run.records} <= {p.step for p in run.trace}
    widths = [b.step - a for a, b in zip([0, *(p.step for p in run.trace)], run.trace, strict=False)]
    mean = sum(w * p.loss for w, p in zip(widths, run.trace, strict=True)) / n
    assert mean == pytest.approx(sum(r.loss for r in losses) / n)
    assert all(len(p.mi) == len(p.weights) == 3 for p in run.trace)
    assert run.trace[-1].weights[2] > 0


@pytest.mark.parametrize("name", ["plain", "mib", "grl", "lnl"])
def test_the_scale_of_float16_is_in_no_step(name: str) -> None:
    """Scaled by a power of two, as a GradScaler does against underflow, gradients are the same to rounding."""
    ends = []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=1024.0)):
        method = METHODS[name](model(), precision="float32")
        method.scaler = scaler or method.scaler
        method.prepare(data().levels, data().c, data().y)
        for _ in range(2):
            method.step(batch(slice(0, 96)), lambda: batch(slice(0, 96)), 1e-3)
        ends.append([p.detach() for p in method.model.parameters()])
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in zip(*ends, strict=True))


def test_float16_is_refused_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="float16"):
        Plain(model(), precision="float16")
