"""Control-C, workers that are killed, and forks of a process that uses a GPU."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import torch
from support.faults import ErrorRecorder, before_each_pass
from support.pipelines import ENTITIES, TEXTS, blank_pipeline, found, ner_of

from spacy_padellm.decoding.tree_decoder import make_tree_decoder

pytest_plugins = ["support.pipeline_fixtures"]

# --- interrupts ---


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("at_pass", [1, 2, 4])
def test_interrupted_in_the_middle_of_a_pass(taught, at_pass, graphs):
    ner_of(taught).decoder = make_tree_decoder(graphs=graphs)
    model = ner_of(taught).shim.load()
    passes = []

    def hook(ids):
        passes.append(ids)
        if len(passes) == at_pass:
            raise KeyboardInterrupt

    handle = before_each_pass(taught, hook)
    handled = ErrorRecorder()
    taught.set_error_handler(handled)
    stream = taught.pipe(TEXTS * 10, batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        list(stream)
    assert len(passes) == at_pass, "nothing is tried again"
    assert not handled.errors
    handle.remove()
    # The locks are free for another thread, and nothing of the broken pass is left.
    docs = []
    thread = threading.Thread(target=lambda: docs.extend(taught.pipe(TEXTS)), daemon=True)
    thread.start()
    thread.join(30)
    assert [found(doc) for doc in docs] == ENTITIES
    assert not model.base.get_output_embeddings()._forward_pre_hooks


INTERRUPTED = """
    import itertools, os, signal, sys, threading, time
    import spacy

    nlp = spacy.load(sys.argv[1])
    nlp("Bo likes Oslo.")
    n_process = int(sys.argv[2])
    kill = sys.argv[3] == "kill"

    def act():
        time.sleep(1)
        if kill:
            import multiprocessing

            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
            time.sleep(2)
        print("interrupted", flush=True)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=act, daemon=True).start()
    start = None
    n = 0
    try:
        for doc in nlp.pipe(itertools.repeat("Bo likes Oslo."), n_process=n_process, batch_size=8):
            n += 1
    except KeyboardInterrupt:
        docs = [[ent.text for ent in doc.ents] for doc in nlp.pipe(["Bo likes Oslo."] * 2)]
        print(n > 0, docs, flush=True)
"""


def interrupted(folder, n_process, act):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(INTERRUPTED)]
    start = time.monotonic()
    done = subprocess.run(
        [*command, str(folder), str(n_process), act], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["interrupted", "True [['Bo', 'Oslo'], ['Bo', 'Oslo']]"]
    return time.monotonic() - start


def test_control_c(taught_folder):
    interrupted(taught_folder, 1, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="spaCy's workers are forked here")
def test_a_worker_that_is_killed(taught_folder):
    """spaCy waits for a killed worker's documents for ever, without a word: its own limit.
    Control-C ends that, and the pipeline goes on in one process."""
    interrupted(taught_folder, 2, "kill")


# --- forks ---


def test_a_gpu_in_a_forked_process(taught, monkeypatch):
    """Simulated: a GPU's network, and torch's own word that CUDA was started before the fork."""
    taught(TEXTS[0])
    shim = ner_of(taught).shim
    monkeypatch.setattr(type(shim.load()), "device", torch.device("cuda:0"))
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    with pytest.raises(RuntimeError, match=r"forked.*n_process=1.*\"spawn\""):
        taught(TEXTS[0])


def test_a_gpu_that_a_forked_process_is_to_load(tiny_base, monkeypatch):
    nlp = blank_pipeline(tiny_base)
    shim = ner_of(nlp).shim
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    object.__setattr__(shim.settings, "device", "cuda:0")
    with pytest.raises(RuntimeError, match=r"forked.*n_process=1.*\"spawn\""):
        nlp(TEXTS[0])


def test_other_processes_are_left_alone(taught, monkeypatch):
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    assert found(taught(TEXTS[1])) == ENTITIES[1]  # on a CPU a fork does no harm
