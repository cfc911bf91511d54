"""What all methods share: a model, its settings, and one training step, which most change in one term."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..marginals import keep_range
from ..networks.classifier import Classifier
from ..penalty import MIPenalty
from .data import Batch, Problem
from .logit_adjustment import LogitAdjustment
from .step import ForwardPass, StepResult, refuse_gradients, run_forward, summarize_step

Draw = Callable[[], Batch]
Precision = Literal["float32", "bfloat16", "float16"]
_PLAIN = (Tensor, bool, int, float)
_STATEFUL = (nn.Module, torch.optim.Optimizer, torch.amp.GradScaler)


@dataclass(eq=False, repr=False)
class Method:
    """One way of training a classifier: cross-entropy and Adam, and what `objective` says of the loss.

    A subclass with settings of its own is a dataclass too.

    Parameters
    ----------
    model : Classifier
        Has ``depths(x)``, the representations with z last, and ``head(z)``, the logits.
    problem : Problem, optional
        Default is Colored MNIST's.
    lr : float, default 3e-3
    precision : {"float32", "bfloat16", "float16"}
        Of the network's forward pass; losses and all information are computed in float32. In float16, which is of
        GPUs, gradients are scaled, and a step whose gradients are not finite is left out.
    seed : int, default 0
        Of whatever the method draws beside the model.

    Attributes
    ----------
    optimizers : list of Optimizer
        Those that step on the gradient of `objective`: the model's, and what a method adds.
    estimates : tuple of float or Tensor
        MI estimates in nats of the last step, of methods that have some.
    share : float
        What the mean loss of a batch counts. Where processes share a batch: the part of its rows that this one has,
        times the processes, because gradients are averaged over them.

    Raises
    ------
    InputError
        An argument that cannot be used; a state that is that of another method or network.
    """

    name: ClassVar[str]
    batch_size: ClassVar[int] = 256
    cosine: ClassVar[bool] = True
    masks_missing: ClassVar[bool] = False  # whether images whose attribute is missing can be trained on
    divisible: ClassVar[bool] = False  # whether processes can share a batch: rows count alone, or are pooled by itself
    max_grad_norm: ClassVar[float | None] = None

    model: Classifier
    problem: Problem = field(default_factory=Problem)
    _: KW_ONLY
    lr: float = 3e-3
    precision: Precision = "float32"
    seed: int = 0
    adjustment: LogitAdjustment | None = field(init=False, default=None)
    penalty: MIPenalty | None = field(init=False, default=None)
    estimates: Sequence[float | Tensor] = field(init=False, default=())

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise InputError(f"precision must be one of {', '.join(get_args(Precision))}, got {self.precision!r}")
        if self.precision == "float16" and not torch.cuda.is_available():
            raise InputError("precision 'float16' needs a GPU of CUDA, and torch finds none: take 'bfloat16'")
        if not self.lr > 0:
            raise InputError(f"lr must be positive, got {self.lr}")
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=self.lr)
        self.optimizers: list[torch.optim.Optimizer] = [self.optimizer]
        self.scaler = torch.amp.GradScaler(enabled=self.precision == "float16")
        self.share = 1.0

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def autocast(self) -> AbstractContextManager[object]:
        """Make a context for the network's forward pass."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.precision))

    def prepare(self, levels: Tensor, c: Tensor, y: Tensor) -> None:
        """Look once at the attribute and label of the whole training set; by default, do not.

        Parameters
        ----------
        levels, c, y : Tensor, as in `Batch`
        """

    def sampling_weights(self, levels: Tensor, y: Tensor) -> Tensor | None:
        """Weights (n,) to draw rows by, given all ``levels`` and ``y``; None for each row once an epoch."""
        return None

    def begin_epoch(self, batches: Iterable[Batch]) -> None:
        """Do what comes before an epoch, with its ``batches`` in another order; by default, nothing."""

    def objective(self, loss: Tensor, depths: tuple[Tensor, ...], logits: Tensor, batch: Batch) -> Tensor:
        """The scalar to descend on; by default the loss.

        Parameters
        ----------
        loss : Tensor
            Mean cross-entropy of the batch.
        depths : tuple of Tensor
            Representations, as the network made them: in bfloat16 where that is the precision.
        logits : float32 Tensor of shape (n, n_classes)
        batch : Batch

        Returns
        -------
        Tensor
        """
        return loss

    def _backpropagate(self, passed: ForwardPass, batch: Batch, scale: float | Tensor) -> None:
        """Backpropagate `objective`, multiplied by the ``scale`` of float16, in one pass through the encoder."""
        (self.objective(passed.task_loss, passed.representations, passed.logits, batch) * scale).backward()

    def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
        """Take one step of the optimisers.

        Parameters
        ----------
        batch : Batch
        draw : callable that gives further training batches
        lr : float

        Returns
        -------
        StepResult
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        batch = replace(batch, y=keep_range(batch.y))
        passed = run_forward(
            self.model.depths, self.model.head, batch.x, batch.y, batch.c, adjustment=self.adjustment,
            autocast=self.autocast(), task_loss=lambda logits, y: self.problem.task_loss(logits, y) * self.share,
        )  # fmt: skip
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        scaled = self.scaler.is_enabled()
        self._backpropagate(passed, batch, self.scaler.scale(passed.task_loss.new_ones(())) if scaled else 1.0)
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        if self.max_grad_norm is not None:
            length = nn.utils.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
            if not scaled:
                refuse_gradients([*self.model.parameters()], length)
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        return summarize_step(passed, batch.y, self.estimates, () if self.penalty is None else self.penalty.factors)

    def move_state(self, device: torch.device | str) -> None:
        """Move tensors that are in no module to ``device``; those of modules and optimisers the trainer moves."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))

    @torch.no_grad()
    def representations(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z (n, dim) and logits (n, n_classes), both float32 and where ``x`` is, wherever the model is."""
        with self.autocast():
            z = self.model.depths(x.to(self.device))[-1]
            logits = self.model.head(z)
        return z.float().to(x.device), logits.float().to(x.device)

    def state_dict(self) -> dict[str, Any]:
        """Collect what a resumed run needs: modules, optimisers, generators, and whatever numbers a step changes."""
        state: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, _STATEFUL):
                state[name] = value.state_dict()
            elif isinstance(value, torch.Generator):
                state[name] = value.get_state()
            elif all(isinstance(v, _PLAIN) for v in (value if isinstance(value, tuple) else (value,))):
                state[name] = value
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the ``state`` that `state_dict` saved, in an equal method prepared with the same data."""
        if not set(self.state_dict()) <= set(state) or not all(hasattr(self, name) for name in state):
            raise InputError(f"the state is that of another method than {self.name}")
        for name, value in state.items():
            mine = getattr(self, name)
            try:
                if isinstance(mine, _STATEFUL):
                    mine.load_state_dict(value)
                elif isinstance(mine, torch.Generator):
                    mine.set_state(value)
                else:
                    setattr(self, name, value)
            except (RuntimeError, ValueError, KeyError) as error:
                raise InputError(f"{name} of the state does not fit this {self.name}: {error}") from error
