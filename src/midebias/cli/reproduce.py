"""``midebias reproduce``: a table of the documentation anew, or on from where it was stopped."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ..datasets import BIASED_MNIST_RHOS, COLORED_MNIST_VARIANCES
from ..errors import DataError, InputError
from ..experiments.comparison import CEILING, Comparison, plan_cells
from ..experiments.run_folder import read_config
from ..methods import METHODS
from .command_line import parse_numbers
from .compare import REFERENCE_STEPS, begin_comparison, read_methods, run_comparison
from .options import Config, Jobs, Only, OutputDir, Resume
from .reproduce_estimators import reproduce_estimators
from .reproduce_faces import reproduce_faces
from .run_grid import Reproduction
from .trainer_options import Accelerator, Precision

_Table = StrEnum(
    "_Table",
    {
        "colored_mnist": "colored-mnist", "biased_mnist": "biased-mnist", "imdb": "imdb", "fairness": "fairness",
        "estimators": "estimators",
    },
)  # fmt: skip
_Network = StrEnum("_Network", ["paper", "lnl"])
_IMAGES = (_Table.colored_mnist, _Table.biased_mnist)
# Which tables an option is of; those that are not here are of all.
_OF = {
    "network": _IMAGES, "epochs": (*_IMAGES, _Table.imdb), "public": (_Table.estimators,),
    **dict.fromkeys(("accelerator", "precision"), (*_IMAGES, _Table.imdb)),
    **dict.fromkeys(("root", "lists", "encoder", "weights", "image_size"), (_Table.imdb,)),
}  # fmt: skip


def reproduce(
    table: Annotated[_Table | None, Argument(help="Which table.")] = None,
    quick: Annotated[bool, Option("--quick", help="One seed, fewer settings, less data: minutes, not a day.")] = False,
    network: Annotated[
        _Network | None, Option(help="The paper's, which is the default, or that of Learning Not to Learn.")
    ] = None,
    epochs: Annotated[int | None, Option(min=1, help="Passes over the training set; default 5.")] = None,
    seeds: Annotated[str | None, Option(help="Whole numbers joined by commas; default 0,1,2.")] = None,
    seed: Annotated[int | None, Option(min=0, help="One seed instead of --seeds.")] = None,
    root: Annotated[Path | None, Option(help="The imdb_crop folder. imdb only.")] = None,
    lists: Annotated[
        Path | None, Option(help="Folder of eb1.txt, eb2.txt and test.txt, the authors' split. imdb only.")
    ] = None,
    encoder: Annotated[str | None, Option(help="resnet50, which is the default, or small. imdb only.")] = None,
    weights: Annotated[
        str | None, Option(help="'pretrained' or a file with a state dict of resnet50. imdb only.")
    ] = None,
    image_size: Annotated[int | None, Option(min=8, help="Pixels a side; default 224. imdb only.")] = None,
    accelerator: Accelerator = None,
    precision: Precision = None,
    public: Annotated[
        Path | None, Option(help="A Python file with other people's estimators, run beside ours. estimators only.")
    ] = None,
    config: Config = None,
    resume: Resume = None,
    only: Only = None,
    jobs: Jobs = 1,
    output_dir: OutputDir = Path("runs"),
) -> None:
    """Make a table anew: all methods, all settings, three seeds, published figures beside ours.

    'estimators' is that of `estimate_mi` beside known mutual information; --only names some of its tasks.

    imdb trains plain, the reference recipe and ours on EB1 and EB2 of the faces in --root.

    Example: midebias reproduce colored-mnist --quick
    """
    if table is None and resume is None:
        raise InputError("name a table, or a run folder with --resume")
    held = None if resume is None else _read_table_name(resume)
    if held is not None and table not in (None, held):
        raise InputError(f"--resume {resume} holds the table {held}, not {table}")
    table = held or table
    given = locals()
    for option, of in _OF.items():
        if table is not None and given[option] is not None and table not in of:
            raise InputError(f"--{option.replace('_', '-')} applies to {' and '.join(of)} only")
    chosen = str(seed) if seed is not None else seeds or ("0" if quick else "0,1,2")
    names = None if only is None else only.split(",")
    asked = Reproduction(parse_numbers(chosen, int, "--seeds"), quick, names, jobs, resume, output_dir)
    device = {"accelerator": accelerator and str(accelerator), "precision": precision and str(precision)}
    if table is _Table.imdb:
        reproduce_faces(
            asked, root=root, lists=lists, encoder=encoder or "resnet50", weights=weights,
            image_size=image_size or 224, epochs=epochs or 5, **device,
        )  # fmt: skip
    elif table is _Table.fairness:
        from .reproduce_fairness import reproduce_fairness  # needs the benchmark extra

        reproduce_fairness(asked)
    elif table is _Table.estimators:
        reproduce_estimators(asked, public=public)
    else:
        reproduce_images(asked, table, network=network or _Network.paper, epochs=epochs or 5, **device)


def reproduce_images(
    given: Reproduction, table: str | None, *, network: _Network, epochs: int, **device: str | None
) -> None:
    """All methods in all settings of a digit data set, with the ceiling and the published figures."""
    only = None if given.only is None else read_methods(",".join(given.only))
    if given.resume is not None:
        run_comparison(Comparison.resume(given.resume), only, given.jobs)
        return
    every: Sequence[float] = COLORED_MNIST_VARIANCES if table == "colored-mnist" else BIASED_MNIST_RHOS
    cells = plan_cells(
        str(table), [every[len(every) // 2]] if given.quick else list(every), list(METHODS), given.seeds,
        epochs=epochs, network=str(network), limit=6_000 if given.quick else None,
        reference_steps=24 if given.quick else REFERENCE_STEPS, **device,
    )  # fmt: skip
    # One is enough: without the bias the settings hardly differ.
    cells.append(replace(cells[0], method=CEILING))
    command = given.write_command(str(table), network=network, epochs=epochs, **device)
    run_comparison(begin_comparison(f"reproduce-{table}", cells, command, given.output_dir), only, given.jobs)


def _read_table_name(folder: Path) -> _Table | None:
    """Which table a run folder holds, by the command that its record names; None where it names none."""
    with suppress(DataError):
        words = read_config(folder, "table", lambda config: str(config["command"]).split())
        if words[:2] == ["midebias", "reproduce"] and words[2] in set(_Table):
            return _Table(words[2])
    return None
