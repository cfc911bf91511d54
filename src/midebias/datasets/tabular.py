"""Adult and German credit: two tables on which fairness is measured, bundled and verified."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..arguments import checked
from ..errors import InputError
from .files import read_file

if TYPE_CHECKING:
    import pandas as pd


_ADULT = [
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship", "race",
    "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country",
]  # fmt: skip
_ADULT_NUMBERS = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
_GERMAN = [
    "checking_status", "duration", "credit_history", "purpose", "credit_amount", "savings", "employment",
    "installment_rate", "personal_status", "other_debtors", "residence_since", "property", "age",
    "other_installments", "housing", "existing_credits", "job", "dependents", "telephone", "foreign_worker",
]  # fmt: skip


@checked
def fetch_adult(
    *, split: Literal["train", "test", "all"] = "train", attribute: str | Sequence[str] = "sex",
    include_attribute: bool = False, as_frame: bool = True, root: str | Path | None = None,
) -> Any:  # fmt: skip
    """Adult (census income): does somebody earn more than 50,000 dollars a year?

    Parameters
    ----------
    split : {"train", "test", "all"}, default "train"
        The official files: 32,561 and 16,281 rows; "all" is both, training rows first.
    attribute : str or sequence of str, default "sex"
        Columns that become ``sensitive_features`` and leave ``data``; any of the 14, such as ``("sex", "race")``.
    include_attribute : bool, default False
        Keep them in ``data`` as well.
    as_frame : bool, default True
        pandas frames; else arrays, ``data`` and ``sensitive_features`` of objects.
    root : path, optional
        Folder of the files; default is the environment variable ``MIDEBIAS_DATA``, else the package.

    Returns
    -------
    sklearn.utils.Bunch
        ``data`` (n, 13): text columns are categories, the values missing in the file ("?") are missing.
        ``target`` (n,): integers, 1 for more than 50,000. ``sensitive_features`` (n, k), ``feature_names``,
        ``target_names``, ``frame`` (everything, or None), ``DESCR``.

    Raises
    ------
    InputError
        Unknown split or column.
    DataError
        A file is missing or has another SHA-256 sum.

    References
    ----------
    Becker and Kohavi, "Adult", UCI Machine Learning Repository, 1996, doi 10.24432/C5XW20. CC BY 4.0.

    Examples
    --------
    >>> from midebias.datasets import fetch_adult
    >>> adult = fetch_adult(split="test")
    >>> adult.data.shape, int(adult.target.sum()), list(adult.sensitive_features)
    ((16281, 13), 3846, ['sex'])
    """
    import pandas as pd
    from sklearn.utils import Bunch

    files = {"train": ["adult.data"], "test": ["adult.test"], "all": ["adult.data", "adult.test"]}
    if split not in files:
        raise InputError(f"split must be 'train', 'test' or 'all', got {split!r}")
    content = b"".join(read_file(f"adult/{name}", root) for name in files[split])
    frame = pd.read_csv(
        io.BytesIO(content), names=[*_ADULT, "income"], skipinitialspace=True, na_values=["?"],
        comment="|",  # the test file opens with one
    )  # fmt: skip
    frame[list(_ADULT_NUMBERS)] = frame[list(_ADULT_NUMBERS)].astype("float64")
    for name in frame.columns.difference([*_ADULT_NUMBERS, "income"]):
        frame[name] = frame[name].astype("category")
    target = (frame.pop("income").str.rstrip(".") == ">50K").astype("int64").rename("income")
    parts = _split(frame, target, frame, attribute, include_attribute, as_frame)
    return Bunch(**parts, target_names=["<=50K", ">50K"], DESCR=fetch_adult.__doc__)


@checked
def fetch_german(
    *, attribute: Literal["age", "sex"] | Sequence[str] = "age", include_attribute: bool = False, as_frame: bool = True,
    root: str | Path | None = None,
) -> Any:  # fmt: skip
    """Statlog German credit: 1,000 loans, good risk or bad? No official split; five-fold cross-validation is usual.

    Parameters
    ----------
    attribute : {"age", "sex"} or a sequence of them, default "age"
        "age": over 25 or not. "sex": read from personal status. The column it comes from leaves ``data``.
    include_attribute : bool, default False
        Keep that column in ``data``.
    as_frame : bool, default True
    root : path, optional
        As in `fetch_adult`.

    Returns
    -------
    sklearn.utils.Bunch
        As of `fetch_adult`: ``data`` (1000, 19), ``target`` with 1 for good and 0 for bad, ``sensitive_features``.

    Raises
    ------
    InputError
        Another attribute.
    DataError
        The file is missing or has another SHA-256 sum.

    References
    ----------
    Hofmann, "Statlog (German Credit Data)", UCI Machine Learning Repository, 1994, doi 10.24432/C5NC77. CC BY 4.0.
    Kamiran and Calders, "Classifying without discriminating", 2009, for the limit of 25 years.

    Examples
    --------
    >>> from midebias.datasets import fetch_german
    >>> german = fetch_german()
    >>> german.data.shape, int(german.target.sum()), german.sensitive_features["age"].value_counts().to_dict()
    ((1000, 19), 700, {'over 25': 810, '25 or under': 190})
    """
    import pandas as pd
    from sklearn.utils import Bunch

    frame = pd.read_csv(io.BytesIO(read_file("german/german.data", root)), sep=" ", names=[*_GERMAN, "risk"])
    target = (frame.pop("risk") == 1).astype("int64")
    for name in frame.columns:
        frame[name] = frame[name].astype("float64" if pd.api.types.is_numeric_dtype(frame[name]) else "category")
    age = (frame["age"] > 25).map({True: "over 25", False: "25 or under"})
    sex = frame["personal_status"].isin(("A92", "A95")).map({True: "female", False: "male"})
    sensitive = pd.DataFrame({"age": pd.Categorical(age), "sex": pd.Categorical(sex)})
    parts = _split(frame, target, sensitive, attribute, include_attribute, as_frame, sex="personal_status")
    return Bunch(**parts, target_names=["bad", "good"], DESCR=fetch_german.__doc__)


def _split(
    frame: pd.DataFrame, target: pd.Series[Any], sensitive: pd.DataFrame, attribute: str | Sequence[str],
    include: bool, as_frame: bool, **sources: str,
) -> dict[str, Any]:  # fmt: skip
    """Parts of a Bunch; ``sources`` are columns that attributes are made from, where they have other names."""
    chosen = [attribute] if isinstance(attribute, str) else list(attribute)
    if not chosen or not set(chosen) <= set(sensitive.columns):
        raise InputError(f"attribute must be of {', '.join(map(repr, sensitive.columns))}, got {attribute!r}")
    c = sensitive[chosen].copy()
    data = frame if include else frame.drop(columns=[sources.get(a, a) for a in chosen])
    return {
        "data": data if as_frame else data.astype(object).to_numpy(),
        "target": target if as_frame else target.to_numpy(),
        "sensitive_features": c if as_frame else c.astype(object).to_numpy(),
        "frame": data.assign(target=target) if as_frame else None,
        "feature_names": list(data.columns),
    }
