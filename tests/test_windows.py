"""Long documents: windows over them, and what the windows say made one."""

import pickle
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from pipelines import (
    GOLD,
    LABELS,
    LORA,
    TEXTS,
    WINDOW,
    ScriptedDecoder,
    blank_pipeline,
    example,
    found,
    gold_examples,
    ner_of,
    same_annotation,
    scored,
)
from spacy.tokens import Doc

from spacy_padellm.cutting import cut
from spacy_padellm.decoding.prediction import Prediction
from spacy_padellm.evaluation import evaluate
from spacy_padellm.gold import Gold, gold_of
from spacy_padellm.merging import align_windows
from spacy_padellm.occurrences import token_bounds
from spacy_padellm.reformulate import reformulate
from spacy_padellm.span_getters import (
    ensure_registry,
    make_doc_spans,
    make_sent_spans,
    make_strided_spans,
)
from spacy_padellm.spans import Mention
from spacy_padellm.windows import LEAST_TOKENS, Window, Windows, window_golds

pytest_plugins = ["pipeline_fixtures"]

NLP = spacy.blank("en")
NOT_IMPORTED = "spacy-transformers can't be imported: it needs an older transformers"
BOOK = " ".join(TEXTS * 60)


def strided(window, stride):
    return make_strided_spans(window, stride)


def doc_of(words, spaces=None):
    return Doc(NLP.vocab, words=words, spaces=spaces or [True] * len(words))


# --- where windows are ---

# Words, white space of all kinds, long runs, marks and joined characters.
pieces = st.one_of(
    st.sampled_from(["a", "the", "Rome", ".", "!", "\n", "\n\n", "  ", "\t", " ", "北京", "é"]),
    st.sampled_from(["x" * 70, "e\u0301" * 30, "👩\u200d👩" * 20, "-" * 50, "\n" * 40, "あ" * 40]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
)


@st.composite
def documents(draw):
    """Docs by spaCy's own tokenizer, and in any tokens with and without spaces between them."""
    words = draw(st.lists(pieces, max_size=60))
    if draw(st.booleans()):
        return NLP.make_doc("".join(words))
    spaces = draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words)))
    return Doc(NLP.vocab, words=words, spaces=spaces)


limits = st.integers(LEAST_TOKENS, 80)


