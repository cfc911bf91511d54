"""`DebiasModule`: debiasing in a PyTorch Lightning Trainer, by the same step as everywhere else.

Run this package only as ``midebias`` or ``python -m midebias``: this file has the name of the package it adapts.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from ..arguments import checked
from ..devices import disable_autocast
from ..errors import InputError
from ..networks.classifier import Classifier
from ..networks.tap import Tap
from ..penalty import MIPenalty
from ..representations import Shape
from ..training import step
from ..training.logit_adjustment import LogitAdjustment


class DebiasModule(pl.LightningModule):
    """Encoder, head and penalty as a LightningModule; batches are (x, y, c).

    Training takes the steps of `midebias.training.train_step`, within Lightning's accumulation, clipping, precision and
    processes. Mutual information is in float32 whatever the precision; the penalty's state is in the checkpoint.

    Parameters
    ----------
    encoder : Module or None
        x -> z, or several representations with z last, as the penalty was built for.
    head : Module or None
        z -> logits.
    penalty : MIPenalty, callable or None
        A callable is given the shapes of the representations and returns a `MIPenalty`; with ``model`` only.
    model : Module, optional
        In place of encoder and head: any module x -> logits, whose representations are read at ``depths`` by a
        `midebias.networks.Tap`; or a `midebias.networks.Classifier`, such as a `backbone`, or a Tap.
    depths, z, example : optional
        Of the Tap, which explains them: names of submodules, that of z, and an input that shapes are found from.
    learning_rate : float, default 1e-3
    mi_weight : float or None, default 1.0
        The weight of a nat in the loss; None balances the gradients by the penalty's ``gradient_ratio`` instead.
    adjustment : LogitAdjustment, optional
    task_loss : callable, default cross-entropy
    optimizer : callable, optional
        Parameters -> optimiser; default is Adam at ``learning_rate``.

    Attributes
    ----------
    last_step : StepResult or None
        What the last training step did, on this rank's rows.

    Raises
    ------
    InputError
        An argument that cannot be used.

    Notes
    -----
    With ``accumulate_grad_batches`` the information is that of each single batch; prefer one big batch where it fits.
    Logged: ``train_loss``, ``train_accuracy``, ``mi`` (nats), and ``val_loss`` and ``val_accuracy``.

    Examples
    --------
    >>> import torch
    >>> from midebias import MIPenalty
    >>> from midebias.attributes import Categorical
    >>> from midebias.lightning import DebiasModule
    >>> module = DebiasModule(torch.nn.Linear(20, 8), torch.nn.Linear(8, 3), MIPenalty(8, Categorical(2)))
    >>> module(torch.zeros(5, 20)).shape
    torch.Size([5, 3])

    Of a module of anybody's, here with the output of its first layer and z, the input of its last linear layer:

    >>> model = torch.nn.Sequential(torch.nn.Linear(20, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    >>> module = DebiasModule(model=model, depths=["0"], penalty=MIPenalty([16, 16], Categorical(2)))
    >>> module(torch.zeros(5, 20)).shape
    torch.Size([5, 3])
    """

    @checked
    def __init__(
        self,
        encoder: nn.Module | None = None,
        head: nn.Module | None = None,
        penalty: MIPenalty | Callable[[Sequence[Shape]], MIPenalty] | None = None,
        *,
        model: nn.Module | None = None,
        depths: int | Sequence[str] | Mapping[str, Any] = (),
        z: str | None = None,
        example: Tensor | None = None,
        learning_rate: float = 1e-3,
        mi_weight: float | None = 1.0,
        adjustment: LogitAdjustment | None = None,
        task_loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
    ) -> None:
        super().__init__()
        if not learning_rate > 0:
            raise InputError(f"learning_rate must be positive, got {learning_rate}")
        if mi_weight is not None and not 0 <= mi_weight < math.inf:
            raise InputError(f"mi_weight must be None, or at least 0 and finite, got {mi_weight}")
        if model is not None:
            if encoder is not None or head is not None:
                raise InputError("model stands in place of encoder and head: give either it or them")
            encoder, penalty = _tap_model(model, depths, z, example, penalty)
        elif encoder is None or head is None or not isinstance(penalty, MIPenalty | None):
            raise InputError("give encoder, head and a MIPenalty or None, or a model")
        self.encoder, self.head, self.penalty, self.adjustment = encoder, head, penalty, adjustment
        self.learning_rate, self.mi_weight = learning_rate, mi_weight
        self._task_loss, self._make_optimizer = task_loss, optimizer
        self._passed: tuple[step.ForwardPass, Tensor, Tensor] | None = None
        self.last_step: step.StepResult | None = None
        # The penalty learns by itself, on the pairs of all ranks: DDP leaves it alone.
        names = (name for name, _ in (*self.named_parameters(), *self.named_buffers()))
        self._ddp_params_and_buffers_to_ignore = [n for n in names if n.startswith(("penalty.", "adjustment."))]

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return step.apply_network(self.encoder, self.head, x)[1]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimiser of encoder and head."""
        both = nn.ModuleList(part for part in (self.encoder, self.head) if part is not None)
        parameters = [p for p in both.parameters() if p.requires_grad]
        if self._make_optimizer is not None:
            return self._make_optimizer(parameters)
        return torch.optim.Adam(parameters, lr=self.learning_rate)

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        """Compute the task's loss; `backward` adds the penalty."""
        x, y, c = unpack_batch(batch)
        passed = step.run_forward(
            self.encoder, self.head, x, y, c, task_loss=self._task_loss, adjustment=self.adjustment
        )
        self._passed = passed, y, c
        return passed.task_loss

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backpropagate task and penalty in one pass; the Trainer calls this with the loss of `training_step`."""
        assert self._passed is not None
        (passed, y, c), self._passed = self._passed, None
        with disable_autocast(loss.device):
            step.run_backward(
                passed,
                self.penalty,
                y,
                c,
                mi_weight=self.mi_weight,
                accumulated=self.trainer.accumulate_grad_batches,
                scale=self._find_scale(loss.device),
            )
        result = step.summarize_step(passed, y, *step.read_penalty(self.penalty, self.mi_weight))
        self.last_step = result
        loss, correct, *nats = result.numbers[: 2 + result.n_estimates].float().unbind()
        self.log("train_loss", loss, batch_size=len(y))
        self.log("train_accuracy", correct / max(1, len(y)), batch_size=len(y))
        if self.penalty is not None:
            self.log("mi", torch.stack(nats).sum(), prog_bar=True, batch_size=len(y))

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Log loss and accuracy."""
        self._evaluate(batch, "val")

    def test_step(self, batch: Any, batch_index: int) -> None:
        """Do as in validation, and log it under ``test_``."""
        self._evaluate(batch, "test")

    def predict_step(self, batch: Any, batch_index: int) -> Tensor:
        """Logits; a batch may be x alone, or (x, ...)."""
        return self(batch if isinstance(batch, Tensor) else batch[0])

    def _find_scale(self, device: torch.device) -> float | Tensor:
        """What the Trainer multiplies losses by against underflow in float16; left on its device."""
        scaler = getattr(getattr(self.trainer, "precision_plugin", None), "scaler", None)
        return 1.0 if scaler is None else scaler.scale(torch.ones((), device=device))

    def _evaluate(self, batch: Any, name: str) -> None:
        x, y, c = unpack_batch(batch)
        passed = step.run_forward(self.encoder, self.head, x, y, c, task_loss=self._task_loss)
        self.log(f"{name}_loss", passed.task_loss, prog_bar=True, batch_size=len(y), sync_dist=True)
        if passed.logits.ndim == 2 and not y.is_floating_point():
            accuracy = (passed.logits.argmax(1) == y).float().mean()
            self.log(f"{name}_accuracy", accuracy, prog_bar=True, batch_size=len(y), sync_dist=True)


def _tap_model(
    model: nn.Module, depths: Any, z: str | None, example: Tensor | None, penalty: Any
) -> tuple[nn.Module, MIPenalty | None]:
    """The model with its representations, and its penalty, made for them if it is not yet."""
    if isinstance(model, (Tap, Classifier)):
        if depths or z is not None:
            raise InputError(f"depths and z are those of model already, which is a {type(model).__name__}")
    else:
        model = Tap(model, depths, z=z, example=example)
    if penalty is None or isinstance(penalty, MIPenalty):
        return model, penalty
    if model.shapes is None:
        raise InputError("penalty is to be made for shapes that are not known: give an example of the input")
    return model, penalty(model.shapes)


def unpack_batch(batch: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Take x, y and c from a batch. Raises `InputError` unless it is a sequence of the three."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 3:
        size = f" of {len(batch)}" if hasattr(batch, "__len__") else ""
        raise InputError(
            f"batch must be (x, y, c), got {type(batch).__name__}{size}: "
            "have the data set, or collate_fn of its DataLoader, return these three"
        )
    x, y, c = batch
    return x, y, c
