"""Arguments and options that several scripts have."""

from pathlib import Path
from typing import Annotated

import torch
import typer

from .shapes import NAMES

Data = Annotated[
    Path,
    typer.Argument(help="Folder with NAME/{train,dev,test}.jsonl, or one dataset's folder or file"),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="Names of datasets; those of the published figures if none"),
]
Lang = Annotated[
    str | None,
    typer.Option(help="spaCy's code of the texts' language; by dataset if not given, else en"),
]
Model = Annotated[str, typer.Option(help=f"One of {', '.join(NAMES)}")]
Contenders = Annotated[
    list[str] | None, typer.Option("--contender", help="Names of contenders; all if none")
]
Repeat = Annotated[int, typer.Option(min=1, help="Runs of each contender; medians are taken")]
Device = Annotated[str, typer.Option(help="torch's name of the device")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads of torch; its own choice if not given")
]
OwnAnswers = Annotated[
    bool,
    typer.Option(help="With adapter: the parallel decoders generate the model's output, not gold"),
]
ResultName = Annotated[str, typer.Option("--name", help="Name of the results")]


def set_threads(threads: int | None) -> None:
    """Set torch's number of threads, unless it is None."""
    if threads is not None:
        torch.set_num_threads(threads)