@given(documents(), limits, st.integers(0, 40), st.none() | limits)
@settings(max_examples=150)
def test_every_character_is_in_a_window_that_fits(toy_codec, doc, limit, overlap, most):
    windows = Windows(tokens=limit, overlap=min(overlap, limit // 2))
    (found,), (ids,) = windows.divide([doc], toy_codec, most)
    text, bound = doc.text, min(limit, most or limit)
    if found is None:
        assert len(toy_codec.encode(text)) <= bound or not text.strip()
        assert ids is None or ids == toy_codec.encode(text)
        return
    starts, ends = [one.start for one in found], [one.end for one in found]
    assert starts == sorted(set(starts))
    assert ends == sorted(set(ends))
    covered = np.zeros(len(text), dtype=bool)
    for start, end in found:
        covered[start:end] = True
        piece = text[start:end]
        assert piece == piece.strip() != ""
        if most is not None and most <= limit:
            assert len(toy_codec.encode(piece)) <= bound
        assert len(toy_codec.encode(piece)) <= 1.25 * bound  # words alone take other tokens
    assert all(covered[i] or text[i].isspace() for i in range(len(text)))
    # a token of up to an eighth of a window is whole in one
    for start, end in token_bounds(doc).tolist():
        if end - start <= bound // 16 and text[start:end] == text[start:end].strip():
            assert any(first <= start and end <= last for first, last in found)


@given(documents(), limits)
@settings(max_examples=50)
def test_windows_do_not_depend_on_the_batch(toy_codec, doc, limit):
    windows = Windows(tokens=limit, overlap=limit // 4)
    others = [NLP.make_doc(BOOK), NLP.make_doc("Bo"), NLP.make_doc("")]
    (alone,) = windows.divide([doc], toy_codec, None).windows
    assert windows.divide([*others, doc], toy_codec, None).windows[-1] == alone


def test_short_documents_are_not_tokenised_twice(toy_codec, monkeypatch):
    docs = [NLP.make_doc(text) for text in TEXTS]
    windows = Windows(tokens=20, overlap=4)
    divided = windows.divide([*docs, NLP.make_doc("thethethethe the the the")], toy_codec, None)
    assert divided.windows == [None] * 5
    assert divided.ids == [None] * 4 + [toy_codec.encode("thethethethe the the the")]
    monkeypatch.setattr(
        toy_codec, "encode_texts", lambda texts: pytest.fail(str(texts)) if texts else []
    )
    assert windows.divide(docs, toy_codec, None).ids == [None] * 4


def test_windows_are_whole_sentences_where_they_can_be(toy_codec):
    doc = NLP.make_doc("It is far. Is it as far as that? Not so.\nNo\nYes " * 9)
    (windows,) = Windows(tokens=50, overlap=24).divide([doc], toy_codec, None).windows
    assert len(windows) > 5
    for start, end in windows:
        assert doc.text[start:end].endswith((".", "?", "No", "Yes"))
    for one, other in pairwise(windows):
        assert doc.text[one.end : other.start].isspace()


def test_windows_overlap_where_a_sentence_is_cut(toy_codec):
    doc = NLP.make_doc("it is far and " * 40)
    (windows,) = Windows(tokens=50, overlap=24).divide([doc], toy_codec, None).windows
    assert len(windows) > 10
    for one, other in pairwise(windows):
        shared = doc.text[other.start : one.end]
        assert 12 <= len(toy_codec.encode(shared)) <= 24
        assert doc.char_span(*one) is not None


def test_a_word_of_a_million_characters(toy_codec):
    doc = doc_of(["x" * 1_000_000], [False])
    (windows,) = Windows(tokens=64, overlap=16).divide([doc], toy_codec, None).windows
    assert windows[0].start == 0
    assert windows[-1].end == 1_000_000
    assert all(end - start <= 64 for start, end in windows)
    assert all(other.start < one.end for one, other in pairwise(windows))


def test_marks_stay_with_their_characters(toy_codec):
    doc = doc_of(["e\u0301" * 300], [False])
    (windows,) = Windows(tokens=32, overlap=8).divide([doc], toy_codec, None).windows
    assert len(windows) > 1
    assert all(doc.text[start] == "e" for start, _ in windows)


def test_the_models_own_bound_is_kept_where_words_take_fewer_tokens_alone():
    """A tokenizer that sees no words: what it needs for a text is not the sum of its words."""

    class Costly:
        def encode_texts(self, texts):
            return [[0] * (len(text) + text.count(" ") * 3) for text in texts]

    doc = NLP.make_doc("ab cd " * 100)
    bounds = token_bounds(doc)
    found = cut(doc.text, bounds, (0, len(doc.text)), Costly(), 40, 10, 40)
    assert max(len(ids) for ids in Costly().encode_texts([doc.text[a:b] for a, b in found])) <= 40


# --- settings ---


def test_getters_of_parts(toy_codec):
    docs = [NLP.make_doc(BOOK[:200]), NLP.make_doc("Bo"), NLP.make_doc("")]
    (parts, whole, empty), _ = Windows(strided(10, 5)).divide(docs, toy_codec, None)
    assert [docs[0].text[start:end] for start, end in parts] == [
        docs[0][i : i + 10].text.strip() for i in range(0, len(docs[0]) - 5, 5)
    ]
    assert whole is None
    assert empty is None
    assert [[len(span) for span in spans] for spans in make_doc_spans()(docs)] == [
        [len(doc)] for doc in docs
    ]


@pytest.mark.parametrize(("n", "window", "stride"), [(7, 4, 4), (25, 10, 4), (3, 8, 8), (8, 4, 2)])
def test_strided_spans_hold_every_token(n, window, stride):
    doc = doc_of(["a"] * n)
    (spans,) = strided(window, stride)([doc])
    assert {token.i for span in spans for token in span} == set(range(n))
    assert all(len(span) == window for span in spans[:-1])
    assert spans[-1].end == n


def test_sentences_as_parts(toy_codec):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    doc = nlp(" ".join(TEXTS))
    ((*windows,),) = Windows(make_sent_spans()).divide([doc], toy_codec, None).windows
    assert [doc.text[start:end] for start, end in windows] == TEXTS
    with pytest.raises(ValueError, match="no sentence boundaries: 'Ada Byron"):
        make_sent_spans()([NLP.make_doc(" ".join(TEXTS))])
    assert make_sent_spans()([NLP.make_doc("")]) == [[]]


def test_a_long_sentence_is_cut_too(toy_codec):
    doc = NLP.make_doc("a " * 100)
    getter = strided(60, 60)
    (windows,) = Windows(getter, 32, 8).divide([doc], toy_codec, None).windows
    assert len(windows) > 4
    assert windows[-1].end == len(doc.text.rstrip())


def test_parts_that_leave_text_out_are_the_getters_choice(toy_codec):
    docs = [NLP.make_doc("Bo met Ada"), NLP.make_doc("Rome")]

    def first_token(docs):
        return [[doc[:1]] if len(doc) > 1 else [] for doc in docs]

    assert Windows(first_token).divide(docs, toy_codec, None).windows == [(Window(0, 2),), ()]


@pytest.mark.parametrize(
    ("getter", "message"),
    [
        (lambda docs: [], "gave spans for 0 documents, and was asked for 1"),
        (lambda docs: [[NLP.make_doc("Bo")[:]]], "span of another document for 'Ada'"),
    ],
)
def test_getters_that_fail(toy_codec, getter, message):
    with pytest.raises(ValueError, match=message):
        Windows(getter).divide([NLP.make_doc("Ada")], toy_codec, None)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"window_tokens": 15}, "window_tokens must be an integer from 16 or null, not 15"),
        ({"window_tokens": 40, "window_overlap": 21}, "at most half of window_tokens, 20, not 21"),
        ({"window_overlap": -1}, "window_overlap must be an integer from 0, not -1"),
    ],
)
def test_settings_are_checked(tiny_base, config, message):
    with pytest.raises(ValueError, match=message):
        blank_pipeline(tiny_base, **config)


