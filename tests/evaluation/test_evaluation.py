import json

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from support.gold_evaluation import MENTIONS, evaluate_gold
from support.pipelines import GOLD, LABELS, ScriptedDecoder, example, ner_of

from spacy_padellm.evaluation.evaluation import evaluate
from spacy_padellm.evaluation.gold_limits import LIMITS
from spacy_padellm.evaluation.provenance import PACKAGES
from spacy_padellm.pipeline.scorer import ner_score
from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS

pytest_plugins = ["support.pipeline_fixtures", "support.evaluation_fixtures"]

NO_LIMITS = dict.fromkeys(LIMITS, 0)


def test_scores_are_those_of_the_scorer(scripted):
    found = evaluate_gold(scripted)
    examples = [outcome.example for outcome in found.outcomes]
    expected = ner_score(examples)
    assert {key: found.metrics[key] for key in expected} == expected
    assert expected["ents_p"] == pytest.approx(3 / 5)
    assert expected["ents_r"] == pytest.approx(3 / 5)


def test_counts(scripted):
    counts = evaluate_gold(scripted).metrics["counts"]
    assert counts["n_prompts"] == len(GOLD) * len(LABELS)
    # wrong: person and place of the second, person of the third, place of the fourth document
    assert counts["accuracy"] == pytest.approx(4 / 8)
    assert counts["confusion"]["gold_by_said"][0][1] == 2
    assert counts["confusion"]["gold_by_said"][1][:3] == [1, 1, 1]
    assert counts["mean_under"] == pytest.approx(1 / 8)
    assert counts["mean_over"] == pytest.approx(3 / 8)
    assert counts["lost"] == pytest.approx(1 / 5)


def test_calibration(scripted):
    calibration = evaluate_gold(scripted).metrics["calibration"]
    outcomes = {0.9: 1, 0.8: 1, 0.6: 0, 0.7: 1, 0.1: 0}
    expected = sum(abs(p - right) for p, right in outcomes.items()) / 5
    assert calibration["spans"]["n"] == 5
    assert calibration["spans"]["ece"] == pytest.approx(expected)
    assert calibration["ents"] == calibration["spans"]


def test_spans_that_are_no_entities_are_calibrated_apart(scripted):
    ner_of(scripted).cfg["threshold"] = 0.65
    calibration = evaluate_gold(scripted).metrics["calibration"]
    assert calibration["spans"]["n"] == 5
    assert calibration["ents"]["n"] == 3
    assert calibration["ents"]["ece"] == pytest.approx((0.1 + 0.2 + 0.3) / 3)


def test_outcomes(scripted):
    first, second, third, fourth = evaluate_gold(scripted).outcomes
    assert (first.missed, first.wrong, first.n_errors) == ([], [], 0)
    assert [ent.text for ent in second.missed] == [ent.text for ent in second.wrong] == ["Rome"]
    assert [ent.text for ent in third.missed] == ["Oslo"]
    assert [(ent.text, ent.label_) for ent in fourth.wrong] == [("here", "place")]


def test_documents_are_judged_by_their_annotated_labels_only(scripted):
    examples = [example(scripted, text, ents) for text, ents in GOLD]
    for eg in examples:
        eg.reference.user_data[ANNOTATED_LABELS] = ["person"]
    found = evaluate(scripted, ner_of(scripted), examples)
    counts = found.metrics["counts"]
    assert counts["n_prompts"] == len(GOLD)
    assert list(counts["per_label"]) == ["person"]
    assert found.metrics["calibration"]["spans"]["n"] == 4
    assert [outcome.n_errors for outcome in found.outcomes] == [0, 1, 0, 0]
    assert found.metrics["data"]["mentions"] == {"person": 3}


