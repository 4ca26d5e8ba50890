import pytest
from support.gold_evaluation import evaluate_gold
from support.pipelines import GOLD, ScriptedDecoder, ner_of

from spacy_padellm.documents.prediction import Prediction

pytest_plugins = ["support.pipeline_fixtures", "support.evaluation_fixtures"]


def test_unaligned_mentions(scripted):
    mentions = evaluate_gold(scripted).metrics["mentions"]
    assert mentions["said"] == 7
    assert mentions["unaligned"]["not_in_text"] == {"n": 1, "share": pytest.approx(1 / 7)}
    assert mentions["unaligned"]["too_often"]["n"] == 1
    assert mentions["unaligned"]["blank"] == {"n": 0, "share": 0}


def test_malformed_answers_are_counted(tiny):
    class MalformedDecoder(ScriptedDecoder):
        def __call__(self, model, builder, texts, labels, tokens=None, ids=None):
            return [Prediction(malformed=2, ended=False) for _ in texts]

    ner_of(tiny).decoder = MalformedDecoder({})
    metrics = evaluate_gold(tiny).metrics
    assert metrics["mentions"]["malformed"] == 2 * len(GOLD)
    assert metrics["mentions"]["unended"] == len(GOLD)
    assert metrics["counts"]["n_prompts"] == 0
