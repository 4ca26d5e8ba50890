"""Options shared by several commands."""

import typer

GPU_ID = typer.Option(
    -1,
    "--gpu-id",
    "-g",
    help="Index of the GPU; -1 keeps the device of the config, which is the CPU by default.",
)
BATCH_SIZE = typer.Option(
    None, "--batch-size", min=1, help="Documents per batch; defaults to that of the pipeline."
)
COMPONENT = typer.Option(
    None, "--component", help="Name of the padellm_ner component, if the pipeline has several."
)
CODE = typer.Option(
    None, "--code", "-c", help="Python file with registered functions of the pipeline."
)
