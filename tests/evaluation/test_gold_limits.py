from spacy.tokens import Span
from support.gold_evaluation import evaluate_gold
from support.pipelines import GOLD, LABELS, example

from spacy_padellm.evaluation.gold_limits import LIMITS, gold_limits
from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS

pytest_plugins = ["support.pipeline_fixtures", "support.evaluation_fixtures"]

NO_LIMITS = dict.fromkeys(LIMITS, 0)


def test_limits_of_the_gold_are_counted(scripted):
    assert evaluate_gold(scripted).metrics["data"]["limits"] == NO_LIMITS
    docs = [example(scripted, text, ents).reference for text, ents in GOLD]
    docs[0].user_data[ANNOTATED_LABELS] = ["person"]
    docs[1].user_data[ANNOTATED_LABELS] = [*LABELS, "city"]  # more than the component's labels
    ents = list(docs[2].ents)
    docs[2].spans["gold"] = [*ents, Span(docs[2], 0, 3, label="place")]
    docs[2].spans["other"] = [Span(docs[2], 0, 3, label=label) for label in ("place", "clause")]
    docs.append(example(scripted, "  \n ", []).reference)
    assert gold_limits(docs, LABELS) == {
        **NO_LIMITS,
        **{"some_labels": 1, "overlapping": 1, "blank": 1},
    }
