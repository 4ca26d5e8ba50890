import copy
import pickle

import pytest
import spacy
from spacy.training import Example
from support.pipelines import GOLD, LABELS, TEXTS, example, gold_examples
from support.windowed import BOOK, names_in

from spacy_padellm.decoding.tree_decoder import TreeDecoder
from spacy_padellm.documents.windows import Windows
from spacy_padellm.prompts.tree_builder import TreeBuilder
from spacy_padellm.training.trainer import CPU_TOKENS, GPU_TOKENS, Trainer

NLP = spacy.blank("en")


def batch_of(trainer, examples, builder, windows=None):
    return trainer.gold_batch(examples, LABELS, builder, TreeDecoder(), windows or Windows())


def test_batch_of_usable_documents(toy_builder):
    unannotated = Example(NLP.make_doc("Bo"), NLP.make_doc("Bo"))
    blank = example(NLP, " \n ", [])
    examples = gold_examples(NLP)
    batch = batch_of(Trainer("ner"), [unannotated, *examples, blank], toy_builder)
    assert batch.texts == TEXTS
    assert batch.examples == examples
    assert batch.sizes == [len(tree) for tree in batch.trees]
    assert batch.n_targets == sum(tree.n_targets for tree in batch.trees) > len(GOLD)


def test_each_window_of_a_document_is_a_tree(toy_builder):
    eg = example(NLP, BOOK[:300], names_in(BOOK[:300]))
    batch = batch_of(Trainer("ner"), [eg], toy_builder, Windows(tokens=40, overlap=16))
    assert batch.texts == [BOOK[:300]]
    assert len(batch.trees) > 3
    assert batch.examples == [eg] * len(batch.trees)


def test_trees_are_kept_until_another_builder_comes(toy_builder, toy_codec, english):
    trainer = Trainer("ner")
    first = batch_of(trainer, gold_examples(NLP), toy_builder).trees
    again = batch_of(trainer, gold_examples(NLP), toy_builder).trees
    assert all(a is b for a, b in zip(first, again, strict=True))
    other = batch_of(trainer, gold_examples(NLP), TreeBuilder(toy_codec, english)).trees
    assert all(a is not b for a, b in zip(first, other, strict=True))


def test_mentions_that_windows_cut_are_logged(toy_builder, caplog):
    text = "Ada Byron " * 20
    eg = example(NLP, text, [(0, len(text) - 1, "person")])
    batch_of(Trainer("ner"), [eg], toy_builder, Windows(tokens=40))
    assert "ner: 1 of the 1 mentions of a gold document lie whole in no window" in caplog.text


def test_budget_of_a_pass():
    assert Trainer("ner").micro_batches(None, "cpu").budget == CPU_TOKENS
    assert Trainer("ner").micro_batches(None, "cuda").budget == GPU_TOKENS
    trainer = Trainer("ner")
    passes = trainer.micro_batches(7, "cuda")
    assert passes.budget == 7
    assert trainer.micro_batches(7, "cuda") is passes


def test_texts_of_a_step():
    trainer = Trainer("ner")
    trainer.add_texts(["a"])
    trainer.add_texts(["b", "c"])
    assert trainer.take_texts() == ["a", "b", "c"]
    assert trainer.take_texts() == []


@pytest.mark.parametrize("copying", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies_start_anew(copying, toy_builder):
    trainer = Trainer("ner")
    first = batch_of(trainer, gold_examples(NLP), toy_builder).trees
    trainer.add_texts(["a"])
    trainer.micro_batches(7, "cpu")
    other = copying(trainer)
    assert other.take_texts() == []
    assert other.micro_batches(None, "cpu").budget == CPU_TOKENS
    made = batch_of(other, gold_examples(NLP), toy_builder).trees
    assert all(a is not b for a, b in zip(first, made, strict=True))
