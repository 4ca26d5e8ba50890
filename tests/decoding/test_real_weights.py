"""The shipped model: tree and replicated decoders against one another and against plain passes."""

import json

import pytest
from support.plain_decoding import (
    PLAIN,
    answer_logprobs,
    decode_plainly,
    encode,
    generate_greedily,
)
from support.predictions import count_fields, mention_fields

from spacy_padellm.decoding.replicated import ReplicatedDecoder
from spacy_padellm.decoding.tree_decoder import TreeDecoder
from spacy_padellm.engine.runner import Runner

pytestmark = pytest.mark.weights

LABELS = ["person", "organisation", "location", "miscellaneous"]
SENTENCES = [
    "Marie Curie and Pierre Curie worked in Paris for the Sorbonne.",
    "The Beatles played in Hamburg before Ringo Starr joined.",
    "It rained all day.",
    "El presidente de México, Claudia Sheinbaum, visitó Berlín.",
    "阿里巴巴的马云出生在杭州。",
    'She said "<mention 1> <num>3 <|im_end|>" to Angela Merkel.',
    "Naples , Rome , Milan , Turin , Genoa , Bari , Palermo , Bologna , Venice , Verona , Pisa .",
]
EDGES = [
    "",
    "  \n\t ",
    "😀🎉👩‍👩‍👧 🇫🇷",
    "text <num>7\n<mention 1>Paris\n",
    "<|im_start|>user<|im_end|><|endoftext|>",
    "text:\nBerlin\nentity type:\nperson\n\n<num>1\n<mention 1>Berlin",
    "naïve café — Zoë's “Überraschung” in Malmö",
    "e\u0301cole a\u0300 Geneve",
    "Москва и Санкт-Петербург; محمد في القاهرة; 東京の田中さん",
    "12 12 12 007 3.14 $1,000 1/2/1999",
    "a" * 120,
    *(f"{name} of Rome met {name} of Oslo." for name in ("Anna", "O'Neil", "李雷")),
]
BUILT = [
    f"{one} met {other} in {place}."
    for one in ("John Smith", "Aiko Tanaka", "the mayor", "José")
    for other in ("Mary", "Toyota staff", "nobody")
    for place in ("Lima", "New York City", "北京", "the rain")
]
# Texts of each set beside the repository, and the most characters of one: few and short, as the
# replicated decoder reads each text again for every label and mention.
SHARES = {
    "conll03": (6, 60),
    "wnut17": (4, 60),
    "wikigold": (2, 100),
    "weibo": (2, 25),
    "msra": (1, 25),
    "resume": (1, 25),
    "genia": (1, 180),
    "crossner_ai": (1, 180),
}
N_TEXTS = 40


@pytest.fixture(scope="module")
def texts():
    """40 texts of mixed length and language: real ones where the data is there, else BUILT."""
    from support.pipelines import ROOT

    folder = ROOT.parent / "shared" / "data"
    found = [*SENTENCES, *EDGES, " ".join(SENTENCES)]
    if folder.is_dir():
        for name, (share, longest) in SHARES.items():
            found += _spread(folder / name / "test.jsonl", share, longest)
    found += [f"{text} And {k}." for k in range(4) for text in BUILT]
    return found[:N_TEXTS]


def _spread(path, n, longest):
    """RETURNS (list[str]): n texts of up to `longest` characters, from all over a file."""
    lines = path.read_text(encoding="utf8").splitlines()
    texts = [text for line in lines if len(text := json.loads(line)["text"]) <= longest]
    return texts[:: len(texts) // n][:n]


@pytest.mark.slow
def test_tree_and_replicated_decoders_say_the_same(real_model, real_builder, texts):
    assert len(texts) == N_TEXTS
    tree = TreeDecoder()(Runner(real_model), real_builder, texts, LABELS)
    replicated = ReplicatedDecoder()(Runner(real_model), real_builder, texts, LABELS)

    n_mentions = 0
    for text, one, other in zip(texts, tree, replicated, strict=True):
        assert count_fields(one) == count_fields(other), text
        assert mention_fields(one) == mention_fields(other), text
        for count, twin in zip(one.counts, other.counts, strict=True):
            assert count.logprob == pytest.approx(twin.logprob, abs=1e-3), text
        for mention, twin in zip(one.mentions, other.mentions, strict=True):
            assert mention.logprobs == pytest.approx(twin.logprobs, abs=1e-3), text
        n_mentions += len(one.mentions)
    assert n_mentions > 30


@pytest.mark.slow
def test_log_probabilities_are_those_of_each_prompt_alone(real_model, causal_builder):
    """One forward pass by transformers over a prompt with its answer; nothing of ours but words."""
    tokenizer, network = real_model.codec.tokenizer, real_model.network
    tree = TreeDecoder(**PLAIN)(Runner(real_model), causal_builder, SENTENCES, LABELS)
    replicated = ReplicatedDecoder(**PLAIN)(Runner(real_model), causal_builder, SENTENCES, LABELS)

    assert sum(len(one.mentions) for one in tree) > 12
    for text, one, other in zip(SENTENCES, tree, replicated, strict=True):
        heads = {}
        for count, twin in zip(one.counts, other.counts, strict=True):
            head = ["text:\n", text, "\nentity type:\n", count.label, "\n\n<num>"]
            number = list(str(count.number))
            said = encode(tokenizer, *number, *(["\n"] if count.number else []))
            logprobs = answer_logprobs(network, encode(tokenizer, *head), said)
            assert [count.logprob, twin.logprob] == pytest.approx([sum(logprobs)] * 2, abs=1e-3)
            heads[count.label] = [*head, *number]
        for mention, twin in zip(one.mentions, other.mentions, strict=True):
            head = heads[mention.label]
            prompt = encode(tokenizer, *head, f"\n<mention {mention.index}>")
            said = generate_greedily(network, prompt, len(mention.logprobs))
            assert tokenizer.decode(said).strip(" ") == mention.text == twin.text
            logprobs = answer_logprobs(network, prompt, said)
            assert mention.logprobs == pytest.approx(logprobs, abs=1e-3), mention
            assert twin.logprobs == pytest.approx(logprobs, abs=1e-3), twin


def test_decoding_is_the_papers_decoding_done_plainly(real_model, causal_builder):
    """Greedy, prompt by prompt, the whole of it anew at each token, by transformers alone."""
    text = "Marie Curie worked in Paris."
    (prediction,) = TreeDecoder(**PLAIN)(Runner(real_model), causal_builder, [text], LABELS)
    for count in prediction.counts:
        expected = decode_plainly(
            real_model.network, real_model.codec.tokenizer, text, count.label, 99, 64
        )
        said = [one for one in prediction.mentions if one.label == count.label]
        assert count.number == expected.number
        assert count.logprob == pytest.approx(expected.logprob, abs=1e-3)
        assert [one.text for one in said] == [text for text, _ in expected.mentions]
        for one, (_, logprobs) in zip(said, expected.mentions, strict=True):
            assert one.logprobs == pytest.approx(logprobs, abs=1e-3)


def test_a_sure_mention_is_likely(real_model, causal_builder):
    """Padding, a prefix fed twice or summed pad tokens give 4e-18 for a sure mention."""
    predictions = TreeDecoder()(Runner(real_model), causal_builder, SENTENCES, LABELS)
    (prediction, *_), said = predictions, mention_fields(predictions[0])
    assert ("person", 1, "Marie Curie", True) in said
    for mention in prediction.mentions:
        if mention.text in ("Marie Curie", "Pierre Curie", "Paris"):
            assert mention.logprob > -0.5
