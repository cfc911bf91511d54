from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from midebias import LogitAdjustment, MIPenalty
from midebias.attributes import Categorical
from midebias.errors import DataError, InputError
from midebias.networks import DigitClassifier, Tap
from midebias.randomness import seeded
from midebias.serving import make_servable
from midebias.training import train_step

pl = pytest.importorskip("lightning.pytorch")

from lightning.pytorch.plugins.precision import MixedPrecision  # noqa: E402

from midebias.lightning import DebiasModule, MIMeter, SafeCheckpoints, SeededLoader  # noqa: E402 - after the check that Lightning is there

# Advice for other machines; and a warning of torch about how Lightning calls it.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{text}")
    for text in (
        r".*does not have many workers", ".*The number of training batches", ".*isinstance.treespec, LeafSpec",
        ".*tensorboardX", ".*You defined a `validation_step`", ".*Checkpoint directory .* exists",
        ".*`training_step` returned `None`", ".*litlogger",
    )
]  # fmt: skip


def dataset(n: int = 320) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    y, c = (torch.randint(k, (n,), generator=generator) for k in (3, 2))
    x = torch.randn(n, 10, generator=generator)
    x[:, 0] += y
    x[:, 1] += 2 * c
    return TensorDataset(x, y, c)


def parts(estimator: str = "gaussian_learned", **options: Any) -> tuple[nn.Module, nn.Module, MIPenalty]:
    with seeded(0):
        encoder, head = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 8)), nn.Linear(8, 3)
    options = {"critic_steps": 2, "critic_warmup": 4} | options
    return encoder, head, MIPenalty(8, Categorical(2), estimator=estimator, **options)  # type: ignore[arg-type]


def trainer(path: Path, **options: Any) -> Any:
    quiet = {
        "accelerator": "cpu", "devices": 1, "logger": False, "enable_progress_bar": False,
        "enable_model_summary": False, "default_root_dir": path, "enable_checkpointing": False,
    }  # fmt: skip
    return pl.Trainer(**(quiet | options))


def assert_same_state(a: nn.Module, b: nn.Module) -> None:
    first, second = flat(a.state_dict()), flat(b.state_dict())
    assert first.keys() == second.keys()
    for key, value in first.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, second[key]), key
        else:
            assert value == second[key], key


def flat(value: Any, at: str = "") -> dict[str, Any]:
    if isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, inner in items for k, v in flat(inner, f"{at}.{key}").items()}
    return {at: value}


@pytest.mark.parametrize("estimator", ["prequential", "gaussian_learned", "gaussian", "donsker_varadhan"])
@pytest.mark.parametrize("mi_weight", [0.5, None])
@pytest.mark.parametrize("max_mi", [None, 0.01])
def test_lightning_and_the_raw_loop_take_the_same_steps(
    estimator: str, mi_weight: float | None, max_mi: float | None, tmp_path: Path
) -> None:
    adjustments = [LogitAdjustment(Categorical(2), 3) for _ in range(2)]
    encoder, head, penalty = parts(estimator, max_mi=max_mi, gradient_ratio=0.5)
    module = DebiasModule(encoder, head, penalty, learning_rate=1e-2, mi_weight=mi_weight, adjustment=adjustments[0])
    trainer(tmp_path, max_epochs=2).fit(module, SeededLoader(dataset(), 100, seed=3))
    raw_encoder, raw_head, raw_penalty = parts(estimator, max_mi=max_mi, gradient_ratio=0.5)
    optimizer = torch.optim.Adam([*raw_encoder.parameters(), *raw_head.parameters()], lr=1e-2)
    loader = SeededLoader(dataset(), 100, seed=3)
    for epoch in range(2):
        loader.batches.set_epoch(epoch)
        for x, y, c in loader:
            train_step(
                raw_encoder, raw_head, raw_penalty, optimizer, x, y, c,
                mi_weight=mi_weight, adjustment=adjustments[1],
            )  # fmt: skip
    assert_same_state(encoder, raw_encoder)
    assert_same_state(head, raw_head)
    assert_same_state(penalty, raw_penalty)
    assert penalty.health[0].used > 4
    assert (penalty.multipliers == (1.0,)) == (max_mi is None)