def test_strides_are_checked():
    with pytest.raises(ValueError, match="stride of 5 tokens is more than the window of 4"):
        make_strided_spans(4, 5)
    with pytest.raises(ValueError, match="window must be an integer from 1, not 0"):
        make_strided_spans(0, 1)
    with pytest.raises(ValueError, match="get_spans must be a function"):
        Windows("doc_spans")


def test_getters_go_to_other_processes():
    windows = Windows(strided(4, 2), 32, 8)
    copy = pickle.loads(pickle.dumps(windows))
    doc = doc_of(["a"] * 9)
    assert [s.start for s in copy.get_spans([doc])[0]] == [0, 2, 4, 6]


# --- merging ---


def said_in(windows, lines, label="person"):
    """lines: for each window (string, probability) of mentions."""
    said = [
        ScriptedDecoder.say([(label, string, p) for string, p in mentions], LABELS)
        for mentions in lines
    ]
    return Prediction.of_windows([Window(*one) for one in windows], said)


def merged(text, windows, lines, **options):
    doc = NLP.make_doc(text)
    aligned = align_windows(doc, said_in(windows, lines), **options)
    for one in aligned.spans:
        assert doc.text[one.start_char : one.end_char] == one.text
        assert doc[one.start : one.end].text == one.text
    return aligned


def said_spans(spans):
    return [(one.text, round(one.score, 3)) for one in spans]


TEXT = "One saw New York City and Bo there"  # New York City: 8 to 21


def test_the_same_span_of_two_windows_has_the_higher_score():
    windows = [(0, 28), (4, 34)]
    for scores in ((0.6, 0.9), (0.9, 0.6)):
        lines = [[("New York City", score)] for score in scores]
        aligned = merged(TEXT, windows, lines)
        assert said_spans(aligned.spans) == [("New York City", 0.9)]
        assert said_spans(aligned.superseded) == [("New York City", 0.6)]


def test_a_mention_cut_off_at_an_edge_gives_way_to_the_whole_one():
    lines = [[("New York", 0.99)], [("New York City", 0.5)]]
    aligned = merged(TEXT, [(0, 16), (4, 34)], lines)
    assert said_spans(aligned.spans) == [("New York City", 0.5)]
    assert said_spans(aligned.superseded) == [("New York", 0.99)]
    lines = [[("New York City", 0.5)], [("York City", 0.99)]]
    assert said_spans(merged(TEXT, [(0, 25), (12, 34)], lines).spans) == [("New York City", 0.5)]


def test_what_touches_an_edge_gives_way_to_a_window_that_says_nothing():
    assert merged(TEXT, [(0, 21), (4, 34)], [[("New York City", 0.9)], []]).spans == []


