"""What decoders make of a model that says what a script tells: both decoders, and the tree
decoder on a model that takes no trees.
"""

import itertools

import pytest
from support.plain_decoding import PLAIN
from support.predictions import count_fields, mention_fields
from support.scripted_model import GARBAGE, ScriptedModel

from spacy_padellm.decoding.replicated import ReplicatedDecoder
from spacy_padellm.decoding.tree_decoder import TreeDecoder
from spacy_padellm.engine.runner import Runner
from spacy_padellm.prompts.tree_builder import TreeBuilder

TRUNK = ("text:\n", "doc", "\nentity type:\n", "a", "\n\n<num>")
KINDS = {
    "tree": (TreeDecoder, True),
    "replicated": (ReplicatedDecoder, True),
    "replicated, recomputed": (ReplicatedDecoder, False),
    "tree, fallen back": (TreeDecoder, False),
}
LONG = "long " * 40  # room for a hundred mentions (see `cap_total_length`)


@pytest.fixture(params=KINDS)
def decode(request, toy_codec, english):
    """Decode the texts of a script, with the labels of the first; gives predictions and model."""
    decoder, supports_tree_mask = KINDS[request.param]

    def run(script, texts=None, max_positions=None, **parameters):
        model = ScriptedModel(toy_codec, script, supports_tree_mask, max_positions)
        builder = TreeBuilder(toy_codec, english, max_positions)
        texts = list(script) if texts is None else texts
        labels = list(next(iter(script.values())))
        return decoder(**PLAIN, **parameters)(Runner(model), builder, texts, labels), model

    return run


@pytest.mark.parametrize("n", [1, 2, 9, 10, 12, 21])
def test_counts_of_any_number_of_digits(decode, n):
    mentions = [f"m{k}" for k in range(n)]
    (prediction,), _ = decode({LONG: {"a": (str(n), mentions)}})

    assert count_fields(prediction) == [("a", n, False)]
    assert mention_fields(prediction) == [("a", k, f"m{k - 1}", True) for k in range(1, n + 1)]


def test_no_mentions(decode):
    (prediction,), model = decode({"doc": {"a": ("0", [])}})
    assert count_fields(prediction) == [("a", 0, False)]
    assert prediction.mentions == ()
    assert prediction.counts[0].logprob == pytest.approx(model.logprob(*TRUNK), abs=1e-5)
    assert model.passes == 1


def test_log_probabilities_are_of_the_number_with_its_end_and_of_the_mention_without(decode):
    (prediction,), model = decode({"doc": {"a": ("12", ["xy"] * 12)}})

    number = [model.logprob(*TRUNK, *digits) for digits in ((), "1", "12")]
    assert prediction.counts[0].logprob == pytest.approx(sum(number), abs=1e-5)
    for k, mention in enumerate(prediction.mentions, 1):
        head = (*TRUNK, "1", "2", f"\n<mention {k}>")
        expected = [model.logprob(*head), model.logprob(*head, "x")]
        assert mention.logprobs == pytest.approx(expected, abs=1e-5)
        assert mention.logprob == pytest.approx(sum(expected), abs=1e-5)


def test_neither_padding_nor_what_comes_after_the_end_is_in_a_log_probability(decode):
    """A short mention waits for a long one, in a batch with a much longer text."""
    long = "m" * 40
    script = {"doc": {"a": ("2", ["x", long])}, "a text of other length" * 3: {"a": ("1", ["y"])}}
    predictions, model = decode(script)

    short, other = predictions[0].mentions
    assert [len(short.logprobs), len(other.logprobs)] == [1, 40]
    expected = model.logprob(*TRUNK, "2", "\n<mention 1>")
    assert short.logprob == pytest.approx(expected, abs=1e-5)
    assert short.logprob > -0.7
    (waiting,) = predictions[1].mentions
    assert len(waiting.logprobs) == 1


def test_heads_asked_after_the_first_digit_are_discarded(decode):
    """1 is followed by 2: what was asked of "<num>1" must not be seen or said."""
    script = {
        "doc": {"a": ("12", ["x"] * 12), "b": ("1", ["long one"]), "c": ("20", ["z"] * 20)},
        "dot": {"a": ("3", ["x", "y", "z"]), "b": ("0", []), "c": ("11", ["v"] * 11)},
    }
    predictions, _ = decode(script)

    assert count_fields(predictions[0]) == [("a", 12, False), ("b", 1, False), ("c", 20, False)]
    assert count_fields(predictions[1]) == [("a", 3, False), ("b", 0, False), ("c", 11, False)]
    for prediction, answers in zip(predictions, script.values(), strict=True):
        expected = [
            (label, k, mention, True)
            for label, (_, mentions) in answers.items()
            for k, mention in enumerate(mentions, 1)
        ]
        assert mention_fields(prediction) == expected


def test_only_discarded_heads_are_asked_of_prompts_that_do_not_exist(toy_codec, english):
    script = {"doc": {"a": ("12", ["x"] * 12)}}
    asked = {}
    for decoder in (TreeDecoder(**PLAIN), ReplicatedDecoder(**PLAIN)):
        model = ScriptedModel(toy_codec, script)
        decoder(Runner(model), TreeBuilder(toy_codec, english), ["doc"], ["a"])
        asked[type(decoder)] = model.unknown
    early = "".join(TRUNK) + "1\n<mention 1>"
    assert asked == {TreeDecoder: [early], ReplicatedDecoder: []}


