"""Two commands run by turns, such as one script on two commits, and the ratio of their figures.

Figure: none; it compares the speed of a commit with that of the commit before, in one run.

python benchmarks/by_turns.py --turns 5 --figure figures.conll03.docs_per_cpu_s.tree \\
    "cd ../before && PYTHONPATH=. python benchmarks/decoders.py ../shared/data --threads 1" \\
    "PYTHONPATH=. python benchmarks/decoders.py ../shared/data --threads 1"

A command's figures are read from the JSON file that it reports last ("Wrote PATH.json"), or else
from the last line of its output, in JSON.
"""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import srsly
import typer
from wasabi import msg

WROTE = re.compile(r"Wrote\s+(\S.*?\.json)")  # a message is wrapped between words
COLOUR = re.compile("\x1b\\[[0-9;]*m")


def main(
    before: Annotated[str, typer.Argument(help="Command, run by the shell")],
    after: Annotated[str, typer.Argument(help="The other command")],
    figure: Annotated[list[str], typer.Option(help="Keys of a figure, joined by dots")],
    turns: Annotated[int, typer.Option(min=1, help="Runs of each command")] = 5,
) -> None:
    """Run the commands by turns; print minimum, median and maximum of each figure, and ratios."""
    runs: dict[str, list[Any]] = {before: [], after: []}
    for turn in range(turns):
        # The order alternates, so that neither command always runs on a warmer machine.
        for command in (before, after) if turn % 2 == 0 else (after, before):
            runs[command].append(run(command))
        msg.info(f"Turn {turn + 1} of {turns}")
    rows = []
    for keys in figure:
        a, b = ([read_figure(result, keys) for result in runs[c]] for c in (before, after))
        rows.append((keys, spread(a), spread(b), f"{median(b) / median(a):.3f}"))
    header = ("figure", "before: min / median / max", "after", "after / before")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r"))


def run(command: str) -> Any:
    """RETURNS (Any): The JSON that a command writes to a file or prints."""
    done = subprocess.run(command, shell=True, check=True, stdout=subprocess.PIPE, text=True)
    printed = COLOUR.sub("", done.stdout)
    if files := WROTE.findall(printed):
        return srsly.read_json(Path(files[-1]))
    return json.loads(printed.strip().splitlines()[-1])


def read_figure(result: Any, keys: str) -> float:
    """RETURNS (float): The figure at keys joined by dots, such as figures.conll03.ratio."""
    value = result
    for key in keys.split("."):
        if not isinstance(value, dict) or key not in value:
            known = ", ".join(value) if isinstance(value, dict) else repr(value)
            msg.fail(f"There is no {key!r} of {keys!r}", f"Here is: {known}", exits=1)
        value = value[key]
    return float(value)


def spread(values: Sequence[float]) -> str:
    """RETURNS (str): Minimum, median and maximum."""
    return " / ".join(f"{value:.4g}" for value in (min(values), median(values), max(values)))


if __name__ == "__main__":
    typer.run(main)