def test_what_touches_an_edge_stands_where_no_other_window_sees_more():
    """The document's own edges are none; nor do windows that share no text know of it."""
    (one,) = merged(TEXT, [(0, 16), (17, 34)], [[("New York", 0.8)], []]).spans
    assert one.text == "New York"
    assert said_spans(merged(TEXT, [(0, 25), (4, 34)], [[("One", 0.7)], []]).spans) == [
        ("One", 0.7)
    ]
    assert said_spans(merged(TEXT, [(0, 25), (4, 34)], [[], [("there", 0.7)]]).spans) == [
        ("there", 0.7)
    ]


def test_spans_that_conflict_are_left_to_the_rules_for_entities(tiny):
    doc = tiny.make_doc(TEXT)
    prediction = said_in([(0, 28), (4, 34)], [[("York City", 0.6)], [("New York", 0.8)]])
    ner = ner_of(tiny)
    spans = ner.align(doc, prediction).spans
    assert [one.text for one in spans] == ["New York", "York City"]
    ner.set_annotations([doc], [spans])
    assert [ent.text for ent in doc.ents] == ["New York"]
    assert len(doc.spans["padellm_ner"]) == 2


def test_repeats_are_sought_in_their_own_window():
    text = "Bo met Al. Bo met Ann. Bo met Ed."
    windows = [(0, 10), (11, 22), (23, 33)]
    aligned = merged(text, windows, [[], [("Bo", 0.9)], [("Bo", 0.8)]])
    assert [one.start_char for one in aligned.spans] == [11, 23]


def test_places_of_constrained_mentions_are_those_of_the_window():
    said = Prediction(mentions=(Mention("person", 1, "Bo", (-0.1,), True, (-0.1,), ((0, 2),)),))
    doc = NLP.make_doc("Bo met Bo")
    both = Prediction.of_windows([Window(0, 6), Window(7, 9)], [Prediction(), said])
    (span,) = align_windows(doc, both).spans
    assert (span.start, span.start_char) == (2, 7)


def test_what_has_no_place_says_why():
    aligned = merged(TEXT, [(0, 25), (4, 34)], [[("Bo", 0.9)], [("Al", 0.9)]])
    assert [(mention.text, why) for mention, why in aligned.unaligned] == [
        ("Bo", "its string is not in the text"),
        ("Al", "its string is not in the text"),
    ]


def test_a_fragment_of_a_token_is_widened_to_the_token():
    doc = doc_of(["abcdefgh", "ij"])
    prediction = said_in([(2, 11)], [[("cdefgh ij", 0.9)]])
    (span,) = align_windows(doc, prediction).spans
    assert (span.start, span.end, span.start_char, span.end_char) == (0, 2, 2, 11)
    aligned = align_windows(doc, prediction, mode="drop")
    assert aligned.spans == []
    assert len(aligned.unaligned) == 1


@given(st.data())
def test_merging_is_that_of_a_plain_search(data):
    """Against each pair of windows being compared."""
    n = 40
    doc = doc_of([f"w{i:02}" for i in range(n)])
    starts = sorted(data.draw(st.sets(st.integers(0, n - 2), min_size=1, max_size=6)))
    windows = [(start * 4, data.draw(st.integers(start + 1, n)) * 4 - 1) for start in starts]
    lines = []
    for start, end in windows:
        words = doc.text[start:end].split()
        chosen = data.draw(st.lists(st.integers(0, len(words) - 1), max_size=4, unique=True))
        lines.append([(words[i], data.draw(st.floats(0.01, 1))) for i in sorted(chosen)])
    first, last = min(windows)[0], max(end for _, end in windows)
    expected = {}
    for (start, end), mentions in zip(windows, lines):
        for string, p in mentions:
            at = doc.text.find(string)
            to = at + len(string)
            touches = (at == start and at > first) or (to == end and to < last)
            if touches and any(
                (s < at or at == first) and (e > to or to == last) and s <= at and to <= e
                for s, e in windows
            ):
                continue
            expected[string] = max(p, expected.get(string, 0))
    spans = align_windows(doc, said_in(windows, lines)).spans
    assert {one.text: pytest.approx(one.score) for one in spans} == expected
    assert len(spans) == len(expected)


# --- the component ---


