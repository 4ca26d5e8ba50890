"""Measurements in fresh processes, and the memory of a process on Linux."""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

KIB_PER_MIB = 2**10
KIB_PER_GIB = 2**20


def run_child(script: str, *args: object) -> dict[str, Any]:
    """Run the command `child` of a script in a fresh process.

    script (str): The script's file.
    args (object): Its arguments and options.
    RETURNS (dict[str, Any]): The figures, which the command prints as its last line, in JSON.
    """
    command = [sys.executable, script, "child", *map(str, args)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def peak_gib() -> float:
    """RETURNS (float): Peak resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_GIB


def peak_mib() -> int:
    """RETURNS (int): Peak resident memory of this process so far, in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB)


def resident_mib(process: int | str = "self") -> float | None:
    """RETURNS (float | None): Resident memory of a process in MiB, by its id; None if it has
    ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf8").splitlines()
    except OSError:
        return None
    kib = [line.split()[1] for line in lines if line.startswith("VmRSS")]
    return round(int(kib[0]) / KIB_PER_MIB, 1) if kib else None
