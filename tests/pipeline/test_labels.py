import pytest
from support.pipelines import LABELS, blank_pipeline, gold_examples, ner_of

from spacy_padellm.documents.prediction import Prediction
from spacy_padellm.pipeline.labels import check_labels

pytest_plugins = ["support.pipeline_fixtures"]


def test_labels_from_config(tiny):
    assert ner_of(tiny).labels == tuple(LABELS)
    assert ner_of(tiny).label_data == LABELS
    tiny.initialize(lambda: gold_examples(tiny))
    assert ner_of(tiny).labels == tuple(LABELS)


def test_labels_from_examples(tiny_base):
    nlp = blank_pipeline(tiny_base, labels=[])
    nlp.initialize(lambda: gold_examples(nlp))
    assert ner_of(nlp).labels == ("person", "place")


def test_labels_from_initialize_win(tiny):
    ner_of(tiny).initialize(lambda: gold_examples(tiny), nlp=tiny, labels=["place", "time"])
    assert ner_of(tiny).label_data == ["place", "time"]


def test_labels_from_the_initialize_section(tiny_base):
    nlp = blank_pipeline(tiny_base, labels=[])
    nlp.config["initialize"]["components"]["padellm_ner"] = {"labels": ["place", "a b: c=d"]}
    nlp.initialize()
    assert ner_of(nlp).labels == ("place", "a b: c=d")


def test_add_label(tiny):
    assert ner_of(tiny).add_label("time") == 1
    assert ner_of(tiny).add_label("person") == 0
    assert ner_of(tiny).labels == ("person", "place", "time")


def test_added_label_reaches_the_prompts(tiny):
    prompted = []

    class Decoder:
        max_mention_tokens = 64

        def __call__(self, model, builder, texts, labels, tokens, ids=None):
            prompted.append(labels)
            return [Prediction()]

        def max_text_tokens(self, builder, labels):
            return None

    ner = ner_of(tiny)
    ner.decoder = Decoder()
    ner.add_label("time")
    assert ner.predict([tiny.make_doc("Bo")]) == [[]]
    assert prompted == [("person", "place", "time")]


def test_labels_of_the_config_are_not_shared(tiny_base):
    labels = ["person"]
    nlp = blank_pipeline(tiny_base, labels=labels)
    ner_of(nlp).add_label("place")
    assert labels == ["person"]


@pytest.mark.parametrize("act", ["call", "pipe", "update", "initialize"])
def test_no_labels(tiny_base, act):
    nlp = blank_pipeline(tiny_base, labels=[])
    with pytest.raises(ValueError, match="'padellm_ner' has no labels") as error:
        if act == "call":
            nlp("Bo")
        elif act == "pipe":
            list(nlp.pipe(["Bo"]))
        elif act == "update":
            ner_of(nlp).update(gold_examples(nlp))
        else:
            nlp.initialize()
    for remedy in ('labels = ["person"]', 'add_label("person")', "nlp.initialize"):
        assert remedy in str(error.value)


@pytest.mark.parametrize("label", [7, None, "", " \n", b"person", ["person"]])
def test_label_that_is_none(tiny, label):
    with pytest.raises(ValueError, match="not blank") as error:
        ner_of(tiny).add_label(label)
    assert repr(label) in str(error.value)
    with pytest.raises(ValueError, match="not blank") as error:
        check_labels(["person", label])
    assert repr(label) in str(error.value)
    with pytest.raises(ValueError, match="not blank"):
        ner_of(tiny).initialize(lambda: gold_examples(tiny), labels=["person", label])
    assert ner_of(tiny).labels == tuple(LABELS)


def test_label_given_twice():
    with pytest.raises(ValueError, match=r"more than once: \['b'\]"):
        check_labels(["a", "b", "b"])


@pytest.mark.parametrize("labels", ["person", {"person": 1}, None, 3])
def test_labels_that_are_no_list(labels):
    with pytest.raises(ValueError, match="must be a list of strings") as error:
        check_labels(labels)
    assert repr(labels) in str(error.value)


def test_bad_label_in_the_config_stops_add_pipe(tiny_base):
    with pytest.raises(ValueError, match="not blank, not ' '"):
        blank_pipeline(tiny_base, labels=["person", " "])
