"""The interface that all methods share: a model, its settings, and one training step."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..networks.classifier import Classifier
from .data import Batch, Problem
from .step import StepResult

Draw = Callable[[], Batch]
Precision = Literal["float32", "bfloat16"]
_PLAIN = (Tensor, bool, int, float)
_STATEFUL = (nn.Module, torch.optim.Optimizer)


@dataclass(eq=False, repr=False)
class Method(ABC):
    """One way of training a classifier. A subclass with settings of its own is a dataclass too.

    Parameters
    ----------
    model : Classifier
        Has ``depths(x)``, the representations with z last, and ``head(z)``, the logits.
    problem : Problem, optional
        Default is Colored MNIST's.
    lr : float, default 3e-3
    precision : {"float32", "bfloat16"}
        Of the network's forward pass; losses and all information are computed in float32.
    seed : int, default 0
        Of whatever the method draws beside the model.

    Raises
    ------
    InputError
        An argument that cannot be used; a state that is that of another method or network.
    """

    name: ClassVar[str]
    batch_size: ClassVar[int] = 256
    cosine: ClassVar[bool] = True
    masks_missing: ClassVar[bool] = False  # whether images whose attribute is missing can be trained on

    model: Classifier
    problem: Problem = field(default_factory=Problem)
    _: KW_ONLY
    lr: float = 3e-3
    precision: Precision = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "bfloat16"):
            raise InputError(f"precision must be 'float32' or 'bfloat16', got {self.precision!r}")
        if not self.lr > 0:
            raise InputError(f"lr must be positive, got {self.lr}")
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=self.lr)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def autocast(self) -> AbstractContextManager[object]:
        """Make a context for the network's forward pass."""
        return nullcontext() if self.precision == "float32" else torch.autocast(self.device.type, torch.bfloat16)

    def prepare(self, levels: Tensor, c: Tensor, y: Tensor) -> None:  # noqa: B027 - optional
        """Look once at the attribute and label of the whole training set; by default, do not.

        Parameters
        ----------
        levels, c, y : Tensor, as in `Batch`
        """

    def sampling_weights(self, levels: Tensor, y: Tensor) -> Tensor | None:
        """Weights (n,) to draw rows by, given all ``levels`` and ``y``; None for each row once an epoch."""
        return None

    def begin_epoch(self, batches: Iterable[Batch]) -> None:  # noqa: B027 - optional
        """Do what comes before an epoch, with its ``batches`` in another order; by default, nothing."""

    @abstractmethod
    def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
        """Take one step of the optimiser.

        Parameters
        ----------
        batch : Batch
        draw : callable that gives further training batches
        lr : float

        Returns
        -------
        StepResult
        """

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

    def set_lr(self, lr: float) -> None:
        """Set the learning rate ``lr`` of the optimiser."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