def test_documents_with_missing_annotation_have_no_counts(scripted):
    text = "Bo likes Oslo."
    tags = ["U-person", "O", "-", "O"]
    partly = Example.from_dict(scripted.make_doc(text), {"entities": tags})
    bare = Example(scripted.make_doc(text), scripted.make_doc(text))
    found = evaluate(scripted, ner_of(scripted), [partly, bare])
    assert found.metrics["counts"]["n_prompts"] == 0
    assert found.metrics["calibration"]["spans"]["n"] == 1
    assert found.metrics["ents_p"] == 1
    limits = found.metrics["data"]["limits"]
    assert limits == {**NO_LIMITS, "not_annotated": 1, "incomplete": 1}


def test_other_components_run_as_usual(scripted):
    ruler = scripted.add_pipe("entity_ruler", first=True)
    ruler.add_patterns([{"label": "place", "pattern": "Oslo"}])
    scripted.add_pipe("test_evaluation_copy", last=True)
    found = evaluate_gold(scripted)
    expected = [
        [(ent.text, ent.label_) for ent in doc.ents]
        for doc in scripted.pipe([text for text, _ in GOLD])
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


def test_model_runs_once_per_document_in_batches(tiny):
    batch_sizes = []

    class CountingDecoder(ScriptedDecoder):
        def __call__(self, model, builder, texts, labels, tokens=None, ids=None):
            batch_sizes.append(len(texts))
            return super().__call__(model, builder, texts, labels)

    ner_of(tiny).decoder = CountingDecoder({})
    reported = []
    evaluate_gold(tiny, batch_size=3, progress=reported.append)
    assert batch_sizes == reported == [3, 1]


def test_metrics_are_json_with_provenance(scripted):
    metrics = json.loads(json.dumps(evaluate_gold(scripted).metrics, allow_nan=False))
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


def test_every_key_is_documented(scripted):
    from spacy_padellm.evaluation import evaluation

    metrics = evaluate_gold(scripted).metrics
    assert set(metrics["data"]["limits"]) == set(LIMITS)
    assert all(key in evaluation.__doc__ for key in LIMITS)
    for key in [*metrics, *metrics["mentions"], *metrics["mentions"]["unaligned"]]:
        assert key in evaluation.__doc__
    for part in ("speed", "data", "model", "calibration"):
        assert all(key in evaluation.__doc__ for key in metrics[part]), part
    assert all(key in evaluation.__doc__ for key in metrics["counts"])


def test_adapter_has_an_identity(taught, tiny_base):
    identity = evaluate_gold(taught).metrics["model"]
    assert len(identity["adapter_sha256"]) == 64
    assert identity["whole"] is False


def test_trained_documents_are_exact(taught):
    metrics = evaluate_gold(taught).metrics
    assert metrics["padellm_f"] == metrics["ents_f"] == 1
    assert metrics["counts"]["accuracy"] == 1
    assert metrics["mentions"]["said"] == 5


def test_labels_that_the_component_does_not_have(scripted):
    found = evaluate_gold(scripted, [("Bo likes Oslo.", [(9, 13, "city")])])
    assert found.metrics["data"]["labels_not_asked"] == ["city"]
    assert found.metrics["counts"]["n_prompts"] == 2
    assert found.metrics["ents_r"] == 0


def test_no_documents(scripted):
    metrics = evaluate(scripted, ner_of(scripted), []).metrics
    assert metrics["ents_f"] is metrics["padellm_f"] is None
    assert metrics["speed"]["documents_per_second"] is None
    assert metrics["mentions"]["unaligned"]["not_in_text"] == {"n": 0, "share": None}


def test_decode_and_align_are_what_predict_does(scripted):
    docs = [scripted.make_doc(text) for text in MENTIONS]
    ner = ner_of(scripted)
    predictions = ner.decode(docs)
    assert [len(prediction.mentions) for prediction in predictions] == [2, 1, 3, 1]
    spans = [ner.align(doc, prediction).spans for doc, prediction in zip(docs, predictions)]
    assert spans == ner.predict(docs)
    assert ner.decode([]) == ner.predict([]) == []
    assert isinstance(docs[0], Doc)
    assert not docs[0].ents
