"""``midebias compare``: methods side by side on images, over settings and seeds."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from ..datasets import read_palette
from ..errors import InputError
from ..experiments.comparison import CEILING, Comparison, ImageCell, plan_cells, tabulate_comparison
from ..experiments.image_methods import check_network, choose_image_size, parse_method
from ..experiments.own_images import find_source
from ..experiments.planted_images import COLORED, PLANTED
from ..experiments.report_content import describe_comparison, describe_training, write_report
from ..methods import METHODS
from ..reporting.comparison_figure import draw_comparison
from ..reporting.training_figure import draw_training
from . import options as shared
from .command_line import collect_options, parse_numbers, write_command
from .console import show_files, show_plain_table
from .run_grid import run_grid
from .trainer_options import Accelerator, Precision

REFERENCE_STEPS = 400  # an epoch of the recipe costs dozens of ours

_TITLES = {
    False: "Accuracy on the test",
    True: "Accuracy on held-out training images, weighted so that the attribute says nothing; I(Z;C|Y)",
}


def compare(
    dataset: Annotated[
        str | None,
        Argument(help=f"{', '.join(PLANTED)}, an .npz with x, y, c, a folder of images, or a public data set."),
    ] = None,
    config: shared.Config = None,
    methods: Annotated[
        str,
        Option(
            help="Names joined by commas, or 'all'; options as in mib:gradient_ratio=1. "
            "'ceiling' is plain without the bias."
        ),
    ] = "plain,mib",
    settings: Annotated[
        str | None, Option(help="Variances or rhos joined by commas; default is the data set's hardest.")
    ] = None,
    seeds: Annotated[str, Option(help="Whole numbers joined by commas.")] = "0,1,2",
    seed: Annotated[int | None, Option(min=0, help="One seed instead of --seeds.")] = None,
    epochs: Annotated[int, Option(min=1, help="Passes over the training set.")] = 5,
    network: shared.Network = "paper",
    weights: shared.NetworkWeights = None,
    limit: Annotated[int | None, Option(min=512, help="First so many training images only.")] = None,
    reference_steps: Annotated[
        int, Option(min=1, help="Steps after which the reference recipe ends.")
    ] = REFERENCE_STEPS,
    palette: shared.PaletteFile = None,
    image_size: shared.ImageSize = None,
    label: shared.LabelColumn = None,
    attribute: shared.AttributeColumn = None,
    root: shared.ImageRoot = None,
    table: shared.ImageTableFile = None,
    image: shared.ImageColumn = None,
    split_by: shared.SplitColumn = None,
    class_weights: shared.ClassWeights = False,
    batch_size: shared.BatchSize = None,
    learning_rate: shared.LearningRate = None,
    accelerator: Accelerator = None,
    precision: Precision = None,
    held_out: Annotated[
        bool, Option("--held-out", help="Judge on a quarter of the training images, biased as they are: to choose by.")
    ] = False,
    resume: shared.Resume = None,
    only: shared.Only = None,
    jobs: shared.Jobs = 1,
    output_dir: shared.OutputDir = Path("runs"),
) -> None:
    """Compare methods on one data set: same network, same data, same test; one row per method, setting and seed.

    Example: midebias compare biased-mnist --methods plain,group_dro,mib --settings 0.995,0.990 --seeds 0,1
    """
    options = collect_options(
        locals(), "dataset", "methods", "settings", "seeds", "seed", "config", "resume", "only", "jobs", "output_dir"
    )
    if resume is not None:
        run_comparison(Comparison.resume(resume), None if only is None else read_methods(only), jobs)
        return
    if only is not None:
        raise InputError("--only goes with --resume; --methods names those of a new comparison")
    if dataset is None:
        raise InputError("name a data set, or a run folder with --resume")
    seeds = seeds if seed is None else str(seed)
    command = write_command(
        f"compare {shlex.quote(dataset)}", methods=methods, settings=settings, seeds=seeds, **options
    )
    check_network(network, weights)
    options["image_size"] = choose_image_size(image_size, network, dataset)
    options["palette"] = None if palette is None else read_palette(palette)
    cells = plan_cells(
        dataset,
        _read_settings(dataset, settings),
        read_methods(methods),
        parse_numbers(seeds, int, "--seeds"),
        **options,
    )
    run_comparison(begin_comparison("compare", cells, command, output_dir), None, jobs)


def begin_comparison(name: str, cells: Sequence[ImageCell], command: str, output_dir: Path) -> Comparison:
    """A comparison in a new run folder, which is made once the cells are known to be sound."""
    comparison = Comparison(output_dir, cells, command=command)
    for cell in {(c.setting, c.method == CEILING): c for c in cells}.values():
        cell.check()
    data = cells[0].load(memory=0)  # enough to see what does not fit
    for cell in {c.method: c for c in cells}.values():
        cell.prepare(data)
    return comparison.begin(name)


def run_comparison(comparison: Comparison, only: Sequence[str] | None, jobs: int) -> None:
    """Run what is missing, of the methods in ``only``; write pictures, page and table."""

    def report(folder: Path, document: dict[str, Any]) -> None:
        traces = comparison.traces()
        if traces:
            draw_training(folder / "training.png", traces)
        header, lines = tabulate_comparison(document)
        show_plain_table(header, lines, title=_TITLES[comparison.cells[0].held_out])
        draw_comparison(folder / "comparison.png", document["summary"], document["published"])
        rows = describe_comparison(document["summary"])
        best = max(rows, key=lambda r: r["accuracy"])
        verdict = f"{best['method']} is the most accurate: {best['accuracy']:.3f} on {best['setting']}."
        write_report(
            folder, title="Comparison of methods", verdict=verdict, comparison=rows,
            training=describe_training(traces), settings={"seeds": document["seed"], **document["versions"]},
            command=document["command"],
        )  # fmt: skip
        show_files(folder, picture="comparison.png", report="report.html")

    run_grid(
        comparison, only=only, jobs=jobs, report=report,
        describe=lambda rows: f"test accuracy {rows[0]['test_accuracy']:.3f}, {rows[0]['seconds']:.0f} s",
    )  # fmt: skip


def read_methods(text: str) -> list[str]:
    """Methods joined by commas, with their options. Raises `InputError` that names --methods."""
    names = list(METHODS) if text == "all" else text.split(",")
    for name in names:
        try:
            if name != CEILING:
                parse_method(name)
        except InputError as error:
            raise InputError(f"--methods: {error}") from error
    return names


def _read_settings(dataset: str, text: str | None) -> list[float | None]:
    if find_source(dataset) != "planted biases":
        if text is not None:
            raise InputError(f"--settings applies to {' and '.join(PLANTED)} only")
        return [None]
    if text is None:
        return [0.020 if dataset in COLORED else 0.999]
    return list(parse_numbers(text, float, "--settings"))