@pytest.mark.parametrize("estimator", ["gaussian_learned", "donsker_varadhan"])
@pytest.mark.parametrize("steps", [3, 5])
def test_a_resumed_fit_ends_like_an_undisturbed_one(estimator: str, steps: int, tmp_path: Path) -> None:
    def fit(max_steps: int, ckpt_path: Path | None = None) -> tuple[DebiasModule, Any]:
        module = DebiasModule(*parts(estimator), learning_rate=1e-2)
        made = trainer(tmp_path, max_steps=max_steps, plugins=[SafeCheckpoints()])
        made.fit(module, SeededLoader(dataset(), 80, seed=1), ckpt_path=ckpt_path)
        return module, made

    undisturbed, _ = fit(10)
    _, stopped = fit(steps)  # in the first epoch of four, and in the second
    stopped.save_checkpoint(tmp_path / "state.ckpt")
    resumed, _ = fit(10, tmp_path / "state.ckpt")
    assert_same_state(resumed, undisturbed)
    (tmp_path / "state.ckpt").write_bytes((tmp_path / "state.ckpt").read_bytes()[:-5])
    with pytest.raises(DataError, match="truncated"):
        fit(10, tmp_path / "state.ckpt")


def test_checkpoints_early_stopping_and_a_csv_logger_work_together(tmp_path: Path) -> None:
    kept = pl.callbacks.ModelCheckpoint(tmp_path, monitor="val_loss", filename="best")
    made = trainer(
        tmp_path,
        max_epochs=3,
        logger=pl.loggers.CSVLogger(tmp_path),
        enable_checkpointing=True,
        callbacks=[kept, pl.callbacks.EarlyStopping("val_loss", patience=5), MIMeter(every=1)],
        plugins=[SafeCheckpoints()],
        log_every_n_steps=1,
    )
    module = DebiasModule(*parts("gaussian"), learning_rate=1e-2)
    made.fit(module, SeededLoader(dataset(), 80), SeededLoader(dataset(), 160, shuffle=False))
    logged = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train_loss", "train_accuracy", "mi", "val_loss", "val_accuracy", "mi_used_0"} <= set(logged)
    state = SafeCheckpoints().load_checkpoint(kept.best_model_path)["state_dict"]
    fresh = DebiasModule(*parts("gaussian"))
    fresh.load_state_dict(state)
    assert fresh.penalty is not None
    assert fresh.penalty.health[0].used > 0


def test_accumulated_batches_make_the_step_of_one_big_batch(tmp_path: Path) -> None:
    """Of the task exactly; the penalty's share is the mean of the small batches'."""
    ends = []
    for batch_size, accumulate in ((80, 1), (40, 2)):
        module = DebiasModule(*parts()[:2], None, learning_rate=0.1, optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
        made = trainer(tmp_path, max_epochs=1, accumulate_grad_batches=accumulate)
        made.fit(module, SeededLoader(dataset(), batch_size, shuffle=False))
        assert made.global_step == 4
        ends.append(module.head.weight.detach())
    torch.testing.assert_close(*ends)


@pytest.mark.parametrize("mi_weight", [2.0, None])
def test_accumulation_leaves_the_penalty_its_weight(mi_weight: float | None) -> None:
    """Twice the same batch, accumulated, is the gradient of that batch."""
    gradients = []
    for times in (1, 2):
        encoder, head, penalty = parts("gaussian_linear", gradient_ratio=2.0)
        module = DebiasModule(encoder, head, penalty, mi_weight=mi_weight)
        module._trainer = type("T", (), {"accumulate_grad_batches": times})()  # type: ignore[assignment]
        module.log = lambda *_, **__: None  # type: ignore[method-assign, assignment]
        for _ in range(times):
            penalty.estimators[0]._generator.manual_seed(0)
            module.backward(module.training_step(dataset(100).tensors, 0))  # type: ignore[arg-type]
        gradients.append(encoder[0].weight.grad)  # type: ignore[index]
    torch.testing.assert_close(*gradients)


def test_mixed_precision_keeps_the_information_in_float32(tmp_path: Path) -> None:
    module = DebiasModule(*parts("gaussian"), learning_rate=1e-2)
    seen = []
    module.encoder.register_forward_hook(lambda m, i, o: seen.append(o.dtype))
    assert module.penalty is not None
    module.penalty.estimators[0].register_forward_hook(lambda m, i, o: seen.append((i[0].dtype, o.dtype)))
    trainer(tmp_path, max_steps=2, precision="bf16-mixed").fit(module, SeededLoader(dataset(), 80))
    assert torch.bfloat16 in seen
    assert (torch.float32, torch.float32) in seen


@pytest.mark.parametrize("mi_weight", [2.0, None])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_scale_of_half_precision_changes_no_step(mi_weight: float | None, accumulate: int, tmp_path: Path) -> None:
    ends = []
    for scale in (1.0, 2.0**10):
        module = DebiasModule(*parts("gaussian"), mi_weight=mi_weight, optimizer=lambda p: torch.optim.SGD(p, lr=0.05))
        scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=2)  # it also grows on the way
        plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
        made = trainer(tmp_path, max_steps=4, accumulate_grad_batches=accumulate, plugins=[plugin])
        made.fit(module, SeededLoader(dataset(800), 80))
        assert scaler.get_scale() > scale
        assert module.penalty is not None
        assert module.penalty.health[0].used == 4 * accumulate
        balance = module.penalty.balances[0]
        ends.append([*(p.detach() for p in module.encoder.parameters()), balance.task_norm])
    torch.testing.assert_close(*ends, rtol=2e-2, atol=2e-3)  # what is rounded to float16 differs


