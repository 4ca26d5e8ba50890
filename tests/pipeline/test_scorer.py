import pickle

import pytest
import spacy
from spacy.scorer import Scorer, get_ner_prf
from spacy.tokens import Doc, Span
from spacy.training import Example
from support.pipelines import LABELS, TEXTS, blank_pipeline, gold_examples, script

from spacy_padellm.pipeline.scorer import make_ner_scorer, ner_score
from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS

pytest_plugins = ["support.pipeline_fixtures"]

VOCAB = spacy.blank("en").vocab
STRING_KEYS = ["padellm_p", "padellm_r", "padellm_f", "padellm_per_type"]
KEYS = ["ents_p", "ents_r", "ents_f", "ents_per_type", *STRING_KEYS]


def annotated(words, *ents, missing=(), spaces=None):
    """A Doc whose entities are (start, end, label) in tokens."""
    doc = Doc(VOCAB, words, spaces)
    doc.set_ents(
        [Span(doc, *ent) for ent in ents], missing=[Span(doc, start, end) for start, end in missing]
    )
    return doc


def score(*pairs):
    return ner_score([Example(predicted, reference) for predicted, reference in pairs])


WORDS = ["Rome", "and", "Oslo", "and", "Rome", "and", "Bonn"]


def test_all_right():
    doc = annotated(WORDS, (0, 1, "LOC"), (2, 3, "LOC"), (4, 5, "ORG"))
    scores = score((doc, doc.copy()))
    assert list(scores) == KEYS
    for key in ("ents_p", "ents_r", "ents_f", "padellm_p", "padellm_r", "padellm_f"):
        assert scores[key] == pytest.approx(1.0)
    assert scores["padellm_per_type"] == {
        "LOC": {"p": pytest.approx(1.0), "r": pytest.approx(1.0), "f": pytest.approx(1.0)},
        "ORG": {"p": pytest.approx(1.0), "r": pytest.approx(1.0), "f": pytest.approx(1.0)},
    }


def test_a_pair_counts_once_a_document_wherever_it_is():
    gold = annotated(WORDS, (0, 1, "LOC"), (4, 5, "LOC"), (2, 3, "LOC"))
    predicted = annotated(WORDS, (4, 5, "LOC"))
    scores = score((predicted, gold))
    assert scores["ents_r"] == pytest.approx(1 / 3)
    assert scores["padellm_r"] == pytest.approx(1 / 2)
    assert scores["padellm_p"] == pytest.approx(1.0)

    elsewhere = annotated(WORDS, (0, 1, "LOC"))
    scores = score((predicted, elsewhere))
    assert scores["ents_f"] == 0.0
    assert scores["padellm_f"] == pytest.approx(1.0)


def test_documents_do_not_share_pairs():
    one, none = annotated(WORDS, (0, 1, "LOC")), annotated(WORDS)
    scores = score((one, none), (none.copy(), one.copy()))
    assert (scores["padellm_p"], scores["padellm_r"], scores["padellm_f"]) == (0.0, 0.0, 0.0)


def test_the_label_counts():
    gold = annotated(WORDS, (0, 1, "LOC"), (2, 3, "LOC"))
    predicted = annotated(WORDS, (0, 1, "ORG"), (2, 3, "LOC"))
    scores = score((predicted, gold))
    assert scores["padellm_f"] == pytest.approx(0.5)
    assert scores["padellm_per_type"] == {
        "LOC": {"p": pytest.approx(1.0), "r": pytest.approx(0.5), "f": pytest.approx(2 / 3)},
        "ORG": {"p": 0.0, "r": 0.0, "f": 0.0},
    }
    assert list(scores["padellm_per_type"]) == ["LOC", "ORG"]


def test_micro_average_over_documents():
    gold = annotated(WORDS, (0, 1, "LOC"), (2, 3, "LOC"), (6, 7, "LOC"))
    predicted = annotated(WORDS, (0, 1, "LOC"), (2, 3, "LOC"), (3, 4, "LOC"))
    scores = score((predicted, gold), (annotated(["Bonn"], (0, 1, "LOC")), annotated(["Bonn"])))
    assert scores["padellm_p"] == pytest.approx(2 / 4)
    assert scores["padellm_r"] == pytest.approx(2 / 3)
    assert scores["padellm_f"] == pytest.approx(4 / 7)


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [(Doc(VOCAB), Doc(VOCAB))],
        [(annotated(WORDS, (0, 1, "LOC")), Doc(VOCAB, WORDS))],
        [(annotated(WORDS), annotated(WORDS))],
    ],
    ids=["no documents", "empty", "no annotation", "no entities"],
)
def test_nothing_to_count_is_none(pairs):
    assert score(*pairs) == dict.fromkeys(KEYS)


def test_documents_without_annotation_are_left_out():
    gold = annotated(WORDS, (0, 1, "LOC"))
    with_rest = score((gold.copy(), gold), (annotated(WORDS, (2, 3, "LOC")), Doc(VOCAB, WORDS)))
    assert with_rest == score((gold.copy(), gold))
    assert with_rest["padellm_f"] == pytest.approx(1.0)


