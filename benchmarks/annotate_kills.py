"""Runs of `annotate` that are killed at random moments and resumed, against one that is not.

Figure: docs/annotate.md; results/annotate_kills.json.

python benchmarks/annotate_kills.py
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import typer
from harness.results import write_results
from harness.tiny_pipeline import texts, write_pipeline
from wasabi import msg

FORMATS = ("jsonl", "spacy")
KILLS_A_RUN = 10  # after these a run is left to finish
BAD_EVERY = 97  # every so many lines one is not JSON, so that lists of errors are compared too
FINISHED = 3  # exit code: documents failed


def main(
    kills: int = typer.Option(50, min=1),
    documents: int = typer.Option(2000, min=1),
    shard_size: int = typer.Option(50, min=1),
    seed: int = 0,
) -> None:
    """Kill runs; the output of each must equal that of a run that is not killed."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pipeline = write_pipeline(folder)
        source = write_source(folder / "source.jsonl", documents)
        runs: list[dict[str, Any]] = []
        whole = {}
        for format in FORMATS:
            output = folder / f"whole-{format}"
            command = command_of(pipeline, source, output, format, shard_size)
            times = run_once(command, output)
            assert times["exit"] == FINISHED, times
            whole[format] = (output, times)
        while (left := kills - sum(len(run["kills"]) for run in runs)) > 0:
            format = FORMATS[len(runs) % len(FORMATS)]
            output = folder / f"killed-{len(runs)}"
            command = command_of(pipeline, source, output, format, shard_size)
            most = min(left, KILLS_A_RUN)
            killed = kill_until_finished(command, output, whole[format][1], chance, most)
            equal = contents(output) == contents(whole[format][0])
            runs.append({"format": format, "equal": equal, "kills": killed})
            msg.info(f"{format}: {len(killed)} kills, {'equal' if equal else 'NOT EQUAL'}")
    equal_runs = sum(run["equal"] for run in runs)
    figures = {
        "kills": sum(len(run["kills"]) for run in runs),
        "documents": documents,
        "shard_size": shard_size,
        "runs": len(runs),
        "equal_runs": equal_runs,
        "each": runs,
    }
    write_results("annotate_kills", figures)
    if equal_runs < len(runs):
        msg.fail(f"{len(runs) - equal_runs} of {len(runs)} runs differ", exits=1)
    msg.good(f"{figures['kills']} kills, {len(runs)} runs, all equal byte for byte")


def write_source(path: Path, documents: int) -> Path:
    """RETURNS (Path): The file of documents."""
    with path.open("w", encoding="utf8") as file:
        for number, text in enumerate(texts(documents), 1):
            bad = number % BAD_EVERY == 0
            file.write("{\n" if bad else json.dumps({"id": number, "text": text}) + "\n")
    return path


def command_of(
    pipeline: Path, source: Path, output: Path, format: str, shard_size: int
) -> list[str]:
    """RETURNS (list[str]): The command line."""
    options = ["--format", format, "--shard-size", str(shard_size), "--batch-size", "16"]
    paths = map(str, (pipeline, source, output))
    return [sys.executable, "-m", "spacy", "padellm", "annotate", *paths, *options]


def run_once(command: list[str], output: Path, kill_after: tuple[str, float] | None = None) -> dict:
    """Run a command.

    command (list[str]): The command line.
    output (Path): Its output folder.
    kill_after (tuple[str, float] | None): Seconds to the kill, after the "start" of the process or
        of the "documents". None lets it finish.
    RETURNS (dict): "exit", its exit code; "start_s", seconds until it wrote documents; "s", seconds
        in all; "shards", the number of finished shards.
    """
    before = shards_done(output)
    start = time.perf_counter()
    started = None
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = kill_after[1] if kill_after and kill_after[0] == "start" else None
        while process.poll() is None:
            now = time.perf_counter() - start
            if started is None and begun(output, before):
                started = now
                if kill_after and kill_after[0] == "documents":
                    deadline = now + kill_after[1]
            if deadline is not None and now >= deadline:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.001)
        process.wait()
        log.seek(0)
        if process.returncode not in (0, FINISHED, -signal.SIGKILL):
            raise RuntimeError(log.read().decode())
    seconds = time.perf_counter() - start
    return {
        "exit": process.returncode,
        "start_s": started,
        "s": round(seconds, 3),
        "shards": shards_done(output),
    }


def kill_until_finished(
    command: list[str], output: Path, whole: dict, chance: random.Random, most: int
) -> list[dict[str, Any]]:
    """RETURNS (list[dict[str, Any]]): Time and number of finished shards of each kill."""
    kills: list[dict[str, Any]] = []
    writing = whole["s"] - whole["start_s"]
    while len(kills) < most:
        # One in five anywhere from the start of the process, the rest while documents are written.
        kind = "start" if chance.random() < 0.2 else "documents"
        seconds = chance.uniform(0, whole["start_s"] if kind == "start" else writing / 5)
        end = run_once(command, output, (kind, seconds))
        if end["exit"] != -signal.SIGKILL:
            return kills
        kills.append({"after": kind, "s": round(seconds, 3), "shards": end["shards"]})
    end = run_once(command, output)
    assert end["exit"] == FINISHED, end
    return kills


def shards_done(output: Path) -> int:
    """RETURNS (int): Number of lines of the journal."""
    path = output / "progress.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def begun(output: Path, before: int) -> bool:
    """RETURNS (bool): Whether a run has begun to write documents: there is a temporary file, or
    one more shard than before."""
    if shards_done(output) > before:
        return True
    folder = output / "documents"
    return folder.is_dir() and any(name.endswith(".tmp") for name in os.listdir(folder))


def contents(output: Path) -> dict[str, bytes]:
    """RETURNS (dict[str, bytes]): Every file of an output folder except the lock."""
    files = [path for path in sorted(output.rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(output)): path.read_bytes() for path in files}


if __name__ == "__main__":
    typer.run(main)
