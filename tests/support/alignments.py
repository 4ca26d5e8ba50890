"""Docs and mentions for the tests of alignment."""

import spacy
from spacy.tokens import Doc

from spacy_padellm.documents.spans import Mention

NLP = {lang: spacy.blank(lang) for lang in ("en", "zh")}


def mention(label, index, text, *logprobs, ended=True):
    return Mention(label, index, text, logprobs or (-0.1,), ended)


def mentions_of(**texts):
    return [
        mention(label, index, text)
        for label, decoded in texts.items()
        for index, text in enumerate(decoded, start=1)
    ]


def char_spans(aligned):
    return [(span.label, span.start_char, span.end_char) for span in aligned.spans]


def reasons(aligned):
    return [reason for _, reason in aligned.unaligned]


def doc_of(*words, spaces=None):
    return Doc(NLP["en"].vocab, words, spaces)