def test_no_entities_in_gold_makes_every_prediction_wrong():
    scores = score((annotated(WORDS, (0, 1, "LOC")), annotated(WORDS)))
    assert scores["padellm_f"] == scores["ents_f"] == 0.0


def test_predictions_where_annotation_is_missing_are_left_out():
    gold = annotated(WORDS, (0, 1, "LOC"), missing=[(2, 4)])
    predicted = annotated(WORDS, (0, 1, "LOC"), (2, 3, "ORG"), (3, 5, "LOC"))
    scores = score((predicted, gold))
    assert scores["ents_f"] == pytest.approx(1.0)
    assert scores["padellm_f"] == pytest.approx(1.0)
    assert scores["padellm_per_type"].keys() == {"LOC"}


def test_tokenised_otherwise():
    gold = annotated(
        ["U.S.", "-", "based", "Li", "Wei"], (0, 1, "LOC"), (3, 5, "PER"), spaces=[0, 0, 1, 1, 0]
    )
    assert gold.text == "U.S.-based Li Wei"
    cut = ["U.", "S.", "-based", "Li", "W", "ei"]
    predicted = annotated(cut, (0, 2, "LOC"), (3, 6, "PER"), spaces=[0, 0, 1, 1, 0, 0])
    scores = score((predicted, gold))
    assert scores["ents_f"] == pytest.approx(1.0)
    assert scores["padellm_f"] == pytest.approx(1.0)

    joined = annotated(["U.S.-based", "Li", "Wei"], (0, 1, "LOC"), (1, 3, "PER"))
    scores = score((joined, gold))
    assert scores["ents_f"] == pytest.approx(0.5)
    assert scores["padellm_f"] == pytest.approx(0.5)


def test_missing_annotation_with_other_tokens():
    gold = annotated(["U.S.", "army", "Li"], (0, 1, "LOC"), missing=[(2, 3)])
    predicted = annotated(
        ["U.", "S.", "army", "L", "i"], (0, 2, "LOC"), (3, 5, "PER"), spaces=[0, 1, 1, 0, 0]
    )
    assert score((predicted, gold))["padellm_f"] == pytest.approx(1.0)


def test_position_scores_are_spacys():
    gold = annotated(WORDS, (0, 1, "LOC"), (4, 5, "LOC"), (2, 3, "ORG"))
    predicted = annotated(WORDS, (0, 1, "LOC"), (2, 3, "LOC"))
    examples = [Example(predicted, gold)]
    scores = ner_score(examples)
    assert {key: scores[key] for key in KEYS[:4]} == get_ner_prf(examples)


def test_examples_may_come_as_a_generator_with_settings():
    doc = annotated(WORDS, (0, 1, "LOC"))
    scores = ner_score((Example(doc, doc.copy()) for _ in range(2)), threshold=0.5, spans_key="x")
    assert scores["ents_f"] == scores["padellm_f"] == pytest.approx(1.0)


def test_the_factory_gives_a_scorer_that_travels_between_processes():
    assert pickle.loads(pickle.dumps(make_ner_scorer())) is ner_score


def test_in_a_pipeline():
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "LOC", "pattern": "Rome"}])
    ruler.scorer = make_ner_scorer()
    gold = annotated(WORDS, (0, 1, "LOC"), (4, 5, "LOC"), (6, 7, "LOC"))
    scores = nlp.evaluate([Example(nlp.make_doc(gold.text), gold)])
    assert scores["ents_r"] == pytest.approx(2 / 3)
    assert scores["padellm_r"] == pytest.approx(1 / 2)
    assert Scorer(nlp).score([])["padellm_f"] is None


def test_evaluation_fills_the_meta(taught):
    scores = taught.evaluate(gold_examples(taught))
    for key in ("ents_p", "ents_r", "ents_f", "padellm_p", "padellm_r", "padellm_f"):
        assert scores[key] == pytest.approx(1.0)
    for key in ("ents_per_type", "padellm_per_type"):
        assert sorted(scores[key]) == LABELS
    # what `spacy train` copies into meta.json
    weights = taught.get_pipe_meta("padellm_ner").default_score_weights
    assert set(weights) <= set(scores)
    assert {key for key, weight in weights.items() if weight is None} == {
        "ents_per_type",
        "padellm_per_type",
    }


def test_scorer_may_be_left_out(tiny_base):
    nlp = script(blank_pipeline(tiny_base, scorer=None), {})
    assert "padellm_f" not in nlp.evaluate(gold_examples(nlp))


def test_labels_that_a_document_does_not_answer_for_are_not_scored(taught):
    doc = taught.make_doc(TEXTS[2])
    doc.set_ents([doc.char_span(0, 2, label="person")])
    scores = taught.evaluate([Example(taught.make_doc(TEXTS[2]), doc)])
    assert scores["padellm_p"] == pytest.approx(0.5)
    doc.user_data[ANNOTATED_LABELS] = ["person"]
    scores = taught.evaluate([Example(taught.make_doc(TEXTS[2]), doc)])
    assert scores["padellm_p"] == pytest.approx(1.0)
