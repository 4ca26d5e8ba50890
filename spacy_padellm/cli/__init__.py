"""Commands `python -m spacy padellm …`.

spaCy imports this module for each of its own commands too, so the modules of the commands import
torch and transformers only when a command runs.
"""

import typer
from spacy.cli._util import app as spacy_app

from .annotate import annotate_cli
from .convert import convert_cli
from .debug_data import OVERRIDES, debug_data_cli
from .download import download_cli
from .evaluate import evaluate_cli
from .merge import merge_cli
from .tune import tune_cli

app = typer.Typer(
    name="padellm",
    help="Named entities by causal language models, all mentions in parallel.",
    no_args_is_help=True,
)
app.command("download")(download_cli)
app.command("convert")(convert_cli)
app.command("debug-data", context_settings=OVERRIDES)(debug_data_cli)
app.command("annotate")(annotate_cli)
app.command("evaluate")(evaluate_cli)
app.command("merge")(merge_cli)
app.command("tune")(tune_cli)


@app.callback()
def padellm() -> None:
    """Named entities by causal language models, all mentions in parallel."""


spacy_app.add_typer(app)
