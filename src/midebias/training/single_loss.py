"""Methods that take one optimiser step on one loss."""

import torch
from torch import Tensor

from .data import Batch
from .method import Draw, Method
from .step import StepResult


class SingleLoss(Method):
    """A method whose step is one step of Adam on one loss: cross-entropy, unless `objective` says otherwise.

    The loss is that of a method's paper. Optimiser, batch size and learning rate are the same for all such methods.

    Attributes
    ----------
    estimates : tuple of float
        MI estimates in nats of the last step, of methods that have some.
    optimizers : list of Optimizer
        Those that step on the gradient of `objective`: the model's, and what a method adds.
    """

    estimates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.optimizers: list[torch.optim.Optimizer] = [self.optimizer]

    def objective(self, loss: Tensor, depths: tuple[Tensor, ...], logits: Tensor, batch: Batch) -> Tensor:
        """The scalar to descend on.

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

    def step(self, batch: Batch, draw: Draw, lr: float) -> StepResult:
        """See `Method.step`."""
        self.set_lr(lr)
        with self.autocast():
            depths = self.model.depths(batch.x)
            logits = self.model.head(depths[-1])
        logits = logits.float()
        loss = self.problem.task_loss(logits, batch.y)
        objective = self.objective(loss, depths, logits, batch)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        objective.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return StepResult(float(loss.detach()), int((logits.argmax(1) == batch.y).sum()), self.estimates)
