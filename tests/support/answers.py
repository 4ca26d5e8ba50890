"""Texts that look like answers of autoregressive decoders, and a model with scripted answers."""

from hypothesis import strategies as st
from support.scripted_model import ScriptedModel

from spacy_padellm.decoding.token_alignment import TokenAlignment
from spacy_padellm.documents.gold import Gold
from spacy_padellm.engine.runner import Runner
from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.prompts.tree_builder import TreeBuilder

NAMES = {"PER": "person", "LOC": "place name", "PL": "place", "MISC": "a / b"}
LABELS = tuple(NAMES)

# Pieces of texts that look like parts of an answer.
PIECES = [
    *("<person>", "</person>", "<\\person>", "</\\\\place>", "<place name>", "<", "</", ">", "\\"),
    *("person: Bo", "\nplace: Rome\n\n", "\r\n", "\n", ":", ": ", "<list>", "<tags>\n"),
    "<|im_end|>",
    *("北京", "é", "e\u0301", "😀", "\ufffd", '"', "'", "\t", "\u2028", " ", "  ", "a", "the", "X"),
]
texts = st.lists(
    st.one_of(
        st.sampled_from(PIECES), st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
    ),
    max_size=8,
).map("".join)


@st.composite
def golds(draw, *, overlap=True):
    """Texts with any spans, or with spans that don't overlap."""
    text = draw(texts)
    edge = st.integers(0, len(text))
    if overlap:
        pairs = draw(st.lists(st.tuples(edge, edge), max_size=5))
    else:
        edges = sorted(draw(st.sets(edge, max_size=8)))
        pairs = list(zip(edges[::2], edges[1::2]))
    labels = st.sampled_from(LABELS)
    spans = {(*sorted(pair), draw(labels)) for pair in pairs if pair[0] != pair[1]}
    return Gold(text, LABELS, tuple(sorted(spans)))


def builder_of(codec, definitions=NAMES, **options):
    return TreeBuilder(codec, make_prompt(label_definitions=definitions), **options)


def through_tokens(codec, written):
    """RETURNS (str): The text of an answer, decoded from the tokens of its training target."""
    ids = [token for piece in written.pieces for token in codec.encode(piece)]
    return TokenAlignment(codec, [*ids, codec.end_id]).text


class AnsweringModel(ScriptedModel):
    """Generates the scripted answer of each text.

    answers (dict[str, str]): The answer by text, with its end: a line break, or "~" for the
        end-of-sequence token; an answer that ends in "…" repeats its last token.
    question (str): The prompt's words after the text.
    """

    def __init__(self, codec, answers, question, supports_tree_mask=True, max_positions=None):
        super().__init__(codec, {}, supports_tree_mask, max_positions)
        for text, answer in answers.items():
            pieces = ("text:\n", text, "\nentity type:\n", question)
            head = [token for piece in pieces for token in codec.encode(piece)]
            answer_ids = codec.encode(answer.rstrip("…~"))
            if answer.endswith("…"):
                answer_ids += answer_ids[-1:] * 500
            elif answer.endswith("~"):
                answer_ids.append(codec.tokenizer.eos_token_id)
            self._follow(head, answer_ids)


def decode_answers(kind, codec, question, answers, max_positions=None, **parameters):
    """Decode texts whose answers a script has, for the labels "person" and "place".

    kind (type): An autoregressive decoder; parameters are its own.
    RETURNS (list[Prediction]): One per text.
    """
    model = AnsweringModel(codec, answers, question, max_positions=max_positions)
    builder = builder_of(codec, {}, max_positions=max_positions)
    predictions = kind(**parameters)(Runner(model), builder, list(answers), ["person", "place"])
    assert [count.label for count in predictions[0].counts] == ["person", "place"]
    return predictions
