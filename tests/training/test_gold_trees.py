from support.pipelines import GOLD, LABELS

from spacy_padellm.decoding.tree_decoder import TreeDecoder
from spacy_padellm.documents.gold import Gold
from spacy_padellm.training import gold_trees
from spacy_padellm.training.gold_trees import GoldTreeCache

GOLDS = [Gold(text, tuple(LABELS), tuple(entities)) for text, entities in GOLD]


def whole(golds):
    """Each document as its only window."""
    return {gold: [gold] for gold in golds}


def test_trees_are_built_once(toy_builder):
    cache = GoldTreeCache(toy_builder)
    assert list(cache.missing(GOLDS)) == GOLDS
    first = cache.trees(TreeDecoder(), GOLDS, whole(GOLDS))
    assert [tree.n_targets > 0 for (tree,) in first] == [True] * len(GOLDS)
    assert cache.missing(GOLDS) == {}
    second = cache.trees(TreeDecoder(), GOLDS[::-1], {})
    assert all(a is b for (a,), (b,) in zip(first[::-1], second))


def test_equal_documents_of_a_batch_share_their_trees(toy_builder):
    cache = GoldTreeCache(toy_builder)
    golds = [GOLDS[0], GOLDS[1], GOLDS[0]]
    assert cache.missing(golds) == {GOLDS[0]: 2, GOLDS[1]: 1}
    (first,), _, (third,) = cache.trees(TreeDecoder(), golds, whole(golds))
    assert first is third


def test_one_tree_per_window(toy_builder):
    cache = GoldTreeCache(toy_builder)
    trees = cache.trees(TreeDecoder(), [GOLDS[0]], {GOLDS[0]: [GOLDS[1], GOLDS[2], GOLDS[1]]})
    ((first, second, third),) = trees
    assert first is third
    assert first is not second


def test_trees_beyond_the_bound_are_built_again(toy_builder, monkeypatch):
    (tree,) = TreeDecoder().gold_trees(toy_builder, [GOLDS[0]])
    monkeypatch.setattr(gold_trees, "MAX_CACHED_TOKENS", len(tree))
    cache = GoldTreeCache(toy_builder)
    cache.trees(TreeDecoder(), GOLDS, whole(GOLDS))
    assert list(cache.missing(GOLDS)) == GOLDS[1:]
    ((built,), (kept,)) = cache.trees(TreeDecoder(), GOLDS[1::-1], whole(GOLDS[1:2]))
    assert len(kept) == len(tree)
    assert (kept.ids == tree.ids).all()
    assert list(cache.missing(GOLDS)) == GOLDS[1:]
    assert len(built) > 0
