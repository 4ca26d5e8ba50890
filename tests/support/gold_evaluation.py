"""Evaluation of a pipeline on the gold documents of the tests."""

from support.pipelines import GOLD, example, ner_of

from spacy_padellm.evaluation.evaluation import evaluate

# Mentions per gold document: all right; a wrong label; an invented mention, a repeated mention and
# a missed entity; a surplus mention.
MENTIONS = {
    "Ada Byron met Bo.": [("person", "Ada Byron", 0.9), ("person", "Bo", 0.8)],
    "Rome is far.": [("person", "Rome", 0.6)],
    "Bo likes Oslo.": [("place", "Atlantis", 0.5), ("person", "Bo", 0.7), ("person", "Bo", 0.3)],
    "Nothing here.": [("place", "here", 0.1)],
}


def evaluate_gold(nlp, golds=GOLD, **settings):
    """Evaluate a pipeline on pairs of text and gold entities."""
    return evaluate(
        nlp, ner_of(nlp), [example(nlp, text, ents) for text, ents in golds], **settings
    )
