"""Runs `spacy train` in processes that die while they save, and prints as JSON what they left.

python tests/killed_training.py CONFIG FOLDER

Each run is a fork, so that the libraries are imported once. A run notes the digest of every
checkpoint that `nlp.to_disk` finished: a folder with another digest is half of one, or of two.
"""

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

RANDOM_KILLS = 5
SAVING = 0.1  # seconds that a slowed-down save takes, about
TIMEOUT = 60


def main(config, folder):
    import torch
    from spacy.training.initialize import init_nlp
    from spacy.util import load_config

    torch.set_num_threads(1)  # a fork of more threads would hang
    init_nlp(load_config(config))  # everything is imported before the first fork
    moments = random.Random(0)
    report = {
        f"killed {number}": run(config, folder / f"killed{number}", kill_after=kill_after)
        for number, kill_after in enumerate(moments.uniform(0, SAVING) for _ in range(RANDOM_KILLS))
    }
    report["killed without the callback"] = run(
        config, folder / "plain", kill_after=SAVING / 2, callback=False
    )
    report["killed in the copy to model-best"] = run(config, folder / "best", prepare=die_in_copy)
    report["disk full"] = run(config, folder / "full", prepare=fill_disk)
    print(json.dumps(report))


def run(config, output, *, kill_after=None, callback=True, prepare=lambda: None):
    """One training: it saves again and again until it is killed, from outside or by itself."""
    output.mkdir()
    child = os.fork()
    if not child:
        stream = os.open(output / "log.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        try:
            prepare()
            train(config, output, callback)
        except BaseException as error:
            (output / "error.txt").write_text(f"{type(error).__name__}: {error}")
        finally:
            os._exit(1)
    if kill_after is not None:
        meta = output / ("model-last.tmp" if callback else "model-last") / "meta.json"
        wait_until(lambda: len(digests(output)) >= 3, child)
        before_save = stamp(meta)
        wait_until(lambda: stamp(meta) not in (None, before_save), child)
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    error = output / "error.txt"
    return {
        "killed": os.WIFSIGNALED(status),
        "saved": digests(output),
        "left": {path.name: digest(path) for path in output.glob("model-*")},
        "error": error.read_text() if error.exists() else None,
    }


def train(config, output, callback):
    from spacy import util
    from spacy.cli.train import train
    from spacy.language import Language

    to_disk, write = Language.to_disk, util.to_disk

    def noted_to_disk(self, path, **options):
        to_disk(self, path, **options)
        with (output / "digests.txt").open("a") as file:
            file.write(digest(path) + "\n")

    def slow_write(path, writers, exclude):
        for name, writer in writers.items():
            write(path, {name: writer}, exclude)
            time.sleep(0.01)

    Language.to_disk, util.to_disk = noted_to_disk, slow_write
    train(config, output, overrides={} if callback else {"training.before_to_disk": None})


def die_in_copy():
    copy = shutil.copy2
    left = 40  # files: one model-best is copied whole, another is not

    def copy_or_die(*arguments, **options):
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return copy(*arguments, **options)

    copytree = shutil.copytree

    def copy_tree(source, target, *arguments, **options):
        if not arguments and not options:  # spaCy's call, not the one for a folder inside
            options = {"copy_function": copy_or_die}
        return copytree(source, target, *arguments, **options)

    shutil.copytree = copy_tree


def fill_disk():
    """From the third save on no file may grow beyond 4 kB: writes fail in the middle of a file."""
    from spacy_padellm import checkpoint

    write, calls = checkpoint.write_checkpoint, []

    def write_on_full_disk(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        write(*arguments, **options)

    checkpoint.write_checkpoint = write_on_full_disk


def digests(output):
    path = output / "digests.txt"
    return path.read_text().split() if path.exists() else []


def digest(folder):
    total = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*")):
        total.update(str(path.relative_to(folder)).encode())
        total.update(path.read_bytes() if path.is_file() else b"")
    return total.hexdigest()


def stamp(path):
    """When a file was written, None if it is not there: the second one that a save writes."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def wait_until(done, child):
    deadline = time.monotonic() + TIMEOUT
    while not done():
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            raise TimeoutError("The training did not get on; see log.txt in its folder.")
        time.sleep(0.001)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