def model() -> nn.Module:
    with seeded(0):
        return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))


def test_anybodys_model_takes_the_steps_of_its_encoder_and_head(tmp_path: Path) -> None:
    whole = model()
    module = DebiasModule(
        model=whole, depths={"1": ..., "0": 16}, example=torch.zeros(1, 10), learning_rate=1e-2, mi_weight=None,
        penalty=lambda shapes: MIPenalty(shapes, Categorical(2), estimator="gaussian"),
    )  # fmt: skip
    assert module.penalty is not None
    assert module.penalty.shapes == (16, 16, 8)
    trainer(tmp_path, max_steps=4, callbacks=[MIMeter()]).fit(module, SeededLoader(dataset(), 80))

    class Encoder(nn.Module):
        def __init__(self, layers: nn.Sequential) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            first = self.layers[0](x)
            second = self.layers[1](first)
            return second, first, self.layers[2:4](second)

    layers = cast(nn.Sequential, model())
    same = DebiasModule(
        Encoder(layers), layers[4], MIPenalty([16, 16, 8], Categorical(2), estimator="gaussian"),
        learning_rate=1e-2, mi_weight=None,
    )  # fmt: skip
    trainer(tmp_path, max_steps=4).fit(same, SeededLoader(dataset(), 80))
    assert_same_state(whole, layers)
    assert not torch.equal(next(whole.parameters()), next(model().parameters()))
    x = dataset().tensors[0]
    assert torch.equal(module(x), whole(x))
    served = make_servable(module, example=x[:2])
    torch.testing.assert_close(served(x)[0], whole(x))
    assert served(x)[1].shape == (320, 8)


