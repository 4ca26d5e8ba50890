import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.answers import PIECES as ODD
from support.random_trees import branch_end

from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.prompts.tree import NO_TARGET, TRUNK
from spacy_padellm.prompts.tree_builder import TreeBuilder

TEXT = "the Dutch played in the anum"
MENTIONS = {"person": [], "place": ["the Hague", "Rome"], "animal": ["the num"]}
PIECES = [
    (["person", "\n\n<num>"], "0"),
    (["place", "\n\n<num>"], "2"),
    (["place", "\n\n<num>", "2", "\n<mention 1>"], "the Hague"),
    (["place", "\n\n<num>", "2", "\n<mention 2>"], "Rome"),
    (["animal", "\n\n<num>"], "1"),
    (["animal", "\n\n<num>", "1", "\n<mention 1>"], "the num"),
]


def encode(tokenizer, *pieces):
    """Each piece by itself, as the tokenizer alone does it."""
    options = {"add_special_tokens": False, "split_special_tokens": True}
    return [token for piece in pieces for token in tokenizer(piece, **options)["input_ids"]]


def test_prompts_are_the_papers_sequences(toy_builder, toy_tokenizer):
    (tree,) = toy_builder.gold_trees([TEXT], [MENTIONS])
    prompts = list(tree.prompts())

    trunk = ["text:\n", TEXT, "\nentity type:\n"]
    assert len(prompts) == len(MENTIONS) + sum(map(len, MENTIONS.values()))
    for prompt, (question, answer_text) in zip(prompts, PIECES, strict=True):
        pieces = [*trunk, *question, answer_text]
        assert prompt.ids.tolist() == encode(toy_tokenizer, *pieces)
        assert toy_tokenizer.decode(prompt.ids) == "".join(pieces)


def test_targets_are_the_answers_and_the_line_break_after_them(toy_builder, toy_tokenizer):
    (tree,) = toy_builder.gold_trees([TEXT], [MENTIONS])

    for prompt, (question, answer_text) in zip(tree.prompts(), PIECES, strict=True):
        head = encode(toy_tokenizer, "text:\n", TEXT, "\nentity type:\n", *question)
        answer = encode(toy_tokenizer, answer_text, "\n")
        expected = [NO_TARGET] * (len(head) - 1) + answer
        assert prompt.target.tolist() == expected
        indices = np.flatnonzero(prompt.target != NO_TARGET)
        following = [*prompt.ids.tolist(), *encode(toy_tokenizer, "\n")]
        assert [following[i + 1] for i in indices] == answer


@given(
    text=st.text(max_size=30),
    mentions=st.dictionaries(
        st.sampled_from(["person", "地点", "<num>"]), st.lists(st.text(max_size=8), max_size=12)
    ).filter(bool),
    lang=st.sampled_from(["en", "zh"]),
)
def test_any_text_gives_the_papers_sequences_once(toy_codec, text, mentions, lang):
    prompt = make_prompt(lang)
    (tree,) = TreeBuilder(toy_codec, prompt).gold_trees([text], [mentions])

    sequences = []
    trunk = [prompt.words.before_text, text, prompt.words.after_text]
    for label, strings in mentions.items():
        count = [*trunk, label, "\n\n<num>", *str(len(strings))]
        sequences.append(count)
        for k, mention in enumerate(strings, 1):
            on_one_line = mention.replace("\n", " ").replace("\r", " ")
            sequences.append([*count, f"\n<mention {k}>", on_one_line])
    expected = [encode(toy_codec.tokenizer, *pieces) for pieces in sequences]
    assert [one.ids.tolist() for one in tree.prompts()] == expected
    assert tree.labels == tuple(mentions)
    # The text is there once, whatever the number of prompts.
    shared = len(encode(toy_codec.tokenizer, *trunk))
    assert len(tree) < shared + sum(len(ids) - shared for ids in expected) + 1


def test_question_trees_have_the_count_prompts_of_gold_trees(toy_builder):
    labels = list(MENTIONS)
    (question_tree,) = toy_builder.question_trees([TEXT], labels)
    (gold_tree,) = toy_builder.gold_trees([TEXT], [{label: [] for label in labels}])

    assert question_tree.n_targets == 0
    assert question_tree.branches() == [(1, 0), (2, 0), (3, 0)]
    assert question_tree.labels == gold_tree.labels
    for question, answer in zip(question_tree.prompts(), gold_tree.prompts(), strict=True):
        assert question.ids.tolist() == answer.ids.tolist()[:-1]  # all but the number


def test_many_texts_at_once_are_each_text_alone(toy_builder):
    texts = ["one", "", "the second text\n", "三"]
    together = toy_builder.question_trees(texts, ["a", "b"])
    alone = [toy_builder.question_trees([text], ["a", "b"])[0] for text in texts]
    assert [tree.ids.tolist() for tree in together] == [tree.ids.tolist() for tree in alone]
    assert toy_builder.question_trees([], ["a"]) == []