class WordDecoder(ScriptedDecoder):
    """Finds names wherever they stand in what it is given, whatever the model, and remembers what
    it was given."""

    def __init__(self, names, most=None):
        super().__init__({})
        self.names = names
        self.most = most
        self.asked = []

    def most_text_tokens(self, builder, labels):
        return self.most

    def __call__(self, model, builder, texts, labels, tokens=None, ids=None):
        self.asked.append(texts)
        for text, bounds, known in zip(texts, tokens, ids):
            assert known is None or known == builder.codec.encode(text)
            for start, end in bounds.tolist():
                assert 0 <= start < end <= len(text)
        return [self.say(list(self._names(text)), labels) for text in texts]

    def _names(self, text):
        for name, label in self.names.items():
            for _ in range(text.count(name)):
                yield label, name, 0.9


NAMES = {"Ada Byron": "person", "Bo": "person", "Rome": "place", "Oslo": "place"}
LONG = "and so on " * 9


def names_in(text):
    spans = []
    for name, label in NAMES.items():
        at = text.find(name)
        while at >= 0:
            spans.append((at, at + len(name), label))
            at = text.find(name, at + 1)
    return sorted(spans)


def reader(base, **config):
    nlp = blank_pipeline(base, **{"window_tokens": 40, "window_overlap": 16, **config})
    ner_of(nlp).decoder = WordDecoder(NAMES)
    return nlp


@pytest.mark.parametrize("filler", ["and on ", "x" * 200 + " ", "and so it is. ", "北京"])
def test_entities_at_the_seams_are_found_once(tiny_base, filler):
    """Names at every distance from the edges of windows, in running text and between sentences."""
    text = "".join(f"{'a ' * i}Ada Byron{' b' * (7 - i % 7)} {filler}" for i in range(40))
    nlp = reader(tiny_base)
    doc = nlp(text)
    assert len(ner_of(nlp).decoder.asked[0]) > 40
    assert found(doc) == names_in(text)
    assert [span[:3] for span in scored(doc)] == names_in(text)


def test_a_book_between_short_documents_changes_nothing(tiny_base):
    texts = ["Bo likes Oslo.", BOOK, "Rome is far."]
    nlp = reader(tiny_base)
    docs = list(nlp.pipe(texts))
    assert [found(doc) for doc in docs] == [names_in(text) for text in texts]
    asked = ner_of(nlp).decoder.asked
    for doc in docs:
        ner_of(nlp).decoder.asked = []
        assert same_annotation([nlp(doc.text)], [doc])
        assert set(ner_of(nlp).decoder.asked[0]) <= set(asked[0])


def test_books_are_handed_on_in_parts(tiny_base, monkeypatch):
    from spacy_padellm import reading

    monkeypatch.setattr(reading, "MOST_CHARACTERS", 300)
    nlp = reader(tiny_base)
    doc = nlp(BOOK)
    asked = ner_of(nlp).decoder.asked
    assert len(asked) > len(BOOK) // 300
    assert all(sum(map(len, texts)) <= 300 for texts in asked)
    assert found(doc) == names_in(BOOK)


def test_nothing_is_truncated_before_the_model(tiny_base):
    text = "".join(chr(0x4E00 + i) for i in range(2000))
    nlp = reader(tiny_base)
    nlp(text)
    asked = [piece for texts in ner_of(nlp).decoder.asked for piece in texts]
    assert set(text) <= set("".join(asked))
    codec = ner_of(nlp)._builder().codec
    assert max(len(codec.encode(piece)) for piece in asked) <= 40


def test_documents_longer_than_the_models_positions_are_read(taught):
    text = " ".join(text for text, _ in GOLD * 20)
    assert len(text) > 3 * WINDOW
    ner = ner_of(taught)
    ner.windows = Windows(tokens=20, overlap=4)  # a sentence each, as was learnt
    assert found(taught(text)) == names_in(text)


@pytest.mark.parametrize(
    "decoder", ["tree", "replicated", "autoregressive_struct", "autoregressive_aug"]
)
def test_every_decoder_has_room_for_its_windows(tiny_base, decoder):
    nlp = blank_pipeline(
        tiny_base,
        decoder={"@misc": f"spacy-padellm.{decoder}_decoder.v1", "max_count": 3},
    )
    ner = ner_of(nlp)
    doc = nlp.make_doc(BOOK[:300])
    (said,) = ner.decode([doc])
    windows = [window for window, _ in said.parts]
    assert windows[-1].end == len(doc.text.rstrip())
    builder = ner._builder()
    room = ner.decoder.most_text_tokens(builder, LABELS)
    sizes = [len(builder.codec.encode(doc.text[start:end])) for start, end in windows]
    assert len(sizes) > 1
    assert room / 2 < max(sizes) <= room < WINDOW


