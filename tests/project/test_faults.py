"""Documents that fail alone: a GPU's memory runs out, numbers are not finite, a kernel fails."""

import pytest
import torch
from support.faults import ErrorRecorder, before_each_pass
from support.pipelines import ENTITIES, TEXTS, blank_pipeline, found, ner_of

from spacy_padellm.decoding.tree_decoder import make_tree_decoder

pytest_plugins = ["support.pipeline_fixtures"]

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
    handled = ErrorRecorder()
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
    model = ner_of(taught).shim.runner().model
    ner_of(taught).decoder = make_tree_decoder(**options)
    (tilde,) = model.codec.encode("~")
    state = {"broken": False}

    def hook(ids):
        state["broken"] = bool((ids == tilde).any())

    before_each_pass(taught, hook)
    model.base.get_output_embeddings().register_forward_hook(
        lambda _, args, logits: logits * value if state["broken"] else None
    )
    handled = ErrorRecorder()
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
    handled = ErrorRecorder()
    taught.set_error_handler(handled)
    texts = [TEXTS[0], "~", *TEXTS[1:3], "Bo ~", "~ Bo", TEXTS[3]]
    docs = list(taught.pipe(texts, batch_size=batch_size))
    assert [doc.text for doc in docs] == TEXTS
    assert [found(doc) for doc in docs] == ENTITIES
    assert list(handled.errors) == ["~", "Bo ~", "~ Bo"]
