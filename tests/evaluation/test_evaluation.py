import json

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from support.pipelines import GOLD, LABELS, ScriptedDecoder, example, ner_of, script

from spacy_padellm.evaluation.evaluation import LIMITS, evaluate, gold_limits
from spacy_padellm.evaluation.provenance import PACKAGES
from spacy_padellm.pipeline.scorer import ner_score
from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS

pytest_plugins = ["support.pipeline_fixtures"]

# Of the four gold documents: all right; one under the wrong label; one invented, one said twice
# and one missed; one too many.
SAID = {
    "Ada Byron met Bo.": [("person", "Ada Byron", 0.9), ("person", "Bo", 0.8)],
    "Rome is far.": [("person", "Rome", 0.6)],
    "Bo likes Oslo.": [("place", "Atlantis", 0.5), ("person", "Bo", 0.7), ("person", "Bo", 0.3)],
    "Nothing here.": [("place", "here", 0.1)],
}
NO_LIMITS = dict.fromkeys(LIMITS, 0)


def run(nlp, golds=GOLD, **settings):
    return evaluate(
        nlp, ner_of(nlp), [example(nlp, text, ents) for text, ents in golds], **settings
    )


@pytest.fixture
def said(tiny):
    return script(tiny, SAID)


def test_scores_are_those_of_the_scorer(said):
    found = run(said)
    examples = [outcome.example for outcome in found.outcomes]
    expected = ner_score(examples)
    assert {key: found.metrics[key] for key in expected} == expected
    assert expected["ents_p"] == pytest.approx(3 / 5)
    assert expected["ents_r"] == pytest.approx(3 / 5)


def test_counts(said):
    counts = run(said).metrics["counts"]
    assert counts["n_prompts"] == len(GOLD) * len(LABELS)
    # wrong: person and place of the second, person of the third, place of the fourth document
    assert counts["accuracy"] == pytest.approx(4 / 8)
    assert counts["confusion"]["gold_by_said"][0][1] == 2
    assert counts["confusion"]["gold_by_said"][1][:3] == [1, 1, 1]
    assert counts["mean_under"] == pytest.approx(1 / 8)
    assert counts["mean_over"] == pytest.approx(3 / 8)
    assert counts["lost"] == pytest.approx(1 / 5)


def test_mentions_without_a_place(said):
    mentions = run(said).metrics["mentions"]
    assert mentions["said"] == 7
    assert mentions["unaligned"]["not_in_text"] == {"n": 1, "share": pytest.approx(1 / 7)}
    assert mentions["unaligned"]["too_often"]["n"] == 1
    assert mentions["unaligned"]["blank"] == {"n": 0, "share": 0}


def test_calibration(said):
    calibration = run(said).metrics["calibration"]
    outcomes = {0.9: 1, 0.8: 1, 0.6: 0, 0.7: 1, 0.1: 0}
    expected = sum(abs(p - right) for p, right in outcomes.items()) / 5
    assert calibration["spans"]["n"] == 5
    assert calibration["spans"]["ece"] == pytest.approx(expected)
    assert calibration["ents"] == calibration["spans"]


def test_spans_that_are_no_entities_are_calibrated_apart(said):
    ner_of(said).cfg["threshold"] = 0.65
    calibration = run(said).metrics["calibration"]
    assert calibration["spans"]["n"] == 5
    assert calibration["ents"]["n"] == 3
    assert calibration["ents"]["ece"] == pytest.approx((0.1 + 0.2 + 0.3) / 3)


def test_outcomes(said):
    first, second, third, fourth = run(said).outcomes
    assert (first.missed, first.wrong, first.n_errors) == ([], [], 0)
    assert [ent.text for ent in second.missed] == [ent.text for ent in second.wrong] == ["Rome"]
    assert [ent.text for ent in third.missed] == ["Oslo"]
    assert [(ent.text, ent.label_) for ent in fourth.wrong] == [("here", "place")]


def test_documents_answer_for_their_labels_only(said):
    examples = [example(said, text, ents) for text, ents in GOLD]
    for one in examples:
        one.reference.user_data[ANNOTATED_LABELS] = ["person"]
    found = evaluate(said, ner_of(said), examples)
    counts = found.metrics["counts"]
    assert counts["n_prompts"] == len(GOLD)
    assert list(counts["per_label"]) == ["person"]
    assert found.metrics["calibration"]["spans"]["n"] == 4
    assert [outcome.n_errors for outcome in found.outcomes] == [0, 1, 0, 0]
    assert found.metrics["data"]["mentions"] == {"person": 3}


def test_documents_with_missing_annotation_have_no_counts(said):
    text = "Bo likes Oslo."
    tags = ["U-person", "O", "-", "O"]
    partly = Example.from_dict(said.make_doc(text), {"entities": tags})
    bare = Example(said.make_doc(text), said.make_doc(text))
    found = evaluate(said, ner_of(said), [partly, bare])
    assert found.metrics["counts"]["n_prompts"] == 0
    assert found.metrics["calibration"]["spans"]["n"] == 1
    assert found.metrics["ents_p"] == 1
    limits = found.metrics["data"]["limits"]
    assert limits == {**NO_LIMITS, "not_annotated": 1, "incomplete": 1}