def test_a_model_without_room_says_so(tiny_base):
    """Labels alone fill the window."""
    nlp = blank_pipeline(tiny_base, labels=["x" * WINDOW])
    with pytest.raises(ValueError, match=f"positions for its longest prompt.* has {WINDOW}"):
        nlp("Bo")


def test_one_long_token_is_read_in_bounded_pieces(tiny_base):
    nlp = reader(tiny_base)
    doc = doc_of(["x" * 5000 + "Bo" + "y" * 5000, "Bo"])
    doc = nlp(doc)
    asked = [piece for texts in ner_of(nlp).decoder.asked for piece in texts]
    assert max(map(len, asked)) <= 40
    # a name inside of the token is widened to all of it, as in a short document
    assert found(doc)[-1][:2] == (10003, 10005)


def test_a_real_decoder_reads_windows_without_a_whole_token(tiny):
    ner = ner_of(tiny)
    ner.windows = Windows(tokens=32, overlap=8)
    doc = doc_of(["x" * 60])
    (spans,) = ner.predict([doc])
    assert spans == []


def test_count_answers_of_windows(tiny_base):
    """Each window is asked for the mentions that it holds whole."""
    nlp = reader(tiny_base)
    text = "Bo met Ada Byron. " * 6
    gold = [(at, to, label) for at, to, label in names_in(text)]
    metrics = evaluate(nlp, ner_of(nlp), [example(nlp, text, gold)]).metrics
    windows = len(ner_of(nlp).decoder.asked[0])
    assert windows == 3
    assert metrics["data"]["windows"] == windows
    assert metrics["counts"]["n_prompts"] == windows * len(LABELS)
    assert metrics["counts"]["accuracy"] == 1
    assert metrics["counts"]["per_label"]["person"]["accuracy_present"] == 1
    assert metrics["ents_f"] == 1
    assert metrics["mentions"]["said"] == 12
    assert metrics["mentions"]["superseded"] == 0


def test_count_answers_of_windows_that_overlap(tiny_base):
    nlp = reader(tiny_base)
    text = "and so to Bo " * 12
    outcome = evaluate(nlp, ner_of(nlp), [example(nlp, text, names_in(text))]).outcomes[0]
    gold = [answer.gold for answer in outcome.counts(LABELS) if answer.label == "person"]
    assert sum(gold) > 12
    assert all(answer.gold == answer.said for answer in outcome.counts(LABELS))
    assert len(outcome.alignment.spans) == 12
    assert len(outcome.alignment.spans) + len(outcome.alignment.superseded) == sum(gold)


def test_counts_of_another_text_than_the_gold_ones(tiny_base):
    from spacy_padellm.outcome import Outcome

    nlp = reader(tiny_base)
    one = example(nlp, "Bo met Ada Byron. " * 6, [])
    outcome = evaluate(nlp, ner_of(nlp), [one]).outcomes[0]
    one.predicted = nlp.make_doc("Bo")
    assert Outcome(one, outcome.prediction, outcome.alignment).counts(LABELS) == []


# --- training ---


def test_gold_of_windows():
    gold = Gold("Bo met Ada Byron", ("person",), ((0, 2, "person"), (7, 16, "person")))
    assert window_golds(gold, None) == [gold]
    first, second = window_golds(gold, (Window(0, 10), Window(3, 16)))
    assert first == Gold("Bo met Ada", ("person",), ((0, 2, "person"),))
    assert second == Gold("met Ada Byron", ("person",), ((4, 13, "person"),))


