"""Estimators of mutual information between a representation z and an attribute c, in nats.

Each is called with ``(z, c, groups=None)``: z of shape (n, dim), c the encoded attribute of shape
(n, attribute_dim), groups the integer labels conditioned on. With groups the estimate is I(Z;C|G).

>>> import torch
>>> from midebias.estimators import GaussianMI
>>> generator = torch.Generator().manual_seed(0)
>>> c = torch.randn(4000, 1, generator=generator)
>>> z = 0.8 * c + 0.6 * torch.randn(4000, 1, generator=generator)   # correlation 0.8: 0.511 nats
>>> round(float(GaussianMI()(z, c)), 1)
0.5
"""

from .barber_agakov import BarberAgakov
from .club import CLUB
from .discrete import DiscreteMI
from .donsker_varadhan import DonskerVaradhan
from .f_divergence import NWJ, SMILE, JensenShannon
from .gaussian import GaussianMI
from .info_nce import InfoNCE
from .interface import Estimator
from .learned_gaussian import LearnedGaussianMI
from .prequential import PrequentialMI

__all__ = [
    "CLUB",
    "NWJ",
    "SMILE",
    "BarberAgakov",
    "DiscreteMI",
    "DonskerVaradhan",
    "Estimator",
    "GaussianMI",
    "InfoNCE",
    "JensenShannon",
    "LearnedGaussianMI",
    "PrequentialMI",
]
