"""Edges of texts, against all pieces of a text looked up one by one."""

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from support.odd_codecs import llama2_codec

from spacy_padellm.decoding.lattice import AFTER, START, ConstraintText, build_lattices
from spacy_padellm.documents.occurrences import token_bounds
from spacy_padellm.tokenization.codec import one_line
from spacy_padellm.tokenization.token_bytes import TokenBytes

NLP = spacy.blank("en")
PIECES = ["the", "theatre", "a", "in", " ", "  ", "\n", "\r\n", "\t", "é", "e\u0301", "北京", "😀"]
PIECES += ["<|im_end|>", "<num>", "-", "12", "\x00"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@pytest.fixture(params=["toy", "llama2"], scope="module")
def codec_and_pieces(request, toy_codec):
    codec = toy_codec if request.param == "toy" else llama2_codec()
    return codec, TokenBytes(codec)


def edges(lattice):
    columns = (lattice.src, lattice.dst, lattice.token, lattice.need)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def make(codec, pieces, texts, with_tokens, most):
    passages = [
        ConstraintText(text, token_bounds(NLP.make_doc(text)) if with_tokens else None)
        for text in texts
    ]
    return build_lattices(passages, list(map(pieces.text, codec.encode_texts(texts))), pieces, most)


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=5),
    with_tokens=st.booleans(),
    most=st.sampled_from([1, 2, 3, 64]),
)
def test_many_texts_at_once_are_each_text_alone(codec_and_pieces, texts, with_tokens, most):
    together = make(*codec_and_pieces, texts, with_tokens, most)
    assert len(together) == len(texts)
    for text, one in zip(texts, together, strict=True):
        (alone,) = make(*codec_and_pieces, [text], with_tokens, most)
        assert edges(one) == edges(alone)
        assert one.start_byte.tolist() == alone.start_byte.tolist()
        assert one.is_end.tolist() == alone.is_end.tolist()
        assert one.chars.tolist() == alone.chars.tolist()


@given(text=TEXTS, most=st.sampled_from([1, 2, 3, 64]))
def test_edges_are_the_pieces_that_lead_to_an_end(codec_and_pieces, text, most):
    codec, pieces = codec_and_pieces
    (found,) = make(codec, pieces, [text], True, most)
    raw = one_line(text).encode()
    doc = NLP.make_doc(text)
    words = [token for token in doc if not token.is_space]
    offset = [len(text[:i].encode()) for i in range(len(text) + 1)]
    starts = [offset[token.idx] for token in words]
    ends = {offset[token.idx + len(token)] for token in words}
    assert np.flatnonzero(found.is_end).tolist() == sorted(ends)
    assert [offset[i] for i in found.chars[found.chars >= 0]] == offset

    said = [pieces.text([token]) for token in range(len(codec.tokenizer))]
    spans = [(a, b) for a in range(len(raw)) for b in range(a + 1, len(raw) + 1)]
    known = set(said)
    inner = {(a, b) for a, b in spans if raw[a:b] in known}
    need = {at: 0 if at in ends else 1000 for at in range(len(raw) + 1)}
    for a in reversed(range(len(raw))):
        if a not in ends:
            need[a] = min((1 + need[b] for c, b in inner if c == a), default=1000)
    inner = {(a, b) for a, b in inner if need[b] < most}
    opening = {(a, b) for a, b in spans if a in starts and pieces.prefix + raw[a:b] in known}
    opening = {(a, b) for a, b in opening if need[b] < most}
    expected = [(a, START, b, need[b]) for a, b in opening]
    expected += [(a, a, b, need[b]) for a, b in inner]
    if pieces.prefix_token is not None:
        again = [(a, AFTER, b, need[b]) for a, b in inner if a in starts]
        expected += again
        least = 1 + min((rest for *_, rest in again), default=1000)
        expected += [(a, START, AFTER, least) for a in starts if least < most]

    n = len(found.start_byte)
    assert (found.src[:n] == START).all()
    assert START not in found.src[n:]
    assert (np.diff(found.start_byte) >= 0).all()
    got = []
    for i, (src, dst, token, rest) in enumerate(edges(found)):
        prefix = pieces.prefix if src == START else b""
        stop = len(raw) + 1
        if i < n:
            place = int(found.start_byte[i])
        elif src == AFTER:  # its place is not kept: any start where it fits
            place = None
        else:
            place = src
        if dst == AFTER:
            assert token == pieces.prefix_token
        else:
            length = len(said[token]) - len(prefix)
            place = dst - length if place is None else place
            assert 0 <= place < dst < stop
            assert prefix + raw[place:dst] == said[token]
        got.append((place, src, dst, rest))
    assert sorted(got) == sorted(expected)