def test_sequences_are_labels_and_mentions_of_each_window(tiny):
    ner = ner_of(tiny)
    ner.windows = Windows(tokens=40, overlap=16)
    text = "Bo met Ada Byron and so on to Rome " * 8
    eg = example(tiny, text, names_in(text))
    builder = ner._builder()
    (windows,) = ner.gold_windows([eg], builder)
    golds = window_golds(gold_of(eg.reference, LABELS), windows)
    trees = reformulate([eg], LABELS, builder, divide=lambda docs: [windows] * len(docs))
    assert len(trees) == len(windows) > 5
    for (start, end), gold, tree in zip(windows, golds, trees):
        held = [(a - start, b - start, c) for a, b, c in names_in(text) if start <= a and b <= end]
        assert list(gold.spans) == held
        assert len(list(tree.prompts())) == len(LABELS) + len(held)
    # each mention is whole in some window
    assert {
        (a + start, b + start, c)
        for (start, _), gold in zip(windows, golds)
        for a, b, c in gold.spans
    } == set(names_in(text))


def test_long_gold_documents_are_learnt_as_their_windows(tiny_base):
    """The same update as with documents that are these windows."""
    import torch

    text = "Bo likes Oslo. Rome is far. Ada Byron met Bo. " * 5
    losses, gradients = [], []
    for whole in (True, False):
        nlp = blank_pipeline(tiny_base, window_tokens=40, window_overlap=16)
        ner = ner_of(nlp)
        examples = [example(nlp, text, names_in(text))]
        if not whole:
            (windows,) = ner.gold_windows(examples, ner._builder())
            pieces = [text[start:end] for start, end in windows]
            examples = [example(nlp, piece, names_in(piece)) for piece in pieces]
        losses.append(nlp.update(examples, sgd=False)["padellm_ner"])
        network = ner.shim.load().network
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    assert len(examples) > 3
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-6)


def test_windows_of_gold_documents_are_found_once(tiny_base, monkeypatch):
    nlp = blank_pipeline(tiny_base, LORA, window_tokens=40)
    ner = ner_of(nlp)
    examples = [*gold_examples(nlp), example(nlp, BOOK[:300], names_in(BOOK[:300]))]
    nlp.initialize(lambda: examples)
    divided = []
    divide = ner.windows.divide
    monkeypatch.setattr(
        ner.windows, "divide", lambda docs, *rest: divided.append(len(docs)) or divide(docs, *rest)
    )
    first, second = (nlp.update(examples, sgd=False)["padellm_ner"] for _ in range(2))
    assert divided == [5]
    assert first == pytest.approx(second)


def test_sentences_of_the_predicted_document_are_the_windows_of_the_gold_one(tiny_base):
    getter = {"@span_getters": "spacy-padellm.sent_spans.v1"}
    nlp = blank_pipeline(tiny_base, get_spans=getter)
    eg = example(nlp, " ".join(TEXTS), [])
    ner = ner_of(nlp)
    with pytest.raises(ValueError, match="annotating_components"):
        ner.gold_windows([eg], ner._builder())
    nlp.add_pipe("sentencizer", first=True)
    eg.predicted = nlp.get_pipe("sentencizer")(eg.predicted)
    (windows,) = ner.gold_windows([eg], ner._builder())
    assert [eg.reference.text[start:end] for start, end in windows] == TEXTS


def test_gold_mentions_that_no_window_holds_are_told(tiny_base, caplog):
    getter = {"@span_getters": "spacy-padellm.strided_spans.v1", "window": 4, "stride": 4}
    nlp = blank_pipeline(tiny_base, get_spans=getter)
    text = "and so to Ada Byron and Bo."
    nlp.update([example(nlp, text, names_in(text))], sgd=False)
    (record,) = [r for r in caplog.records if "no window" in r.getMessage()]
    assert "1 of the 2 mentions" in record.getMessage()


# --- configs ---


def test_getter_and_windows_are_saved(tiny_base, tmp_path):
    getter = {"@span_getters": "spacy-padellm.strided_spans.v1", "window": 12, "stride": 6}
    nlp = reader(tiny_base, get_spans=getter)
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    windows = ner_of(again).windows
    assert (windows.tokens, windows.overlap) == (40, 16)
    assert again.config["components"]["padellm_ner"]["get_spans"] == getter
    doc = again.make_doc(BOOK)
    assert windows.get_spans([doc])[0][1] == doc[6:18]
    # what a config says at loading time counts
    wide = spacy.load(tmp_path, config={"components.padellm_ner.window_tokens": None})
    assert ner_of(wide).windows.tokens is None


