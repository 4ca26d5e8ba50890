from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from spacy_padellm.decoding.token_alignment import TokenAlignment
from spacy_padellm.tokenization.codec import Codec

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(texts, st.data())
def test_tokens_that_say_characters_in_part_or_whole(toy_codec, text, data):
    """A byte or more a token: which bytes are a range's is known without decoding any."""
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    ids = toy_codec.encode(text)
    spoken = TokenAlignment(toy_codec, ids)
    assert spoken.text == text

    first, last = (len(text[:at].encode()) for at in (start, end))
    expected, at = [], 0
    for i, token in enumerate(toy_codec.tokenizer.convert_ids_to_tokens(ids)):
        at, before = at + len(token), at  # a character of a byte-level token is a byte
        if before < last and first < at and start < end:
            expected.append(i)
    assert spoken.tokens([(start, end)]) == expected


def test_tokens_of_several_ranges(toy_codec):
    spoken = TokenAlignment(toy_codec, toy_codec.encode("the 北京 thx"))
    assert spoken.tokens([(0, 2), (8, 9)]) == [0, 9]
    assert spoken.tokens([(4, 5), (0, 1)]) == [0, 2, 3, 4]
    assert spoken.tokens([(3, 3)]) == []


def test_bytes_that_are_no_character(toy_codec):
    """A model can say half a character and go on with another."""
    (first, *_), (letter,) = toy_codec.encode("北"), toy_codec.encode("x")
    spoken = TokenAlignment(toy_codec, [letter, first, letter, first])
    assert spoken.text == "x\ufffdx\ufffd"
    assert [spoken.tokens([(i, i + 1)]) for i in range(4)] == [[0], [1], [2], [3]]


def test_tokens_of_bytes_and_dummy_prefixes():
    """As Llama 2 has them: each piece starts with a space that decoding drops once."""
    pieces = ["<unk>", *(f"<0x{n:02X}>" for n in range(256)), "▁", "a"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True, unk_token="<unk>"))
    backend.normalizer = normalizers.Prepend("▁")
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    codec = Codec(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>"))
    ids = [*codec.encode("a"), *codec.encode("北")]
    assert codec.tokenizer.convert_ids_to_tokens(ids[:4]) == ["▁", "a", "▁", "<0xE5>"]
    spoken = TokenAlignment(codec, ids)
    assert spoken.text == "a 北"
    assert spoken.tokens([(0, 1)]) == [1]
    assert spoken.tokens([(2, 3)]) == [3, 4, 5]
