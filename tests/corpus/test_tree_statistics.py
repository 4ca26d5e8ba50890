import spacy
from support.gold_trees import gold_trees
from support.pipelines import GOLD, LABELS, gold_examples

from spacy_padellm.corpus.tree_statistics import MAX_EXAMPLES, TreeStatistics
from spacy_padellm.training.gold_of import gold_of


def count(builder, **options):
    examples = gold_examples(spacy.blank("en"))
    counted = TreeStatistics(**{"max_positions": None, **options})
    for example in examples:
        (tree,) = gold_trees([example], LABELS, builder)
        counted.add(tree, tree, gold_of(example.reference, LABELS), builder)
    return counted, examples


def test_sequences_are_labels_and_mentions(toy_builder):
    counted, _ = count(toy_builder)
    n_mentions = sum(len(spans) for _, spans in GOLD)
    assert counted.trees == len(GOLD)
    assert counted.sequences == len(LABELS) * len(GOLD) + n_mentions


def test_tokens_are_those_of_prompts_written_apart(toy_builder):
    """The paper's sequences, spelt out as strings: toy tokens do not cross the pieces' edges."""
    counted, examples = count(toy_builder)
    encode, tokens = toy_builder.codec.encode, 0
    for example in examples:
        text = example.reference.text
        trunk = len(encode("text:\n")) + len(encode(text)) + len(encode("\nentity type:\n"))
        for label, mentions in gold_of(example.reference, LABELS).mentions.items():
            number = trunk + len(encode(label)) + len(encode("\n\n<num>")) + 1
            tokens += number
            for k, mention in enumerate(mentions, 1):
                tokens += number + len(encode(f"\n<mention {k}>")) + len(encode(mention))
    assert counted.sequence_tokens == tokens
    assert counted.ratio == tokens / counted.tokens > 1.5


def test_longest_first(toy_builder):
    counted, _ = count(toy_builder)
    longest = counted.to_dict()["longest"]
    assert len(longest) == min(MAX_EXAMPLES, len(GOLD))
    assert [entry["tokens"] for entry in longest] == sorted(
        (entry["tokens"] for entry in longest), reverse=True
    )
    assert longest[0]["text"] == "Ada Byron met Bo."
    assert longest[0]["mentions"] == 2


def test_window_and_bound_on_mentions(toy_builder):
    positions = max(entry["positions"] for entry in count(toy_builder)[0].to_dict()["longest"])
    assert count(toy_builder, max_positions=positions)[0].too_long == 0
    over = count(toy_builder, max_positions=positions - 1)[0]
    assert over.too_long == 1
    assert f"{positions} positions" in over.too_long_examples[0]
    assert count(toy_builder, max_mention_tokens=8)[0].long_mentions == 1  # Ada Byron: 9 bytes
    assert count(toy_builder, max_mention_tokens=9)[0].long_mentions == 0


def test_another_decoders_tree_beside_the_papers_sequences(toy_builder):
    example = gold_examples(spacy.blank("en"))[0]
    gold = gold_of(example.reference, LABELS)
    (paper,) = gold_trees([example], LABELS, toy_builder)
    own = next(paper.prompts())
    counted = TreeStatistics(max_positions=None)
    counted.add(own, paper, gold, toy_builder)
    assert counted.tokens == len(own) < len(paper)
    assert counted.sequences == len(LABELS) + 2
