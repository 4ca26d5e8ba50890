"""The substring constraint: each step against the rule in plain words, on device and host."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.constrained_texts import MOST, NLP, TEXTS
from support.odd_codecs import llama2_codec

from spacy_padellm.decoding.constraint import Constraint
from spacy_padellm.decoding.host_constraint import HostConstraint
from spacy_padellm.decoding.lattice import ConstraintText, build_lattices
from spacy_padellm.decoding.logits import Logits
from spacy_padellm.decoding.mentions import NOTHING
from spacy_padellm.documents.occurrences import token_bounds
from spacy_padellm.prompts.tree import ABSENT
from spacy_padellm.tokenization.codec import one_line
from spacy_padellm.tokenization.token_bytes import TokenBytes


@pytest.fixture(scope="module", params=["bytes", "prefix"])
def pieces(request, toy_codec):
    """A tokenizer over bytes, and one that puts a space before each text."""
    codec = toy_codec if request.param == "bytes" else llama2_codec()
    return codec, TokenBytes(codec)


@pytest.fixture(scope="module", params=["device", "host"])
def constrain(request):
    """Both constraints: for all mentions at once, and for one after the other."""
    if request.param == "host":
        return HostConstraint
    return lambda documents, end: Constraint(documents, end, torch.device("cpu"))


def lattice_of(pieces, text, tokens, most=MOST):
    read = pieces.prefix + text.encode()
    return build_lattices([ConstraintText(text, tokens)], [read], pieces, most)[0]


def choose(constraint, mentions, logits, left):
    """One step without drafts; gives tokens and log-probabilities as lists."""
    n = len(mentions)
    none = np.zeros((n, 0), dtype=np.int64)
    rows = np.arange(n)[:, None]
    chosen = constraint.select(np.array(mentions), Logits(logits), np.array(left), rows, none)
    assert chosen.n_steps.tolist() == [1] * n
    return tuple(column[:, 0].tolist() for column in chosen[:3])


class Reference:
    """The rule in plain words: what may be said next after what has been said."""

    def __init__(self, codec, pieces, text, tokens):
        self.raw = one_line(text).encode()
        self.prefix = pieces.prefix
        at = [len(text[:i].encode()) for i in range(len(text) + 1)]
        self.starts = [at[start] for start, _ in tokens]
        self.ends = {at[end] for _, end in tokens}
        names = codec.tokenizer.convert_ids_to_tokens(list(range(len(codec.tokenizer))))
        order = sorted(range(len(names)), key=lambda t: names[t].startswith("<0x"))
        once = {b: t for t in reversed(order) if (b := pieces.text([t]))}
        self.bytes = {token: piece for piece, token in once.items()}
        self.need = [0 if i in self.ends else 99 for i in range(len(self.raw) + 1)]
        for _ in self.raw:
            for i in range(len(self.raw)):
                for piece in self.bytes.values():
                    if self.raw[i:].startswith(piece):
                        self.need[i] = min(self.need[i], self.need[i + len(piece)] + 1)

    def places(self, said):
        """RETURNS (list[int]): Where the text goes on after each place of what was said."""
        whole = [(start, self.prefix + self.raw[start:]) for start in self.starts]
        return [s + len(said) - len(self.prefix) for s, rest in whole if rest.startswith(said)]

    def may_end(self, said):
        return bool(said) and any(
            place in self.ends for place in self.places(said) if len(said) > len(self.prefix)
        )

    def legal(self, said, left):
        """RETURNS (set[bytes]): Pieces that may be said with `left` tokens to go."""
        found = set()
        for piece in set(self.bytes.values()):
            for place in self.places(said + piece):
                needed = self.need[place]
                if len(said + piece) == len(self.prefix):  # nothing of the text yet
                    needed = (
                        min(
                            self.need[s + len(b)]
                            for s in self.starts
                            for b in [*self.bytes.values()]
                            if self.raw[s:].startswith(b)
                        )
                        + 1
                    )
                if needed < left:
                    found.add(piece)
        return found


@given(text=TEXTS, other=TEXTS, seed=st.integers(0, 999))
def test_each_step_is_the_most_likely_that_the_rule_allows(pieces, constrain, text, other, seed):
    codec, read = pieces
    tokens = token_bounds(NLP(text))
    n_tokens = len(codec.tokenizer)
    documents = [lattice_of(read, other, token_bounds(NLP(other))), lattice_of(read, text, tokens)]
    constraint = constrain(documents, codec.end_id)
    numbers = constraint.add(np.array([1, 0]))
    reference = Reference(codec, read, text, tokens)
    generator = torch.Generator().manual_seed(seed)
    said, left = b"", MOST
    while True:
        logits = torch.randn(2, n_tokens, generator=generator) * 3
        token, logprob, in_text = choose(constraint, numbers, logits, [left, left])
        legal = reference.legal(said, left)
        scores = logits[0].log_softmax(-1)
        may = {t: float(scores[t]) for t, piece in reference.bytes.items() if piece in legal}
        if reference.may_end(said):
            may[codec.end_id] = float(scores[codec.end_id])
        if not may:
            assert token[0] == NOTHING
            assert not said  # no way in, and never a dead end
            return
        best = max(may, key=may.get)
        assert token[0] == best
        assert logprob[0] == pytest.approx(may[best], abs=1e-4)
        total = np.logaddexp.reduce(list(may.values()))
        assert in_text[0] == pytest.approx(may[best] - total, abs=1e-4)
        if best == codec.end_id:
            break
        said += reference.bytes[best]
        left -= 1
    _, ends = constraint.ends(numbers[:1])
    assert ends.tolist() == [
        place for place in sorted(reference.places(said)) if place in reference.ends
    ]


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=3),
    seed=st.integers(0, 9999),
    n_drafts=st.integers(0, 3),
    flat=st.booleans(),
)
def test_both_constraints_choose_alike(pieces, texts, seed, n_drafts, flat):
    codec, read = pieces
    documents = [lattice_of(read, text, token_bounds(NLP(text))) for text in texts]
    random = np.random.default_rng(seed)
    n, n_tokens = len(texts) * 2, len(codec.tokenizer)
    both = (
        Constraint(documents, codec.end_id, torch.device("cpu")),
        HostConstraint(documents, codec.end_id),
    )
    document = np.arange(n) % len(texts)
    numbers, _ = (one.add(document) for one in both)
    open_, left = numbers, np.full(n, MOST)
    for step in range(MOST + 1):
        rows = np.arange(len(open_) * (1 + n_drafts)).reshape(len(open_), -1)
        logits = torch.from_numpy(random.normal(size=(rows.size, n_tokens)).astype(np.float32) * 3)
        logits = Logits(logits.round() if flat else logits)
        if step == 0 and not flat:
            opened = [one.start_logprobs(numbers, logits, rows[:, 0]) for one in both]
            for one, other in zip(*opened, strict=True):
                assert one == pytest.approx(other, abs=1e-5)
        # Drafts along the text, with a fault here and there, and shorter ones.
        drafts = np.full((len(open_), n_drafts), ABSENT)
        for row, mention in enumerate(open_):
            token = documents[document[mention]].token
            if len(token):
                drafts[row] = random.choice(token, n_drafts)
                drafts[row, random.integers(0, n_drafts + 1) :] = ABSENT
        seen = np.concatenate([rows[:, :1], np.where(drafts == ABSENT, ABSENT, rows[:, 1:])], 1)
        found = [one.select(open_, logits, left[open_], seen, drafts) for one in both]
        for row, mention in enumerate(open_):
            taken = found[0].n_steps[row]
            assert found[1].n_steps[row] == taken
            assert found[0].token[row, :taken].tolist() == found[1].token[row, :taken].tolist()
            for name in ("logprob", "text_logprob"):
                one, other = (getattr(part, name)[row, :taken] for part in found)
                assert one == pytest.approx(other, abs=1e-4, nan_ok=True)
            left[mention] -= taken
        places = [one.ends(numbers) for one in both]
        assert [part.tolist() for part in places[0]] == [part.tolist() for part in places[1]]
        last = found[0].token[np.arange(len(open_)), found[0].n_steps - 1]
        open_ = open_[(last != codec.end_id) & (last != NOTHING) & (left[open_] >= 0)]
        if not len(open_):
            break


def test_one_character_5000_times(toy_codec, constrain):
    """Every place matches: still one edge a token and place."""
    text = "a" * 5000
    pieces = TokenBytes(toy_codec)
    whole = lattice_of(pieces, text, np.array([[0, 5000]]), 64)
    assert len(whole.start_byte) == 0  # no mention of 64 tokens is the whole text
    each = lattice_of(pieces, text, np.array([[i, i + 1] for i in range(5000)]), 64)
    assert len(each.src) <= 2 * 5000
    constraint = constrain([each], toy_codec.end_id)
    numbers = constraint.add(np.zeros(8, dtype=np.int64))
    logits = torch.zeros(8, len(toy_codec.tokenizer))
    logits[:, toy_codec.encode("a")[0]] = 9
    for left in range(64, -1, -1):
        token = choose(constraint, numbers, logits, [left] * 8)[0]
    assert set(token) == {toy_codec.end_id}
    of, _ = constraint.ends(numbers)
    assert (of == 0).sum() == 5000 - 63


def test_half_characters(toy_codec, constrain):
    """A token may hold a part of a character: no mention ends there."""
    text = "北京市"
    bounds = np.array([[0, 2], [2, 3]])
    lattice = lattice_of(TokenBytes(toy_codec), text, bounds)
    assert np.flatnonzero(lattice.is_end).tolist() == [6, 9]
    assert set(lattice.start_byte.tolist()) == {0, 6}
    # Six bytes are six tokens: "北京市" needs nine, more than there may be.
    constraint = constrain([lattice], toy_codec.end_id)
    (number,) = constraint.add(np.array([0]))
    ids = toy_codec.encode("北京")
    for left, token in zip(range(MOST, 0, -1), ids, strict=True):
        logits = torch.zeros(1, len(toy_codec.tokenizer))
        logits[0, token] = 5
        assert choose(constraint, [number], logits, [left])[0] == [token]
    logits = torch.zeros(1, len(toy_codec.tokenizer))
    assert choose(constraint, [number], logits, [0])[0] == [toy_codec.end_id]


def test_64_labels_and_64_mentions(toy_codec, constrain):
    """4096 branches over a text with fewer starts: bounded, each within the text."""
    text = "the new man in a hat " * 8
    lattice = lattice_of(TokenBytes(toy_codec), text, token_bounds(NLP(text)), 16)
    constraint = constrain([lattice], toy_codec.end_id)
    numbers = constraint.add(np.zeros(4096, dtype=np.int64))
    logits = torch.randn(4096, len(toy_codec.tokenizer), generator=torch.Generator().manual_seed(0))
    steps, live = 0, list(numbers)
    while live:
        token = choose(constraint, live, logits[: len(live)], [16 - steps] * len(live))[0]
        live = [n for n, t in zip(live, token, strict=True) if t != toy_codec.end_id]
        steps += 1
    assert steps <= 17
    assert set(constraint.ends(numbers)[0]) == set(range(len(numbers)))


def test_a_line_break_is_generated_as_a_space(toy_codec):
    lattice = lattice_of(TokenBytes(toy_codec), "a\nb", np.array([[0, 3]]))
    assert toy_codec.encode("\n")[0] not in lattice.token
    assert toy_codec.encode(" ")[0] in lattice.token
