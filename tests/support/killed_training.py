"""Run `spacy train` in processes that are killed, and print the state of their output as JSON.

python tests/support/killed_training.py CONFIG FOLDER

Each run is a fork, so that the libraries are imported once. A run notes the digest of every
checkpoint that `nlp.to_disk` finished: a folder with another digest is incomplete or mixed.
"""

import errno
import hashlib
import json
import os
import resource
import shutil
import signal
import sys
import time
from functools import partial
from pathlib import Path

# Of the parts that a save writes: tokenizer, meta, config, the component's cfg and adapter, …
KILLS_AFTER_PARTS = (1, 2, 4, 5)
KILLS_AFTER_SECONDS = (0.0, 0.02, 0.07)  # by another process, wherever the training then is
TIMEOUT = 60


def main(config, folder):
    import torch
    from spacy.training.initialize import init_nlp
    from spacy.util import load_config

    torch.set_num_threads(1)  # a fork of more threads would hang
    init_nlp(load_config(config))  # everything is imported before the first fork
    report = {}
    for parts in KILLS_AFTER_PARTS:
        prepare = partial(die_in_save, parts)
        report[f"killed after {parts} parts"] = run(
            config, folder / f"parts{parts}", prepare=prepare
        )
    for number, seconds in enumerate(KILLS_AFTER_SECONDS):
        report[f"killed at moment {number}"] = run(
            config, folder / f"moment{number}", kill_after=seconds
        )
    report["killed without the callback"] = run(
        config, folder / "plain", prepare=partial(die_in_save, 4), callback=False
    )
    for name, place, stop in [
        ("killed in the copy to model-best", "best", die),
        ("disk full in the copy to model-best", "fullbest", no_space),
    ]:
        report[name] = run(config, folder / place, prepare=partial(stop_copy, stop))
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
        wait_until(lambda: len(digests(output)) >= 3, child)
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
    from spacy.cli.train import train
    from spacy.language import Language

    to_disk = Language.to_disk

    def noted_to_disk(self, path, **options):
        to_disk(self, path, **options)
        with (output / "digests.txt").open("a") as file:
            file.write(digest(path) + "\n")

    Language.to_disk = noted_to_disk
    train(config, output, overrides={} if callback else {"training.before_to_disk": None})


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_save(parts):
    """In the third save, when so many parts of it are written."""
    from spacy import util
    from spacy.language import Language

    to_disk, write, written = Language.to_disk, util.to_disk, []

    def counted_to_disk(self, path, **options):
        written.append(0)
        to_disk(self, path, **options)

    def write_or_die(path, writers, exclude):
        for name, writer in writers.items():
            write(path, {name: writer}, exclude)
            written[-1] += 1
            if len(written) == 3 and written[-1] == parts:
                die()

    Language.to_disk, util.to_disk = counted_to_disk, write_or_die


def no_space():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def stop_copy(stop):
    """One model-best is copied whole, the next one stops at one of its files."""
    copy = shutil.copy2
    left = 40

    def copy_or_stop(*arguments, **options):
        nonlocal left
        left -= 1
        if not left:
            stop()
        return copy(*arguments, **options)

    copytree = shutil.copytree

    def copy_tree(source, target, *arguments, **options):
        if not arguments and not options:  # spaCy's call, not the one for a folder inside
            options = {"copy_function": copy_or_stop}
        return copytree(source, target, *arguments, **options)

    shutil.copytree = copy_tree


def fill_disk():
    """From the third save on no file may grow beyond 4 kB: writes fail in the middle of a file."""
    from spacy_padellm.training import checkpoint

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


def wait_until(done, child):
    deadline = time.monotonic() + TIMEOUT
    while not done():
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            raise TimeoutError("The training did not get on; see log.txt in its folder.")
        time.sleep(0.001)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
