"""One training step: task and penalty, one backward pass, one step of the optimiser. Every door runs this one."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..arguments import check_kind
from ..deferred_reads import is_asynchronous, refuse
from ..devices import disable_autocast
from ..errors import InputError
from ..marginals import keep_range
from ..networks.classifier import Classifier
from ..penalty import MIPenalty
from .logit_adjustment import LogitAdjustment

Encoder = Callable[[Tensor], Tensor | Sequence[Tensor]]


class StepResult:
    """What a step did; its numbers stay where they are until one is asked for.

    Parameters
    ----------
    loss : float or scalar Tensor
        Of the task.
    correct : int or scalar Tensor
        Correct predictions; 0 where y does not hold labels.
    mi : sequence of float or scalar Tensor
        Estimates in nats, one per representation.
    weights : sequence of float or scalar Tensor
        What the gradient of each estimate was multiplied by.

    Attributes
    ----------
    numbers : float64 Tensor
        Loss, correct, and all estimates, then all weights.
    n_estimates : int
    loss, correct, mi, weights : float, int, and tuple of float
    """

    def __init__(
        self, loss: float | Tensor, correct: int | Tensor, mi: Sequence[float | Tensor] = (),
        weights: Sequence[float | Tensor] = (),
    ) -> None:  # fmt: skip
        first = torch.as_tensor(loss).detach().double()  # on its device a number is made without waiting for it
        more = (correct, *mi, *weights)
        every = (v.detach().double() if isinstance(v, Tensor) else first.new_full((), v) for v in more)
        self.numbers, self.n_estimates = torch.stack([first, *every]), len(mi)

    @property
    def loss(self) -> float:  # noqa: D102
        return float(self.numbers[0])

    @property
    def correct(self) -> int:  # noqa: D102
        return int(self.numbers[1])

    @property
    def mi(self) -> tuple[float, ...]:  # noqa: D102
        return tuple(self.numbers[2 : 2 + self.n_estimates].tolist())

    @property
    def weights(self) -> tuple[float, ...]:  # noqa: D102
        return tuple(self.numbers[2 + self.n_estimates :].tolist())


@dataclass(frozen=True)
class ForwardPass:
    """Representations (z last), float32 logits and the task's loss of one batch, before backpropagation."""

    representations: tuple[Tensor, ...]
    logits: Tensor
    task_loss: Tensor

    def select(self, penalty: MIPenalty) -> Tensor | tuple[Tensor, ...]:
        """Select as many representations as the ``penalty`` was built for, from the last: z, or several."""
        chosen = self.representations[-len(penalty.shapes) :]
        return chosen[0] if len(chosen) == 1 else chosen


