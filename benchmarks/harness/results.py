"""Results of benchmarks as JSON: figures with the command, versions and hardware behind them."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import srsly
from wasabi import msg

RESULTS = Path(__file__).parents[1] / "results"
PACKAGES = ("spacy-padellm", "spacy", "thinc", "torch", "transformers", "peft")


def write_results(name: str, figures: dict[str, Any], *, device: str | None = None) -> Path:
    """Write benchmarks/results/NAME.json.

    name (str): Name of the results, with their folder in it where they have one.
    figures (dict[str, Any]): The figures.
    device (str | None): torch's name of the device; None for the CPU.
    RETURNS (Path): The JSON file.
    """
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [Path(sys.argv[0]).name, *sys.argv[1:]]
    record = {
        "command": "python benchmarks/" + " ".join(command),
        "hardware": hardware(device),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        "figures": figures,
    }
    srsly.write_json(path, record)
    msg.info(f"Wrote {path}")
    return path


def hardware(device: str | None) -> str:
    """RETURNS (str): The name of the GPU, or the CPU's model and number of cores."""
    if device and device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
