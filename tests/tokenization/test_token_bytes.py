import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.odd_codecs import llama2_codec, metaspace_codec

from spacy_padellm.tokenization.token_bytes import BREAK, TokenBytes

READABLE = "<|im_end|> Paris, 1998 — naïve 北京 😀\tend"


@given(st.text(max_size=40))
def test_bytes_of_a_text_come_back(toy_codec, text):
    assert TokenBytes(toy_codec).text(toy_codec.encode(text)) == text.encode()


def test_a_dummy_prefix(toy_codec):
    codec = llama2_codec()
    pieces = TokenBytes(codec)
    assert pieces.text(codec.encode(READABLE)) == b" " + READABLE.encode()
    text = "a é".encode()
    assert tokens(pieces, codec, text, 0) == []  # none with the prefix in it
    assert codec.tokenizer.convert_ids_to_tokens(pieces.prefix_token) == "▁"
    assert tokens(TokenBytes(toy_codec), toy_codec, b"the inn", 4) == ["i", "in"]


def tokens(pieces, codec, text, start):
    return codec.tokenizer.convert_ids_to_tokens(first_tokens(pieces, text, start))


def first_tokens(pieces, text, start):
    read = np.array([*text, BREAK], dtype=np.uint16)
    begins, ends, tokens = pieces.tokens_at(read, np.array([start]), first=True)
    for begin, end, token in zip(begins, ends, tokens, strict=True):
        assert pieces.text([token]) == pieces.prefix + text[begin:end]
    assert (begins == start).all()
    return tokens.tolist()


@pytest.mark.parametrize("text", ["the theatre", "北京", "e\u0301cole", "num 1"])
def test_first_tokens_begin_the_text(toy_codec, text):
    pieces, raw = TokenBytes(toy_codec), text.encode()
    for start in range(len(raw)):
        tokens = first_tokens(pieces, raw, start)
        assert tokens
        assert all(raw[start:].startswith(pieces.text([token])) for token in tokens)
    assert first_tokens(pieces, raw, len(raw)) == []


def test_special_tokens_have_no_bytes(toy_codec):
    assert TokenBytes(toy_codec).text(toy_codec.tokenizer.all_special_ids) == b""


def test_tokens_that_are_no_bytes():
    with pytest.raises(ValueError, match=r"can't be read as bytes.*joint_starts need"):
        TokenBytes(metaspace_codec())  # has no token for most characters


@pytest.mark.weights
@pytest.mark.parametrize("text", ["Marie Curie", READABLE, "El Niño", "Москва", "O'Neil & Söhne"])
def test_the_default_base(real_model, text):
    codec = real_model.codec
    pieces = TokenBytes(codec)
    ids = codec.encode(text)
    assert pieces.text(ids) == text.encode()
    assert ids[0] in first_tokens(pieces, text.encode(), 0)
