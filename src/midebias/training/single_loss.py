"""Methods that take one optimiser step on one loss."""

from torch import Tensor, nn

from .data import Batch
from .method import Draw, Method
from .step import StepResult


class SingleLoss(Method):
    """A method whose step is one step of Adam on one loss: cross-entropy, unless `objective` says otherwise.

    Optimiser, batch size and learning rate are this library's and the same for all such methods, whatever
    their papers used; what the papers say about the loss itself is followed.

    Parameters
    ----------
    model : Classifier
    problem, lr, precision, seed : optional
        See `Method`.

    Attributes
    ----------
    estimates : tuple of float
        MI estimates in nats of the last step, of methods that have some.
    """

    estimates: tuple[float, ...] = ()

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
        loss = nn.functional.cross_entropy(logits, batch.y)
        objective = self.objective(loss, depths, logits, batch)
        self.optimizer.zero_grad()
        objective.backward()
        self.optimizer.step()
        return StepResult(float(loss.detach()), int((logits.argmax(1) == batch.y).sum()), self.estimates)
