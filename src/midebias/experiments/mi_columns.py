"""The columns of a tabular row that hold information about the attribute, in nats."""

import torch
from torch import Tensor

from ..attributes import Attribute, Categorical
from ..errors import InputError
from ..leakage.network_probe import probe
from ..tabular.leakage import measure_leakage

_BINS = 8


def measure_mi_columns(z: Tensor, c: Tensor, attribute: Attribute, *, seed: int = 0) -> dict[str, float | None]:
    """Measure I(Z;C) in nats of rows (n, dim) that were not trained on; rows without a value of ``c`` are left out.

    ``mi`` is the held-out lower bound of a fresh `probe` (None where there is too little to train one); of quantities,
    about the eighth that C's first column lies in. ``mi_gaussian`` is the closed form on random Fourier features.
    """
    values, present = attribute.encode(c)
    if isinstance(attribute, Categorical):
        levels = c[present].reshape(-1).long()
    else:
        first = values[present].reshape(int(present.sum()), -1)[:, 0].double()
        levels = torch.bucketize(first, first.quantile(torch.linspace(0, 1, _BINS + 1, dtype=torch.double)[1:-1]))
    try:
        bound = probe(z[present].float(), levels, random_state=seed).mi.value
    except InputError:  # fewer than 100 rows, or one level
        bound = None
    return {"mi": bound, "mi_gaussian": measure_leakage(z, c, attribute, None)}
