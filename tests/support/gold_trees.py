"""Gold trees of examples, built as a component's training builds them."""

from spacy_padellm.decoding.parallel_prompts import parallel_prompts
from spacy_padellm.documents.windows import window_golds
from spacy_padellm.training.gold_of import gold_of, is_usable


def gold_trees(examples, labels, builder, windows=None):
    """One tree per usable example, or per window of an example read in windows."""
    docs = [eg.reference for eg in examples if is_usable(eg.reference, labels)]
    golds = [one for doc in docs for one in window_golds(gold_of(doc, labels), windows)]
    return parallel_prompts(builder, golds)
