"""scikit-learn estimators: give a table, its labels and what must not be learned.

>>> import numpy as np
>>> from midebias.sklearn import MIDebiasClassifier
>>> rng = np.random.default_rng(0)
>>> sex = rng.integers(2, size=400)
>>> X = rng.normal(size=(400, 3)) + sex[:, None]
>>> y = (X[:, 0] + rng.normal(size=400) > 0.5).astype(int)
>>> model = MIDebiasClassifier(criterion="independence", random_state=0).fit(X, y, sensitive_features=sex)
>>> model.predict(X[:2]).shape, model.transform(X[:2]).shape    # the attribute is not needed any more
((2,), (2, 2))
"""

from .classifier import MIDebiasClassifier
from .regressor import MIDebiasRegressor
from .transformer import MIDebiasTransformer

__all__ = ["MIDebiasClassifier", "MIDebiasRegressor", "MIDebiasTransformer"]