def test_pipelines_saved_without_windows_get_the_default(tiny, tmp_path):
    tiny.to_disk(tmp_path)
    config = spacy.util.load_config(tmp_path / "config.cfg")
    component = config["components"]["padellm_ner"]
    for key in ("get_spans", "window_tokens", "window_overlap"):
        del component[key]
    config.to_disk(tmp_path / "config.cfg")
    windows = ner_of(spacy.load(tmp_path)).windows
    default = spacy.blank("en").get_factory_meta("padellm_ner").default_config
    assert windows.tokens == default["window_tokens"]
    assert windows.overlap == default["window_overlap"]


@pytest.mark.parametrize("name", ["strided_spans", "sent_spans", "doc_spans"])
def test_getters_of_spacy_transformers(tiny_base, name):
    pytest.importorskip("spacy_transformers", reason=NOT_IMPORTED, exc_type=ImportError)
    getter = {"@span_getters": f"spacy-transformers.{name}.v1"}
    if name == "strided_spans":
        getter |= {"window": 12, "stride": 6}
    nlp = reader(tiny_base, get_spans=getter)
    nlp.add_pipe("sentencizer", first=True)
    doc = nlp(BOOK[:400])
    assert found(doc) == names_in(BOOK[:400])
    own = reader(tiny_base, get_spans={**getter, "@span_getters": f"spacy-padellm.{name}.v1"})
    own.add_pipe("sentencizer", first=True)
    own(BOOK[:400])
    assert ner_of(own).decoder.asked == ner_of(nlp).decoder.asked


IN_REGISTRY = "spacy.registry.has('span_getters', 'spacy-padellm.doc_spans.v1')"


def printed(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_registry_is_there_without_spacy_transformers():
    code = "import sys, spacy; sys.modules['spacy_transformers'] = None\n"
    code += "print(hasattr(spacy.registry, 'span_getters'))\n"
    code += f"from spacy_padellm import factory\nprint({IN_REGISTRY})"
    assert printed(code) == ["False", "True"]


@pytest.mark.slow
def test_registry_is_there_before_and_after_that_of_spacy_transformers():
    pytest.importorskip("spacy_transformers", reason=NOT_IMPORTED, exc_type=ImportError)
    code = f"import spacy\nfrom spacy_padellm import factory\nprint({IN_REGISTRY})\n"
    code += f"import spacy_transformers\nprint({IN_REGISTRY})\n"
    code += "print(spacy.registry.has('span_getters', 'spacy-transformers.doc_spans.v1'))\n"
    code += f"factory.ensure_registry()\nprint({IN_REGISTRY})"
    assert printed(code) == ["True"] * 4


def test_a_registry_that_is_there_stays(monkeypatch):
    monkeypatch.setattr(spacy.registry, "span_getters", "theirs", raising=False)
    ensure_registry()
    assert spacy.registry.span_getters == "theirs"


# --- many entities ---


def test_thousands_of_entities_take_linear_time(tiny_base):
    """Ten times the text takes no more than some twenty times as long. Each window says more than
    the decoder's bound, which is logged."""
    import time

    class Boundless(WordDecoder):
        def __call__(self, *arguments):
            return [
                replace(one, counts=tuple(replace(count, bounded=True) for count in one.counts))
                for one in super().__call__(*arguments)
            ]

    nlp = reader(tiny_base)
    ner = ner_of(nlp)
    ner.decoder = Boundless(NAMES)
    ner.shim.load()
    seconds = []
    for n in (300, 3000):
        doc = nlp.make_doc("Bo met Ada Byron in Rome and so on " * n)
        start = time.process_time()
        nlp(doc)
        seconds.append(time.process_time() - start)
        assert len(doc.ents) == 3 * n
    assert seconds[1] < 25 * seconds[0]


# --- real weights ---


@pytest.mark.weights
def test_a_long_text_of_sentences_gives_what_they_give(shipped, sample_texts):
    """Most of it: windows hold other neighbours than a sentence on its own has."""
    texts = sample_texts[:8]
    starts = [sum(len(text) + 1 for text in texts[:i]) for i in range(len(texts))]
    expected = {
        (start + at, start + to, label)
        for start, doc in zip(starts, shipped.pipe(texts))
        for at, to, label in found(doc)
    }
    doc = shipped.make_doc(" ".join(texts))
    (windows,), _ = ner_of(shipped).windows.divide([doc], ner_of(shipped)._builder().codec, None)
    assert len(windows) > 2
    both = expected & set(found(shipped(doc)))
    assert len(both) > 0.8 * len(expected) > 5