def apply_network(
    encoder: Encoder, head: Callable[[Tensor], Tensor] | None, x: Tensor
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Representations of x, z last, and logits; see `train_step` for the arguments."""
    if isinstance(encoder, Classifier):
        representations = encoder.depths(x)
        return representations, encoder.head(representations[-1])
    encoded = encoder(x)
    representations = (encoded,) if isinstance(encoded, Tensor) else tuple(encoded)
    if head is not None:
        return representations, head(representations[-1])
    if len(representations) < 2:
        raise InputError("encoder must return z and logits, as a Tap does, where there is no head")
    return representations[:-1], representations[-1]


def run_forward(
    encoder: Encoder,
    head: Callable[[Tensor], Tensor] | None,
    x: Tensor,
    y: Tensor,
    c: Tensor,
    *,
    task_loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    adjustment: LogitAdjustment | None = None,
    autocast: AbstractContextManager[object] | None = None,
) -> ForwardPass:
    """Encode, predict, and compute the task's loss; see `train_step` for the arguments."""
    with nullcontext() if autocast is None else autocast:
        representations, logits = apply_network(encoder, head, x)
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    with disable_autocast(logits.device):
        adjusted = logits if adjustment is None else adjustment(logits, c, y)
        return ForwardPass(representations, logits, task_loss(adjusted, y))


def run_backward(
    passed: ForwardPass,
    penalty: MIPenalty | None,
    y: Tensor,
    c: Tensor,
    *,
    mi_weight: float | None = 1.0,
    accumulated: int = 1,
    scale: float | Tensor = 1.0,
) -> None:
    """Backpropagate task and penalty in one pass, both divided by the batches that make one step of the optimiser.

    Both are multiplied by the ``scale`` of a GradScaler, which is no part of the penalty's balance.
    """
    loss = passed.task_loss * (scale / accumulated)
    if penalty is None:
        loss.backward()
    elif mi_weight is None:
        # It follows the task's gradient, however divided.
        penalty.backward(loss, passed.select(penalty), c, y, scale=scale)
    else:
        (loss + mi_weight * scale / accumulated * penalty(passed.select(penalty), c, y)).backward()


def train_step(
    encoder: Encoder,
    head: Callable[[Tensor], Tensor] | None,
    penalty: MIPenalty | None,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    c: Tensor,
    *,
    task_loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    mi_weight: float | None = 1.0,
    adjustment: LogitAdjustment | None = None,
    autocast: AbstractContextManager[object] | None = None,
    max_grad_norm: float | None = None,
) -> StepResult:
    """One step of ``optimizer`` on task loss and penalty.

    Parameters
    ----------
    encoder : callable
        x -> z, or x -> several representations with z last. A penalty built for fewer is given the last ones.
    head : callable or None
        z -> logits (n, n_classes), or predictions. None where ``encoder`` gives them, too: a `midebias.networks.Tap`,
        which returns them last, or a `Classifier`.
    penalty : MIPenalty or None
        None trains on the task alone.
    optimizer : Optimizer
        Of encoder and head; the penalty keeps one of its own.
    x, y, c : Tensor
        Inputs, labels and attribute; c as the penalty's attribute reads it.
    task_loss : callable, default cross-entropy
        (logits, y) -> scalar, the mean over the batch.
    mi_weight : float or None, default 1.0
        The weight of a nat: ``task_loss + mi_weight * penalty(z, c, y)`` is descended on. With None,
        ``penalty.backward(task_loss, z, c, y)`` balances the gradients by the penalty's ``gradient_ratio`` instead.
    adjustment : LogitAdjustment, optional
        Adds log p(y|c)/p(y) to the logits in the loss.
    autocast : context manager, optional
        Of encoder and head; losses and all information are computed in float32.
    max_grad_norm : float, optional
        Gradients of the optimiser's parameters are clipped to this length.

    Returns
    -------
    StepResult

    Raises
    ------
    InputError
        As `MIPenalty` does.
    RuntimeError
        When ``max_grad_norm`` is given and the gradients are not finite; on a GPU in a later step, once it is known.
    """
    for name, value, hint in (("x", x, Tensor), ("y", y, Tensor), ("mi_weight", mi_weight, float | None)):
        check_kind(name, value, hint)
    y = keep_range(y)
    passed = run_forward(encoder, head, x, y, c, task_loss=task_loss, adjustment=adjustment, autocast=autocast)
    optimizer.zero_grad()
    run_backward(passed, penalty, y, c, mi_weight=mi_weight)
    if max_grad_norm is not None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        length = nn.utils.clip_grad_norm_(parameters, max_grad_norm)
        refuse_gradients(parameters, length)
    optimizer.step()
    return summarize_step(passed, y, *read_penalty(penalty, mi_weight))


def refuse_gradients(parameters: Sequence[Tensor], length: Tensor) -> None:
    """Refuse gradients whose ``length`` is not finite; a GPU's are zeros until that is known, and harm no weights."""
    finite = length.isfinite()
    if is_asynchronous(length):
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.copy_(torch.where(finite, parameter.grad, 0.0))
    refuse(~finite, RuntimeError("the gradients are not finite"))


def summarize_step(
    passed: ForwardPass, y: Tensor, mi: Sequence[float | Tensor] = (), weights: Sequence[float | Tensor] = ()
) -> StepResult:
    """Record what a step did, with the estimates of its penalty and what their gradients were multiplied by."""
    logits, right = passed.logits, passed.logits.new_zeros(())
    if logits.ndim == 2 and not y.is_floating_point():
        right = (logits.argmax(1) == y).sum()
    return StepResult(passed.task_loss, right, mi, weights)


def read_penalty(
    penalty: MIPenalty | None, mi_weight: float | None
) -> tuple[Sequence[float | Tensor], Sequence[float | Tensor]]:
    """Estimates of the latest call, and what their gradients were multiplied by; see `train_step`."""
    if penalty is None:
        return (), ()
    weights = penalty.factors if mi_weight is None else [mi_weight * m for m in penalty.weigh_budgets()]
    return penalty.readings.unbind(), weights
