"""One pipeline called from several threads gives what it gives in one."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import spacy
from support.pipelines import TEXTS, found, ner_of, same_annotation

from spacy_padellm.decoding.tree_decoder import make_tree_decoder

pytest_plugins = ["support.pipeline_fixtures"]

N_THREADS = 8
MANY = [text + " Rome." * (i % 3) for i, text in enumerate([*TEXTS, "<|im_end|> Bo", "Bo <num>9"])]


def test_threads_share_a_pipeline(taught):
    texts = MANY * 4
    alone = [found(taught(text)) for text in texts]
    with ThreadPoolExecutor(N_THREADS) as pool:
        together = list(pool.map(lambda text: found(taught(text)), texts))
    assert together == alone
    assert any(alone)


@pytest.mark.parametrize("graphs", [False, True])
def test_threads_that_start_together(taught, taught_folder, graphs):
    """Loading, the first prompts, folding the adapter in, memories of passes: all at once."""
    docs = [taught(text) for text in MANY]
    fresh = spacy.load(taught_folder)
    ner_of(fresh).decoder = make_tree_decoder(graphs=graphs)
    barrier = threading.Barrier(N_THREADS)

    def work(number):
        barrier.wait()
        # Each in an order of its own, so that batches differ in shape.
        order = [(i + number) % len(MANY) for i in range(len(MANY))]
        made = list(fresh.pipe([MANY[i] for i in order], batch_size=1 + number % 3))
        return [made[order.index(i)] for i in range(len(MANY))]

    with ThreadPoolExecutor(N_THREADS) as pool:
        for made in pool.map(work, range(N_THREADS)):
            assert same_annotation(made, docs, 1e-3)


def test_an_error_in_one_thread_is_its_own(taught, monkeypatch):
    fails = "Bo slept. "
    decode = type(taught.get_pipe("padellm_ner").decoder).decode

    def failing(self, model, builder, trees, passages, bounds):
        if any(passage.text == fails for passage in passages):
            raise ValueError(f"no answer to {fails!r}")
        return decode(self, model, builder, trees, passages, bounds)

    monkeypatch.setattr(type(taught.get_pipe("padellm_ner").decoder), "decode", failing)

    def work(text):
        try:
            return found(taught(text))
        except ValueError as error:
            return "no answer" in str(error)

    texts = [fails if i % 3 == 0 else TEXTS[0] for i in range(24)]
    with ThreadPoolExecutor(N_THREADS) as pool:
        results = list(pool.map(work, texts))
    assert results == [True if i % 3 == 0 else found(taught(TEXTS[0])) for i in range(24)]


FORKED = """
import json, sys
import spacy, torch

folder, texts = json.load(sys.stdin)
torch.set_num_threads(2)  # a child that is forked from two threads may hang
nlp = spacy.load(folder)
nlp(texts[0])
docs = list(nlp.pipe(texts, n_process=2, batch_size=3))
print(json.dumps([[(ent.start_char, ent.end_char, ent.label_) for ent in d.ents] for d in docs]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
def test_forked_processes(taught, taught_folder):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED],
        input=json.dumps([str(taught_folder), MANY]),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    entities = [[tuple(ent) for ent in ents] for ents in json.loads(done.stdout)]
    assert entities == [found(doc) for doc in taught.pipe(MANY)]