def test_limits_of_the_gold_are_counted(said):
    examples = [example(said, text, ents) for text, ents in GOLD]
    assert evaluate(said, ner_of(said), examples).metrics["data"]["limits"] == NO_LIMITS
    docs = [one.reference for one in examples]
    docs[0].user_data[ANNOTATED_LABELS] = ["person"]
    docs[1].user_data[ANNOTATED_LABELS] = [*LABELS, "city"]  # more than is asked for
    ents = list(docs[2].ents)
    docs[2].spans["gold"] = [*ents, Span(docs[2], 0, 3, label="place")]
    docs[2].spans["other"] = [Span(docs[2], 0, 3, label=label) for label in ("place", "clause")]
    docs.append(example(said, "  \n ", []).reference)
    assert gold_limits(docs, LABELS) == {
        **NO_LIMITS,
        **{"some_labels": 1, "overlapping": 1, "blank": 1},
    }


def test_other_components_run_as_usual(said):
    ruler = said.add_pipe("entity_ruler", first=True)
    ruler.add_patterns([{"label": "place", "pattern": "Oslo"}])
    said.add_pipe("test_evaluation_copy", last=True)
    found = run(said)
    expected = [
        [(ent.text, ent.label_) for ent in doc.ents]
        for doc in said.pipe([text for text, _ in GOLD])
    ]
    predicted = [outcome.example.predicted for outcome in found.outcomes]
    assert [[(ent.text, ent.label_) for ent in doc.ents] for doc in predicted] == expected
    assert ("Oslo", "place") in expected[2]
    assert all(doc.user_data["copied"] for doc in predicted)
    # the ruler's entity has no probability
    assert found.metrics["calibration"]["ents"]["n"] == 5
    assert found.outcomes[2].n_errors == 0


@Language.component("test_evaluation_copy")
def copy_doc(doc):
    copy = doc.copy()
    copy.user_data["copied"] = True
    return copy


def test_model_is_asked_once_a_document_in_batches(tiny):
    asked = []

    class Watched(ScriptedDecoder):
        def __call__(self, model, builder, texts, labels, tokens=None, ids=None):
            asked.append(len(texts))
            return super().__call__(model, builder, texts, labels)

    ner_of(tiny).decoder = Watched({})
    told = []
    run(tiny, batch_size=3, progress=told.append)
    assert asked == told == [3, 1]


def test_metrics_are_json_and_say_where_they_are_from(said):
    metrics = json.loads(json.dumps(run(said).metrics, allow_nan=False))
    assert metrics["data"]["documents"] == len(GOLD)
    assert metrics["data"]["mentions"] == {"person": 3, "place": 2}
    assert metrics["data"]["labels_not_asked"] == []
    assert metrics["model"]["labels"] == LABELS
    assert metrics["model"]["component"] == "padellm_ner"
    assert len(metrics["model"]["sha256"]) == 64
    assert metrics["model"]["base"].endswith("base")
    assert metrics["model"]["adapter_sha256"] is None
    assert metrics["model"]["decoder"] == "ScriptedDecoder"
    assert metrics["model"]["threshold"] == 0
    assert set(metrics["versions"]) == {"python", *PACKAGES}
    assert metrics["versions"]["spacy"] == spacy.__version__
    assert metrics["speed"]["documents_per_second"] > 0


def test_every_key_is_documented(said):
    from spacy_padellm.evaluation import evaluation

    metrics = run(said).metrics
    assert set(metrics["data"]["limits"]) == set(evaluation.LIMITS)
    assert all(key in evaluation.__doc__ for key in evaluation.LIMITS)
    for key in [*metrics, *metrics["mentions"], *metrics["mentions"]["unaligned"]]:
        assert key in evaluation.__doc__
    for part in ("speed", "data", "model", "calibration"):
        assert all(key in evaluation.__doc__ for key in metrics[part]), part
    assert all(key in evaluation.__doc__ for key in metrics["counts"])


def test_adapter_is_told_from_another(taught, tiny_base):
    identity = run(taught).metrics["model"]
    assert len(identity["adapter_sha256"]) == 64
    assert identity["whole"] is False


def test_what_the_model_was_taught_is_exact(taught):
    metrics = run(taught).metrics
    assert metrics["padellm_f"] == metrics["ents_f"] == 1
    assert metrics["counts"]["accuracy"] == 1
    assert metrics["mentions"]["said"] == 5


def test_labels_that_the_component_does_not_know(said):
    found = run(said, [("Bo likes Oslo.", [(9, 13, "city")])])
    assert found.metrics["data"]["labels_not_asked"] == ["city"]
    assert found.metrics["counts"]["n_prompts"] == 2
    assert found.metrics["ents_r"] == 0


def test_no_documents(said):
    metrics = evaluate(said, ner_of(said), []).metrics
    assert metrics["ents_f"] is metrics["padellm_f"] is None
    assert metrics["speed"]["documents_per_second"] is None
    assert metrics["mentions"]["unaligned"]["not_in_text"] == {"n": 0, "share": None}


def test_malformed_answers_are_counted(tiny):
    from spacy_padellm.documents.prediction import Prediction

    class Broken(ScriptedDecoder):
        def __call__(self, model, builder, texts, labels, tokens=None, ids=None):
            return [Prediction(malformed=2, ended=False) for _ in texts]

    ner_of(tiny).decoder = Broken({})
    metrics = run(tiny).metrics
    assert metrics["mentions"]["malformed"] == 2 * len(GOLD)
    assert metrics["mentions"]["unended"] == len(GOLD)
    assert metrics["counts"]["n_prompts"] == 0


def test_decode_and_align_are_what_predict_does(said):
    docs = [said.make_doc(text) for text in SAID]
    ner = ner_of(said)
    predictions = ner.decode(docs)
    assert [len(one.mentions) for one in predictions] == [2, 1, 3, 1]
    spans = [ner.align(doc, one).spans for doc, one in zip(docs, predictions)]
    assert spans == ner.predict(docs)
    assert ner.decode([]) == ner.predict([]) == []
    assert isinstance(docs[0], Doc)
    assert not docs[0].ents
