"""Prompts and answers of the autoregressive decoders, token by token."""

from support.plain_decoding import encode

from spacy_padellm.decoding.augmented import AutoregressiveAugDecoder
from spacy_padellm.decoding.struct import AutoregressiveStructDecoder
from spacy_padellm.engine.runner import Runner

CUES = {AutoregressiveStructDecoder: "\n\n<list>\n", AutoregressiveAugDecoder: "\n\n<tags>\n"}


def plain_prompt(tokenizer, kind, text, names):
    pieces = ("text:\n", text, "\nentity type:\n", "\n".join(names) + CUES[kind])
    return encode(tokenizer, *pieces)


def answers(kind, model, builder, texts, labels, **bounds):
    """The answers token by token, as decoding has them."""
    model.network.eval()
    decoder = kind(**bounds)
    trees = decoder.question_trees(builder, texts, labels)
    form = decoder.form(builder, labels)
    limits = decoder.resolve(model.device, model.max_positions)
    return decoder.generate(Runner(model), form, trees, form.most_tokens(texts, limits), limits)