@pytest.mark.parametrize(
    ("number", "max_count", "expected"),
    [
        ("7", 5, 7),
        ("5", 5, 5),
        ("12", 9, 12),
        ("50", 20, 50),
        ("123", 99, 123),
        ("1234567", 99, 123),
        ("99999999", 1, 9),
    ],
)
def test_counts_beyond_the_bound(decode, number, max_count, expected):
    """Never more mentions than the bound, and as many where the number is above it."""
    mentions = [f"m{k}" for k in range(max_count)]
    shown = str(expected)
    script = {LONG: {"a": (number, mentions)}}
    if shown != number:  # its mentions are asked for under the digits that were read
        script[LONG]["a"] = (number, [])
    (prediction,), _ = decode(script, max_count=max_count)

    (count,) = prediction.counts
    assert (count.number, count.bounded) == (expected, expected > max_count)
    assert len(prediction.mentions) == max_count
    if shown == number:
        assert [one.text for one in prediction.mentions] == mentions


def test_a_count_never_goes_on_after_a_zero(decode):
    (prediction,), _ = decode({"doc": {"a": ("07", ["x"] * 7)}})
    assert count_fields(prediction) == [("a", 0, False)]
    assert prediction.mentions == ()


def test_a_mention_that_never_ends(decode):
    script = {"doc": {"a": ("2", ["xy…", "z"])}}
    (prediction,), _ = decode(script, max_mention_tokens=5)
    assert mention_fields(prediction) == [("a", 1, "xyyyy", False), ("a", 2, "z", True)]
    assert [len(one.logprobs) for one in prediction.mentions] == [5, 1]


def test_a_mention_of_just_the_longest_length(decode):
    (prediction,), _ = decode({"doc": {"a": ("1", ["abc"])}}, max_mention_tokens=3)
    assert mention_fields(prediction) == [("a", 1, "abc", True)]


def test_a_mention_that_reaches_the_end_of_the_window(decode):
    """The model is never asked past its positions, which `ScriptedModel` checks."""
    (prediction,), model = decode({"doc": {"a": ("1", ["x…"])}}, max_positions=60)
    (mention,) = prediction.mentions
    prompt = sum(len(model.codec.encode(piece)) for piece in (*TRUNK, "1", "\n<mention 1>"))
    assert not mention.ended
    assert mention.text == "x" * (60 - prompt + 1)  # the last one is said, not fed


def test_an_empty_mention(decode):
    (prediction,), _ = decode({"doc": {"a": ("2", ["", "x"])}})
    assert mention_fields(prediction) == [("a", 1, "", True), ("a", 2, "x", True)]
    assert prediction.mentions[0].logprobs == ()


def test_the_end_of_the_sequence_ends_a_mention_too(decode, toy_codec, monkeypatch):
    (eos,) = toy_codec.encode("~")
    monkeypatch.setattr(toy_codec, "tokenizer", _WithEos(toy_codec.tokenizer, eos))
    (prediction,), _ = decode({"doc": {"a": ("1", ["ab~cd"])}})
    assert mention_fields(prediction) == [("a", 1, "ab", True)]


@pytest.mark.parametrize("blank", ["", "  ", "\n\t", "　"])
def test_blank_texts_have_no_mentions_and_are_not_asked(decode, blank):
    script = {"doc": {"a": ("1", ["x"])}}
    predictions, _ = decode(script, [blank, "doc", blank])
    assert [count_fields(one) for one in predictions] == [
        [("a", 0, False)],
        [("a", 1, False)],
        [("a", 0, False)],
    ]
    assert [len(one.mentions) for one in predictions] == [0, 1, 0]

    predictions, model = decode(script, [blank, blank])
    assert [count_fields(one) for one in predictions] == [[("a", 0, False)]] * 2
    assert model.passes == 0


def test_no_texts(decode):
    assert decode({"doc": {"a": ("1", ["x"])}}, [])[0] == []


def test_a_text_does_not_depend_on_its_batch(decode):
    script = {
        "doc": {"a": ("2", ["x", "longer mention"]), "b": ("0", [])},
        "a longer document, much longer": {"a": ("0", []), "b": ("12", ["q"] * 12)},
        "北京": {"a": ("1", ["北"]), "b": ("1", ["京"])},
        "<mention 1> <num>": {"a": ("1", ["<num>"]), "b": ("0", [])},
    }
    whole, _ = decode(script)
    expected = dict(zip(script, whole, strict=True))
    for texts in itertools.permutations(script):
        for batch_tokens in (1, 100, 10_000):
            found, _ = decode(script, list(texts), batch_tokens=batch_tokens)
            for text, prediction in zip(texts, found, strict=True):
                assert count_fields(prediction) == count_fields(expected[text])
                assert mention_fields(prediction) == mention_fields(expected[text])
                for one, other in zip(prediction.mentions, expected[text].mentions, strict=True):
                    assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


def test_the_same_text_twice(decode):
    script = {"doc": {"a": ("1", ["x"])}}
    first, second = decode(script, ["doc", "doc"])[0]
    assert first == second


def test_garbage_is_what_the_script_does_not_know(toy_codec):
    """So that a wrong prompt shows in every test above."""
    model = ScriptedModel(toy_codec, {})
    logits = model._answer([toy_codec.encode("a prompt")])[0]
    assert toy_codec.decode([int(logits.argmax())]) == GARBAGE


class _WithEos:
    """A tokenizer with another end of sequence."""

    def __init__(self, tokenizer, eos):
        self._tokenizer = tokenizer
        self.eos_token_id = eos

    def __getattr__(self, name):
        return getattr(self._tokenizer, name)

    def __call__(self, *args, **options):
        return self._tokenizer(*args, **options)

    def __len__(self):
        return len(self._tokenizer)
