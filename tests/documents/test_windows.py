"""Counts and gold of windows, and their settings in saved pipelines."""

import pytest
import spacy
from support.gold_trees import gold_trees
from support.pipelines import (
    LABELS,
    LORA,
    TEXTS,
    blank_pipeline,
    example,
    gold_examples,
    ner_of,
)
from support.windowed import BOOK, gold_windows_of, names_in, reader

from spacy_padellm.documents.gold import Gold
from spacy_padellm.documents.windows import Window, Windows, window_golds
from spacy_padellm.evaluation.evaluation import evaluate
from spacy_padellm.training.gold_of import gold_of

pytest_plugins = ["support.pipeline_fixtures"]


def test_count_answers_of_windows(tiny_base):
    """Each window has the mentions that are inside it as a whole."""
    nlp = reader(tiny_base)
    text = "Bo met Ada Byron. " * 6
    gold = [(at, to, label) for at, to, label in names_in(text)]
    metrics = evaluate(nlp, ner_of(nlp), [example(nlp, text, gold)]).metrics
    windows = len(ner_of(nlp).decoder.decoded[0])
    assert windows == 3
    assert metrics["data"]["windows"] == windows
    assert metrics["counts"]["n_prompts"] == windows * len(LABELS)
    assert metrics["counts"]["accuracy"] == 1
    assert metrics["counts"]["per_label"]["person"]["accuracy_present"] == 1
    assert metrics["ents_f"] == 1
    assert metrics["mentions"]["said"] == 12
    assert metrics["mentions"]["superseded"] == 0


def test_count_answers_of_windows_that_overlap(tiny_base):
    nlp = reader(tiny_base)
    text = "and so to Bo " * 12
    outcome = evaluate(nlp, ner_of(nlp), [example(nlp, text, names_in(text))]).outcomes[0]
    gold = [answer.gold for answer in outcome.counts(LABELS) if answer.label == "person"]
    assert sum(gold) > 12
    assert all(answer.gold == answer.predicted for answer in outcome.counts(LABELS))
    assert len(outcome.alignment.spans) == 12
    assert len(outcome.alignment.spans) + len(outcome.alignment.superseded) == sum(gold)


def test_counts_of_another_text_than_the_gold_ones(tiny_base):
    from spacy_padellm.evaluation.outcome import Outcome

    nlp = reader(tiny_base)
    one = example(nlp, "Bo met Ada Byron. " * 6, [])
    outcome = evaluate(nlp, ner_of(nlp), [one]).outcomes[0]
    one.predicted = nlp.make_doc("Bo")
    assert Outcome(one, outcome.prediction, outcome.alignment).counts(LABELS) == []


# --- training ---


def test_gold_of_windows():
    gold = Gold("Bo met Ada Byron", ("person",), ((0, 2, "person"), (7, 16, "person")))
    assert window_golds(gold, None) == [gold]
    first, second = window_golds(gold, (Window(0, 10), Window(3, 16)))
    assert first == Gold("Bo met Ada", ("person",), ((0, 2, "person"),))
    assert second == Gold("met Ada Byron", ("person",), ((4, 13, "person"),))


def test_sequences_are_labels_and_mentions_of_each_window(tiny):
    ner = ner_of(tiny)
    ner.windows = Windows(tokens=40, overlap=16)
    text = "Bo met Ada Byron and so on to Rome " * 8
    eg = example(tiny, text, names_in(text))
    builder = ner.tree_builder()
    (windows,) = gold_windows_of(ner, [eg])
    golds = window_golds(gold_of(eg.reference, LABELS), windows)
    trees = gold_trees([eg], LABELS, builder, windows=windows)
    assert len(trees) == len(windows) > 5
    for (start, end), gold, tree in zip(windows, golds, trees):
        held = [(a - start, b - start, c) for a, b, c in names_in(text) if start <= a and b <= end]
        assert list(gold.spans) == held
        assert len(list(tree.prompts())) == len(LABELS) + len(held)
    # each mention is whole in some window
    assert {
        (a + start, b + start, c)
        for (start, _), gold in zip(windows, golds)
        for a, b, c in gold.spans
    } == set(names_in(text))


