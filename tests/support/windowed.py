"""Documents that are read in windows, and decoders that record their texts."""

import spacy
from spacy.tokens import Doc
from support.pipelines import (
    TEXTS,
    ScriptedDecoder,
    blank_pipeline,
    ner_of,
)

from spacy_padellm.training.gold_windows import gold_windows

NLP = spacy.blank("en")
BOOK = " ".join(TEXTS * 60)


def doc_of(words, spaces=None):
    return Doc(NLP.vocab, words=words, spaces=spaces or [True] * len(words))


class WordDecoder(ScriptedDecoder):
    """Finds names in its texts, independent of the model, and records the texts."""

    def __init__(self, names, most=None):
        super().__init__({})
        self.names = names
        self.most = most
        self.decoded = []

    def max_text_tokens(self, builder, labels):
        return self.most

    def __call__(self, model, builder, texts, labels, tokens=None, ids=None):
        self.decoded.append(texts)
        for text, bounds, known in zip(texts, tokens, ids):
            assert known is None or known == builder.codec.encode(text)
            for start, end in bounds.tolist():
                assert 0 <= start < end <= len(text)
        return [self.prediction(list(self._names(text)), labels) for text in texts]

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


def gold_windows_of(ner, examples):
    """The windows of gold documents that the component trains on."""
    builder = ner.tree_builder()
    max_tokens = ner.decoder.max_text_tokens(builder, ner.labels)
    return gold_windows(examples, ner.windows, builder.codec, max_tokens)


def reader(base, **config):
    nlp = blank_pipeline(base, **{"window_tokens": 40, "window_overlap": 16, **config})
    ner_of(nlp).decoder = WordDecoder(NAMES)
    return nlp