def test_a_classifier_is_a_model(tmp_path: Path) -> None:
    with seeded(0):
        digits = DigitClassifier()
    module = DebiasModule(model=digits, penalty=MIPenalty(digits.shapes, Categorical(2), estimator="gaussian"))
    x = torch.rand(64, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(x, torch.arange(64) % 10, torch.arange(64) % 2)
    trainer(tmp_path, max_steps=1).fit(module, SeededLoader(data, 64))
    assert module.last_step is not None
    assert len(module.last_step.mi) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "or a model"), ({"encoder": nn.Identity()}, "or a model"),
        ({"model": nn.Linear(3, 2), "encoder": nn.Identity()}, "in place of"),
        ({"model": nn.Linear(3, 2), "depths": ["layer1"]}, "no submodule 'layer1'"),
        ({"model": Tap(nn.Linear(3, 2)), "depths": ["model"]}, "already"),
        ({"model": nn.Sequential(nn.Linear(3, 2)), "depths": ["0"], "penalty": lambda shapes: None}, "example"),
        ({"encoder": nn.Identity(), "head": nn.Identity(), "penalty": lambda shapes: None}, "MIPenalty or None"),
    ],
)  # fmt: skip
def test_models_that_cannot_be_read_are_refused(options: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        DebiasModule(**options)


def test_the_meter_tells_a_dead_penalty_and_why(tmp_path: Path) -> None:
    for options, word in (({"critic_steps": 0, "critic_warmup": 1}, "not trained"), ({"n": 6}, "too small")):
        n = options.pop("n", 64)
        estimator = "gaussian_linear" if n == 6 else "donsker_varadhan"
        meter = MIMeter(patience=3)
        module = DebiasModule(*parts(estimator, bank=0 if n == 6 else None, **options))
        with pytest.warns(RuntimeWarning, match=word):
            trainer(tmp_path, max_steps=4, callbacks=[meter]).fit(module, SeededLoader(dataset(), n))
        assert len(meter.alarms) == 1
        resumed = MIMeter(patience=3)
        resumed.load_state_dict(meter.state_dict())
        assert resumed.alarms == meter.alarms
        assert word in meter.alarms[0]


def test_bad_arguments_are_named() -> None:
    for bad in ({"learning_rate": 0.0}, {"mi_weight": -1.0}):
        with pytest.raises(InputError, match=next(iter(bad))):
            DebiasModule(*parts(), **bad)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="batch_size"):
        SeededLoader(dataset(), 0)


def test_the_order_is_that_of_the_epoch_and_the_ranks_share_it() -> None:
    from midebias.training.seeded_loader import SeededBatches

    whole = SeededBatches(11, 4, seed=5, piece=(0, 1))
    shares = [SeededBatches(11, 4, seed=5, piece=(r, 2)) for r in range(2)]
    assert [a + b for a, b in zip(*shares, strict=True)] == list(whole)
    assert sorted(row for batch in whole for row in batch) == list(range(11))
    first = list(whole)
    whole.set_epoch(1)
    assert list(whole) != first
    loader = SeededLoader(dataset(12), 4, seed=5)
    passing = iter(loader)
    next(passing)
    rest = [x[0] for x in passing]
    again = SeededLoader(dataset(12), 4, seed=5)
    again.load_state_dict({"epoch": 0, "given": 1})
    assert all(torch.equal(a, b[0]) for a, b in zip(rest, again, strict=True))


class Deadly(Dataset[Any]):
    """Its seventh batch takes the worker that makes it along."""

    def __init__(self) -> None:
        self.inner = dataset(800)

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, row: int) -> Any:
        if row >= 480 and torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner[row]


def test_a_worker_that_dies_is_an_error_and_leaves_the_last_checkpoint_whole(tmp_path: Path) -> None:
    module = DebiasModule(*parts(), learning_rate=1e-2)
    kept = pl.callbacks.ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1)
    made = trainer(tmp_path, plugins=[SafeCheckpoints()], callbacks=[kept], enable_checkpointing=True, max_epochs=1)
    # torch says that the worker died, or that it hung up in the middle of a batch.
    with pytest.raises((RuntimeError, ConnectionError), match=r"worker|reset"):
        made.fit(module, SeededLoader(Deadly(), 80, shuffle=False, num_workers=1))
    saved = sorted(tmp_path.glob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    assert SafeCheckpoints().load_checkpoint(saved[-1])["global_step"] == len(saved) >= 3


@pytest.mark.parametrize("batch", [{"x": 1, "y": 2, "c": 3}, (torch.zeros(2, 4),) * 4, torch.zeros(3, 4)])
def test_other_batches_are_refused_with_the_remedy(batch: Any) -> None:
    with seeded(0):
        module = DebiasModule(nn.Linear(4, 3), nn.Linear(3, 2), None)
    for step in (module.training_step, module.validation_step, module.test_step):
        with pytest.raises(InputError, match=r"batch must be \(x, y, c\), got .*collate_fn"):
            step(batch, 0)