def test_long_gold_documents_are_learnt_as_their_windows(tiny_base):
    """The same update as with documents that are these windows."""
    import torch

    text = "Bo likes Oslo. Rome is far. Ada Byron met Bo. " * 5
    losses, gradients = [], []
    for whole in (True, False):
        nlp = blank_pipeline(tiny_base, window_tokens=40, window_overlap=16)
        ner = ner_of(nlp)
        examples = [example(nlp, text, names_in(text))]
        if not whole:
            (windows,) = gold_windows_of(ner, examples)
            pieces = [text[start:end] for start, end in windows]
            examples = [example(nlp, piece, names_in(piece)) for piece in pieces]
        losses.append(nlp.update(examples, sgd=False)["padellm_ner"])
        network = ner.shim.load().network
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    assert len(examples) > 3
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-6)


def test_windows_of_gold_documents_are_found_once(tiny_base, monkeypatch):
    nlp = blank_pipeline(tiny_base, LORA, window_tokens=40)
    ner = ner_of(nlp)
    examples = [*gold_examples(nlp), example(nlp, BOOK[:300], names_in(BOOK[:300]))]
    nlp.initialize(lambda: examples)
    divided = []
    divide = ner.windows.split
    monkeypatch.setattr(
        ner.windows, "split", lambda docs, *rest: divided.append(len(docs)) or divide(docs, *rest)
    )
    first, second = (nlp.update(examples, sgd=False)["padellm_ner"] for _ in range(2))
    assert divided == [5]
    assert first == pytest.approx(second)


def test_sentences_of_the_predicted_document_are_the_windows_of_the_gold_one(tiny_base):
    getter = {"@span_getters": "spacy-padellm.sent_spans.v1"}
    nlp = blank_pipeline(tiny_base, get_spans=getter)
    eg = example(nlp, " ".join(TEXTS), [])
    ner = ner_of(nlp)
    with pytest.raises(ValueError, match="annotating_components"):
        gold_windows_of(ner, [eg])
    nlp.add_pipe("sentencizer", first=True)
    eg.predicted = nlp.get_pipe("sentencizer")(eg.predicted)
    (windows,) = gold_windows_of(ner, [eg])
    assert [eg.reference.text[start:end] for start, end in windows] == TEXTS


def test_gold_mentions_in_no_window_are_reported(tiny_base, caplog):
    getter = {"@span_getters": "spacy-padellm.strided_spans.v1", "window": 4, "stride": 4}
    nlp = blank_pipeline(tiny_base, get_spans=getter)
    text = "and so to Ada Byron and Bo."
    nlp.update([example(nlp, text, names_in(text))], sgd=False)
    (record,) = [r for r in caplog.records if "no window" in r.getMessage()]
    assert "1 of the 2 mentions" in record.getMessage()


# --- configs ---


def test_getter_and_windows_are_saved(tiny_base, tmp_path):
    getter = {"@span_getters": "spacy-padellm.strided_spans.v1", "window": 12, "stride": 6}
    nlp = reader(tiny_base, get_spans=getter)
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    windows = ner_of(again).windows
    assert (windows.tokens, windows.overlap) == (40, 16)
    assert again.config["components"]["padellm_ner"]["get_spans"] == getter
    doc = again.make_doc(BOOK)
    assert windows.get_spans([doc])[0][1] == doc[6:18]
    # the config at loading time is used
    wide = spacy.load(tmp_path, config={"components.padellm_ner.window_tokens": None})
    assert ner_of(wide).windows.tokens is None


def test_pipelines_saved_without_windows_get_the_default(tiny, tmp_path):
    tiny.to_disk(tmp_path)
    config = spacy.util.load_config(tmp_path / "config.cfg")
    component = config["components"]["padellm_ner"]
    for key in ("get_spans", "window_tokens", "window_overlap"):
        del component[key]
    config.to_disk(tmp_path / "config.cfg")
    windows = ner_of(spacy.load(tmp_path)).windows
    default = spacy.blank("en").get_factory_meta("padellm_ner").default_config
    assert windows.tokens == default["window_tokens"]
    assert windows.overlap == default["window_overlap"]
