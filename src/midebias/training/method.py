"""The interface that all methods share: a model, its settings, and one training step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..networks.classifier import Classifier
from ..penalty.mi_penalty import MIPenalty
from .data import Batch, Problem
from .logit_adjustment import LogitAdjustment
from .step import StepResult, train_step

__all__ = ["Draw", "Method", "Precision", "SingleLoss", "TrainStepMethod"]


Precision = Literal["float32", "bfloat16"]
_PLAIN = (Tensor, bool, int, float)


Draw = Callable[[], Batch]


class Method(ABC):
    """One way of training a classifier.

    Parameters
    ----------
    model : Classifier
        Has ``depths(x)``, the representations with z last, and ``head(z)``, the logits.
    problem : Problem, optional
        Default is Colored MNIST's.
    lr : float, optional
        Default is the method's own.
    precision : {"float32", "bfloat16"}
        Of the network's forward pass; losses and all information are computed in float32.
    seed : int, default 0
        Of whatever the method draws beside the model.
    """

    name: ClassVar[str]
    batch_size: ClassVar[int] = 256
    learning_rate: ClassVar[float] = 3e-3
    cosine: ClassVar[bool] = True

    def __init__(
        self,
        model: Classifier,
        problem: Problem | None = None,
        *,
        lr: float | None = None,
        precision: Precision = "float32",
        seed: int = 0,
    ) -> None:
        if precision not in ("float32", "bfloat16"):
            raise InputError(f"precision must be 'float32' or 'bfloat16', got {precision!r}")
        self.model, self.seed = model, seed
        self.problem = Problem() if problem is None else problem
        self.lr = self.learning_rate if lr is None else lr
        if not self.lr > 0:
            raise InputError(f"lr must be positive, got {self.lr}")
        self.precision: Precision = precision
        self.optimizer = torch.optim.Adam(model.parameters(), lr=self.lr)

    def autocast(self) -> AbstractContextManager[object]:
        """Context for the network's forward pass."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(next(self.model.parameters()).device.type, torch.bfloat16)

    def prepare(self, levels: Tensor, c: Tensor, y: Tensor) -> None:  # noqa: B027 - optional
        """Look once at the attribute and label of the whole training set; by default, do not."""

    def sampling_weights(self, levels: Tensor, y: Tensor) -> Tensor | None:
        """Weights (n,) by which rows are drawn, with replacement; None for every row once an epoch."""
        return None

    def begin_epoch(self, batches: Iterable[Batch]) -> None:  # noqa: B027 - optional
        """What is done before an epoch; by default, nothing."""

    @abstractmethod
    def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
        """One optimiser step on ``batch``; ``draw()`` gives further training batches."""

    @torch.no_grad()
    def representations(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z (n, dim) and logits (n, n_classes), both float32 and where x is, wherever the model is."""
        with self.autocast():
            z = self.model.depths(x.to(next(self.model.parameters()).device))[-1]
            logits = self.model.head(z)
        return z.float().to(x.device), logits.float().to(x.device)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs: modules, optimisers, generators, and whatever numbers a step changes."""
        state: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, (nn.Module, torch.optim.Optimizer)):
                state[name] = value.state_dict()
            elif isinstance(value, torch.Generator):
                state[name] = value.get_state()
            elif isinstance(value, _PLAIN) or (isinstance(value, tuple) and all(isinstance(v, _PLAIN) for v in value)):
                state[name] = value
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` saved, in a method made with the same arguments and prepared with the same data.

        Raises
        ------
        InputError
            When the state is that of another method or network.
        """
        if not set(self.state_dict()) <= set(state) or not all(hasattr(self, name) for name in state):
            raise InputError(f"the state is that of another method than {self.name}")
        for name, value in state.items():
            mine = getattr(self, name)
            try:
                if isinstance(mine, (nn.Module, torch.optim.Optimizer)):
                    mine.load_state_dict(value)
                elif isinstance(mine, torch.Generator):
                    mine.set_state(value)
                else:
                    setattr(self, name, value)
            except (RuntimeError, ValueError, KeyError) as error:
                raise InputError(f"{name} of the state does not fit this {self.name}: {error}") from error

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the optimiser."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr


class SingleLoss(Method):
    """A method whose step is one step of Adam on one loss: cross-entropy, unless `objective` says otherwise.

    Optimiser, batch size and learning rate are this library's and the same for all such methods, whatever
    their papers used; what the papers say about the loss itself is followed.

    Attributes
    ----------
    estimates : tuple of float
        MI estimates in nats of the last step, of methods that have some.
    """

    estimates: tuple[float, ...] = ()

    def objective(self, loss: Tensor, depths: tuple[Tensor, ...], logits: Tensor, batch: Batch) -> Tensor:
        """Scalar to descend on, given the batch's mean cross-entropy ``loss`` and float32 ``logits``.

        ``depths`` come as the network made them: in bfloat16 where that is the precision.
        """
        return loss

    def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
        """See `Method.step`."""
        self.set_lr(lr)
        with self.autocast():
            depths = self.model.depths(batch.x)
            logits = self.model.head(depths[-1])
        logits = logits.float()
        loss = nn.functional.cross_entropy(logits, batch.y)
        objective = self.objective(loss, depths, logits, batch)
        self.optimizer.zero_grad()
        objective.backward()
        self.optimizer.step()
        return StepResult(float(loss.detach()), int((logits.argmax(1) == batch.y).sum()), self.estimates)


class TrainStepMethod(Method):
    """A method whose step is `train_step`, which Lightning's Trainer takes as well as the training loop.

    Attributes
    ----------
    penalty : MIPenalty or None
    adjustment : LogitAdjustment or None
    mi_weight : float or None
        None balances the gradients by the penalty's ``gradient_ratio``.
    max_grad_norm : float or None
        See `train_step`.
    """

    penalty: MIPenalty | None = None
    adjustment: LogitAdjustment | None = None
    mi_weight: ClassVar[float | None] = 1.0
    max_grad_norm: ClassVar[float | None] = None

    def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
        """See `Method.step`."""
        self.set_lr(lr)
        return train_step(
            self.model.depths,
            self.model.head,
            self.penalty,
            self.optimizer,
            batch.x,
            batch.y,
            batch.c,
            mi_weight=self.mi_weight,
            adjustment=self.adjustment,
            autocast=self.autocast(),
            max_grad_norm=self.max_grad_norm,
        )
