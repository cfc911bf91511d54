import torch
from torch import Tensor

from midebias.estimators.kernel_predictors import KernelPredictors


def correlate(z: Tensor, target: Tensor) -> float:
    """Correlation of a target with what is predicted of the last rows, all others learned."""
    predictors = KernelPredictors(z.shape[1], 1, memory=4096.0, seed=0)
    for rows in torch.arange(len(z) - 500).split(500):
        predictors.learn(z[rows], target[rows])
    new = slice(len(z) - 500, None)
    halves = torch.randperm(500, generator=torch.Generator().manual_seed(0)).tensor_split(2)
    (told,) = predictors.predict(z[new], target[new], halves).values()
    return float(torch.corrcoef(torch.cat([told, target[new]], dim=1).T)[0, 1])


def test_a_smooth_function_of_a_rotated_direction_is_predicted_and_noise_is_not() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(4000, 6, generator=generator)
    z = z / z.square().mean().sqrt()
    along = z @ torch.nn.functional.normalize(torch.randn(6, 1, generator=generator), dim=0)
    target = (2 * along).cos()
    target = target - target.mean()
    assert correlate(z, target) > 0.5
    assert abs(correlate(z, target[torch.randperm(4000, generator=generator)])) < 0.13
