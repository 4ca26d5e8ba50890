"""Annotate in processes that are killed at each disk operation, and print the kills as JSON.

python tests/support/killed_annotate.py PIPELINE SOURCE FOLDER FORMAT

Each run is a fork, so that libraries and pipeline are loaded once. It is killed before its nth step
(a file is flushed, renamed or removed), and another run continues it.
"""

import json
import os
import signal
import sys
from pathlib import Path

import odd_components  # noqa: F401
import torch

from spacy_padellm.annotate.job import Job
from spacy_padellm.annotate.run import annotate_files


def main(pipeline, source, folder, format):
    torch.set_num_threads(1)  # a fork of more threads would hang
    job = Job(pipeline, format=format, shard_size=6, batch_size=3)
    nlp = job.load()
    annotate_files(job, [source], folder / "first")  # everything is imported before the first fork
    Job.load = lambda self: nlp
    deaths = {"anew": die_and_finish(job, source, folder), "in one": die_on(job, source, folder)}
    print(json.dumps(deaths))


def die_and_finish(job, source, folder):
    """For each step one run that is killed before it, and one run that finishes the output."""
    step = 0
    while True:
        step += 1
        output = folder / f"{step}"
        if not run(job, source, output, step):
            return step - 1
        assert not run(job, source, output, None)


def die_on(job, source, folder):
    """One output, and runs that are each killed one step later than the run before."""
    step = 5  # steps of a run before its first new documents
    while run(job, source, folder / "one", step):
        step += 1
    return step - 5


def run(job, source, output, die_before):
    """RETURNS (bool): Whether the run was killed."""
    child = os.fork()
    if not child:
        stream = os.open(f"{output}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        if die_before is not None:
            count_steps(die_before)
        annotate_files(job, [source], output)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or not status, Path(f"{output}.log").read_text()
    return os.WIFSIGNALED(status)


def count_steps(die_before):
    remaining = die_before

    def counted(function):
        def call(*arguments, **options):
            nonlocal remaining
            remaining -= 1
            if not remaining:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    for name in ("fsync", "replace", "unlink"):
        setattr(os, name, counted(getattr(os, name)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
