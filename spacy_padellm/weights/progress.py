"""Status lines and progress bars on standard error; none of them if quiet."""

import sys
from typing import Any

from tqdm import tqdm
from wasabi import Printer


def print_status(text: str, *, progress: bool) -> None:
    """Print one line of information on standard error.

    text (str): The line.
    progress (bool): False prints nothing.
    """
    if progress:
        print(Printer(no_print=True).info(text), file=sys.stderr, flush=True)


def progress_bar(total: int, unit: str, desc: str, *, progress: bool, **settings: Any) -> tqdm:
    """A progress bar on standard error.

    total (int): The number of units of the whole work.
    unit (str): The unit: "B" for bytes, scaled to MB, or a word.
    desc (str): The label before the bar.
    progress (bool): False makes a bar that is never drawn.
    **settings (Any): Further settings of tqdm.
    RETURNS (tqdm): The bar, a context manager.
    """
    return tqdm(
        total=total,
        unit=unit,
        unit_scale=unit == "B",
        desc=desc,
        disable=not progress,
        file=sys.stderr,
        **settings,
    )
