"""What fails once: a GPU's memory, a model's numbers, a process, the user's patience."""

import ast
import json
import os
import re
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import spacy
import torch
from support.pipelines import GOLD, ROOT, TEXTS, blank_pipeline, found, ner_of

from spacy_padellm.decoding.tree_decoder import make_tree_decoder

pytest_plugins = ["support.pipeline_fixtures"]

ENTITIES = [entities for _, entities in GOLD]


class Handled:
    """An error handler that goes on, and remembers."""

    def __init__(self):
        self.errors = {}

    def __call__(self, name, component, docs, error):
        for doc in docs:
            assert doc.text not in self.errors, "handled twice"
            self.errors[doc.text] = error


def before_each_pass(nlp, hook):
    """Call a function with the token ids of each pass of the network; it may raise."""
    network = ner_of(nlp).shim.load().network
    return network.register_forward_pre_hook(
        lambda _, args, kwargs: hook(kwargs["input_ids"]), with_kwargs=True
    )


# --- memory ---


def test_memory_runs_out(taught):
    """In the network, where more than some tokens are fed at once."""
    sizes = []

    def hook(ids):
        sizes.append(ids.numel())
        if ids.numel() > 120:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory (a test's)")

    before_each_pass(taught, hook)
    docs = list(taught.pipe(TEXTS * 3, batch_size=12))
    assert [doc.text for doc in docs] == TEXTS * 3
    assert [found(doc) for doc in docs] == ENTITIES * 3
    assert max(sizes) > 120, "memory has not run out"


def test_memory_that_does_not_hold_one_document(taught):
    handled = Handled()
    taught.set_error_handler(handled)
    big = "Bo likes Oslo. " * 8

    def hook(ids):
        if ids.numel() > 120:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory (a test's)")

    before_each_pass(taught, hook)
    docs = list(taught.pipe([TEXTS[0], big, *TEXTS[1:]]))
    assert [found(doc) for doc in docs] == ENTITIES
    assert list(handled.errors) == [big]
    assert "one document of" in str(handled.errors[big])
    assert isinstance(handled.errors[big], MemoryError)


# --- numbers ---


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("options", [{}, {"constrained": False}, {"joint_starts": False}])
def test_logits_that_are_not_finite(taught, value, options):
    """Where the model reads a tilde its numbers break, for all that it is fed along with."""
    model = ner_of(taught).shim.for_decoding()
    ner_of(taught).decoder = make_tree_decoder(**options)
    (tilde,) = model.codec.encode("~")
    state = {"broken": False}

    def hook(ids):
        state["broken"] = bool((ids == tilde).any())

    before_each_pass(taught, hook)
    model.base.get_output_embeddings().register_forward_hook(
        lambda _, args, logits: logits * value if state["broken"] else None
    )
    handled = Handled()
    taught.set_error_handler(handled)
    docs = list(taught.pipe([TEXTS[0], "Bo ~ Oslo.", *TEXTS[1:]]))
    assert [found(doc) for doc in docs] == ENTITIES
    assert list(handled.errors) == ["Bo ~ Oslo."]
    message = str(handled.errors["Bo ~ Oslo."])
    assert "logits for 'Bo ~ Oslo.'… are not finite" in message
    assert 'dtype = "float32"' in message


@pytest.mark.parametrize(
    "name", ["replicated_decoder", "autoregressive_struct_decoder", "autoregressive_aug_decoder"]
)
def test_weights_that_are_not_finite(tiny_base, name):
    decoder = {"@misc": f"spacy-padellm.{name}.v1"}
    nlp = blank_pipeline(tiny_base, decoder=decoder)
    with torch.no_grad():
        ner_of(nlp).shim.load().network.get_input_embeddings().weight.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"logits for 'Bo'… are not finite"):
        nlp("Bo")


# --- documents ---


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_an_exception_in_one_document(taught, batch_size):
    """Of any kind, at any pass: the others come once each, in order."""
    model = ner_of(taught).shim.load()
    (tilde,) = model.codec.encode("~")

    def hook(ids):
        if (ids == tilde).any():
            raise RuntimeError("a kernel failed (a test's)")

    before_each_pass(taught, hook)
    handled = Handled()
    taught.set_error_handler(handled)
    texts = [TEXTS[0], "~", *TEXTS[1:3], "Bo ~", "~ Bo", TEXTS[3]]
    docs = list(taught.pipe(texts, batch_size=batch_size))
    assert [doc.text for doc in docs] == TEXTS
    assert [found(doc) for doc in docs] == ENTITIES
    assert list(handled.errors) == ["~", "Bo ~", "~ Bo"]


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
    handled = Handled()
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


# --- disk ---

FULL = """
    import resource, sys
    import spacy

    nlp = spacy.load(sys.argv[1])
    nlp("Bo likes Oslo.")
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        nlp.to_disk(sys.argv[2])
    except OSError as error:
        print(type(error).__name__, error, flush=True)
    print([ent.text for ent in nlp("Bo likes Oslo.").ents])
"""


def test_disk_that_is_full_when_saving(taught_folder, tmp_path):
    """A limit on the size of files stands for the full disk: writing fails in the same place."""
    pytest.importorskip("resource", reason="limits of processes are Unix's")
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FULL)]
    done = subprocess.run(
        [*command, str(taught_folder), str(tmp_path / "saved")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    error, entities = done.stdout.splitlines()
    assert "OSError" in error
    assert "File too large" in error
    assert entities == "['Bo', 'Oslo']"


# --- configs of other versions ---


def saved_with(folder, tmp_path, change):
    """A copy of a saved pipeline with another config."""
    import shutil

    copy = shutil.copytree(folder, tmp_path / "pipeline")
    config = (copy / "config.cfg").read_text(encoding="utf8")
    changed = change(config)
    assert changed != config
    (copy / "config.cfg").write_text(changed, encoding="utf8")
    return copy


def test_setting_that_this_version_does_not_know(taught_folder, tmp_path):
    copy = saved_with(
        taught_folder, tmp_path, lambda c: c.replace("max_count = 99", "max_count = 99\nwarp = 3")
    )
    with pytest.raises(ValueError, match="warp"):
        spacy.load(copy)


@pytest.mark.parametrize(
    "line", ["joint_starts = true\n", "threshold = 0.0\n", "tag_text = false\n"]
)
def test_setting_that_an_older_version_did_not_have(taught_folder, tmp_path, line):
    copy = saved_with(taught_folder, tmp_path, lambda c: c.replace(line, ""))
    nlp = spacy.load(copy)
    assert [found(doc) for doc in nlp.pipe(TEXTS)] == ENTITIES


@pytest.mark.parametrize("name", ["tree_decoder", "CausalLM", "prompt", "deduplicate_by_span"])
def test_name_of_a_later_version(taught_folder, tmp_path, name):
    old, new = (f"spacy-padellm.{name}.v{n}" for n in (1, 2))
    copy = saved_with(taught_folder, tmp_path, lambda c: c.replace(old, new))
    with pytest.raises(ValueError, match=re.escape(new)) as error:
        spacy.load(copy)
    assert old in str(error.value)  # spaCy lists the names that are there


def test_saved_settings_that_are_damaged(taught_folder, tmp_path):
    import shutil

    copy = shutil.copytree(taught_folder, tmp_path / "pipeline")
    path = copy / "padellm_ner" / "cfg"
    cfg = json.loads(path.read_text(encoding="utf8"))
    path.write_text(json.dumps({**cfg, "threshold": "high"}), encoding="utf8")
    with pytest.raises(ValueError, match="threshold must be a probability .* not 'high'"):
        spacy.load(copy)
    path.write_text(json.dumps({**cfg, "labels": 3}), encoding="utf8")
    with pytest.raises(ValueError, match="labels must be a list"):
        spacy.load(copy)
    for content in ("{", "[1]"):
        path.write_text(content, encoding="utf8")
        with pytest.raises(ValueError, match="cfg is no JSON object"):
            spacy.load(copy)
    path.write_text(json.dumps({**cfg, "of a later version": 1}), encoding="utf8")
    assert found(spacy.load(copy)(TEXTS[1])) == ENTITIES[1]


# --- the table ---


def test_each_row_of_the_table_has_its_test():
    table = (ROOT / "docs" / "faults.md").read_text(encoding="utf8")
    rows = [line for line in table.splitlines() if line.startswith("| ") and "---" not in line]
    rows = [row for row in rows if not row.startswith("| fault |")]
    assert len(rows) > 40
    seen = set()
    for row in rows:
        *_, fault_test, _ = row.split("|")
        assert len(row.split("|")) == 6, row
        path, _, name = fault_test.strip().strip("`").partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in names, f"{path} has no test {name}"
        assert (path, name) not in seen, f"{path}::{name} has two rows"
        seen.add((path, name))
