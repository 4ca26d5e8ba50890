"""Batches in worker processes."""

import json
import time
from dataclasses import replace
from itertools import islice

import pytest
from support.annotate_files import CODE

from spacy_padellm.annotate.items import Item
from spacy_padellm.annotate.job import Job
from spacy_padellm.annotate.workers import (
    LostWorker,
    WorkerError,
    annotate_in_parallel,
    annotate_sequentially,
)

pytest_plugins = ["support.annotate_fixtures"]


def batches(texts):
    for number, text in enumerate(texts):
        yield (Item(0, number, "txt", text.encode()),)


def texts_of(results):
    return [json.loads(batch.content)["text"] if batch.content else None for batch in results]


def test_order_and_a_process_that_is_killed(ruler):
    """Results of slow batches keep their order. After the kill of a process spaCy's own `nlp.pipe`
    would wait forever."""
    job = Job(str(ruler), code=CODE)
    texts = ["SLOW SLOW", *"abcdef", "SLOW", "FAIL", *"gh"]
    expected = list(annotate_sequentially(replace(job, code=None), batches(texts)))
    assert texts_of(expected) == [None if text == "FAIL" else text for text in texts]
    results = annotate_in_parallel(job, batches([*texts, *"ijkl", "KILL", *"mnop"]), 2)
    assert list(islice(results, len(expected))) == expected
    start = time.monotonic()
    with pytest.raises(LostWorker, match=r"killed by signal 9 \(SIGKILL\).*--n-process"):
        list(results)
    assert time.monotonic() - start < 30


def test_processes_end_with_the_generator(ruler):
    results = annotate_in_parallel(Job(str(ruler), code=CODE), batches(["a", "b", "BREAK", "c"]), 1)
    next(results)
    (process,) = [worker.process for worker in results.gi_frame.f_locals["workers"]]
    assert process.is_alive()
    with pytest.raises(WorkerError, match="set to fail"):
        list(results)
    assert process.exitcode is not None
