"""Options that several commands have."""

import typer

GPU_ID = typer.Option(
    -1,
    "--gpu-id",
    "-g",
    help="GPU to use; -1 leaves the device to the config, and so to the CPU by default.",
)
BATCH_SIZE = typer.Option(
    None, "--batch-size", min=1, help="Documents a batch; the pipeline's own if not given."
)
COMPONENT = typer.Option(
    None, "--component", help="Which padellm_ner component, if the pipeline has several."
)
CODE = typer.Option(
    None, "--code", "-c", help="Python file with registered functions that it needs."
)