def test_numbers_are_digits_and_end_with_a_line_break(toy_builder, toy_codec):
    (tree,) = toy_builder.gold_trees(["t"], [{"a": ["x"] * 12}])
    count = tree.prompt(1)
    assert count.target[count.target != NO_TARGET].tolist() == [
        toy_codec.digit_ids[1],
        toy_codec.digit_ids[2],
        toy_codec.end_id,
    ]
    assert len(tree.branches()) == 13
    last = tree.prompt(1, 12)
    assert toy_codec.decode(last.ids).endswith("<num>12\n<mention 12>x")


def test_labels_have_the_words_of_their_definitions(toy_codec):
    builder = TreeBuilder(toy_codec, make_prompt("zh", {"PER": "人名"}))
    (tree,) = builder.question_trees(["他"], ["PER", "LOC"])
    assert tree.labels == ("PER", "LOC")
    decoded = [toy_codec.decode(prompt.ids) for prompt in tree.prompts()]
    assert decoded == [
        "文本：\n他\n实体类型：\n人名\n\n<num>",
        "文本：\n他\n实体类型：\nLOC\n\n<num>",
    ]


def test_prompts_start_as_the_tokenizer_starts_a_text(toy_codec, english, monkeypatch):
    monkeypatch.setitem(toy_codec.__dict__, "prefix", [9])
    (tree,) = TreeBuilder(toy_codec, english).gold_trees(["t"], [{"a": ["x"]}])
    assert [prompt.ids[0] for prompt in tree.prompts()] == [9, 9]
    assert tree.ids.tolist().count(9) == 1


@pytest.mark.parametrize("control", ["<num>", "<mention 1>", "<|im_end|>", "<|endoftext|>"])
def test_text_that_spells_a_control_piece_is_text(toy_builder, toy_tokenizer, control):
    (tree,) = toy_builder.question_trees([f"a {control} b"], ["x"])
    assert not set(tree.ids.tolist()) & set(toy_tokenizer.all_special_ids)
    assert toy_tokenizer.decode(tree.ids) == f"text:\na {control} b\nentity type:\nx\n\n<num>"


def test_a_text_longer_than_the_window_is_refused_with_both_sizes(toy_codec, english):
    answers = [{"a": ["bcd"]}]
    (tree,) = TreeBuilder(toy_codec, english).gold_trees(["text"], answers)
    needed = int(tree.position.max()) + 1

    fits = TreeBuilder(toy_codec, english, needed)
    assert fits.gold_trees(["text"], answers)[0].ids.tolist() == tree.ids.tolist()
    short = TreeBuilder(toy_codec, english, needed - 1)
    with pytest.raises(ValueError, match=rf"needs {needed} positions .* model has {needed - 1}"):
        short.gold_trees(["text"], answers)


def test_question_trees_reserve_positions_for_the_number_and_a_mention_head(toy_codec, english):
    """Else a document that just fits would fail, or leave the window, in the second pass."""
    (tree,) = TreeBuilder(toy_codec, english).question_trees(["text"], ["a"])
    number_and_head = encode(toy_codec.tokenizer, "123", "\n<mention 99>")
    needed = len(tree.prompt(1)) + len(number_and_head)

    assert TreeBuilder(toy_codec, english, needed).question_trees(["text"], ["a"])
    short = TreeBuilder(toy_codec, english, needed - 1)
    assert short.question_trees(["text"], ["a"], max_count=9)
    with pytest.raises(ValueError, match=r"'text'… .4 characters.*less window_tokens"):
        short.question_trees(["text"], ["a"])


def test_one_long_text_is_named(toy_codec, english):
    builder = TreeBuilder(toy_codec, english, 100)
    with pytest.raises(ValueError, match="'long long") as error:
        builder.question_trees(["short", "long " * 50], ["a"])
    assert "100" in str(error.value)
    assert "250 characters" in str(error.value)


@given(
    texts=st.lists(
        st.lists(st.sampled_from(ODD) | st.text(max_size=3), max_size=6).map("".join), max_size=5
    ),
    labels=st.lists(st.sampled_from(["a", "the place", "地点"]), min_size=1, unique=True),
    options=st.fixed_dictionaries({"both_ways": st.booleans(), "echo": st.booleans()}),
)
def test_question_trees_are_gold_trees_without_the_answers(toy_codec, texts, labels, options):
    """Trees of a batch share their arrays; each has what a tree written alone has."""
    builder = TreeBuilder(toy_codec, make_prompt("en", **options))
    question_trees = builder.question_trees(texts, labels)
    assert len(question_trees) == len(texts)
    for text, tree in zip(texts, question_trees, strict=True):
        (whole,) = builder.gold_trees([text], [dict.fromkeys(labels, ())])
        numbers = [branch_end(whole, path) for path, _ in enumerate(labels, 1)]
        for name in ("ids", "position", "label", "mention", "horizon"):
            expected = np.delete(getattr(whole, name), numbers)
            assert getattr(tree, name).tolist() == expected.tolist(), name
        assert (tree.target == NO_TARGET).all()
        assert tree.labels == tuple(labels)
        assert tree.n_trunk == (tree.label == TRUNK).sum()
        assert tree.branches() == whole.branches()
        at = builder.text_indices(tree)
        assert tree.ids[at].tolist() == toy_codec.encode(text)
