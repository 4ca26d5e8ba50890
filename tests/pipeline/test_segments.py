"""Long documents are decoded in windows."""

from dataclasses import replace

import pytest
from support.pipelines import (
    GOLD,
    LABELS,
    WINDOW,
    blank_pipeline,
    found,
    ner_of,
    same_annotation,
    scored,
)
from support.windowed import BOOK, NAMES, WordDecoder, doc_of, names_in, reader

from spacy_padellm.documents.windows import Windows

pytest_plugins = ["support.pipeline_fixtures"]


@pytest.mark.parametrize("filler", ["and on ", "x" * 200 + " ", "and so it is. ", "北京"])
def test_entities_at_the_seams_are_found_once(tiny_base, filler):
    """Names at every distance from the edges of windows, in running text and between sentences."""
    text = "".join(f"{'a ' * i}Ada Byron{' b' * (7 - i % 7)} {filler}" for i in range(40))
    nlp = reader(tiny_base)
    doc = nlp(text)
    assert len(ner_of(nlp).decoder.decoded[0]) > 40
    assert found(doc) == names_in(text)
    assert [span[:3] for span in scored(doc)] == names_in(text)


def test_a_book_between_short_documents_changes_nothing(tiny_base):
    texts = ["Bo likes Oslo.", BOOK, "Rome is far."]
    nlp = reader(tiny_base)
    docs = list(nlp.pipe(texts))
    assert [found(doc) for doc in docs] == [names_in(text) for text in texts]
    decoded = ner_of(nlp).decoder.decoded
    for doc in docs:
        ner_of(nlp).decoder.decoded = []
        assert same_annotation([nlp(doc.text)], [doc])
        assert set(ner_of(nlp).decoder.decoded[0]) <= set(decoded[0])


def test_books_are_handed_on_in_parts(tiny_base, monkeypatch):
    from spacy_padellm.pipeline import segments

    monkeypatch.setattr(segments, "MAX_CHARACTERS", 300)
    nlp = reader(tiny_base)
    doc = nlp(BOOK)
    decoded = ner_of(nlp).decoder.decoded
    assert len(decoded) > len(BOOK) // 300
    assert all(sum(map(len, texts)) <= 300 for texts in decoded)
    assert found(doc) == names_in(BOOK)


def test_nothing_is_truncated_before_the_model(tiny_base):
    text = "".join(chr(0x4E00 + i) for i in range(2000))
    nlp = reader(tiny_base)
    nlp(text)
    decoded = [piece for texts in ner_of(nlp).decoder.decoded for piece in texts]
    assert set(text) <= set("".join(decoded))
    codec = ner_of(nlp).tree_builder().codec
    assert max(len(codec.encode(piece)) for piece in decoded) <= 40


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
    (prediction,) = ner.decode([doc])
    windows = [window for window, _ in prediction.parts]
    assert windows[-1].end == len(doc.text.rstrip())
    builder = ner.tree_builder()
    room = ner.decoder.max_text_tokens(builder, LABELS)
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
    decoded = [piece for texts in ner_of(nlp).decoder.decoded for piece in texts]
    assert max(map(len, decoded)) <= 40
    # a name inside of the token is widened to all of it, as in a short document
    assert found(doc)[-1][:2] == (10003, 10005)


def test_a_real_decoder_reads_windows_without_a_whole_token(tiny):
    ner = ner_of(tiny)
    ner.windows = Windows(tokens=32, overlap=8)
    doc = doc_of(["x" * 60])
    (spans,) = ner.predict([doc])
    assert spans == []


def test_thousands_of_entities_take_linear_time(tiny_base):
    """Ten times the text takes no more than some twenty times as long. The counts of each window
    are above the decoder's bound, which is logged."""
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
    (windows,), _ = ner_of(shipped).windows.split([doc], ner_of(shipped).tree_builder().codec, None)
    assert len(windows) > 2
    both = expected & set(found(shipped(doc)))
    assert len(both) > 0.8 * len(expected) > 5
