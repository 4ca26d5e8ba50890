"""What the tests of autoregressive decoders share: texts that look like answers, and a model that
gives the answers of a script.
"""

from hypothesis import strategies as st
from support.scripted_model import ScriptedModel

from spacy_padellm.decoding.token_alignment import TokenAlignment
from spacy_padellm.documents.gold import Gold
from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.prompts.tree_builder import TreeBuilder

NAMES = {"PER": "person", "LOC": "place name", "PL": "place", "MISC": "a / b"}
LABELS = tuple(NAMES)

# Pieces of texts that could be taken for an answer's own words.
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
    """RETURNS (str): An answer as it comes back from the tokens that a model is taught."""
    ids = [token for piece in written.pieces for token in codec.encode(piece)]
    return TokenAlignment(codec, [*ids, codec.end_id]).text


class AnsweringModel(ScriptedModel):
    """Gives each text's answer.

    answers (dict[str, str]): For each text the answer, its end with it: a line break, or "~" for
        the end of the sequence; one that ends in "…" goes on for ever with its last letter.
    question (str): What stands behind the text.
    """

    def __init__(self, codec, answers, question, supports_tree_mask=True, max_positions=None):
        super().__init__(codec, {}, supports_tree_mask, max_positions)
        for text, answer in answers.items():
            pieces = ("text:\n", text, "\nentity type:\n", question)
            head = [token for piece in pieces for token in codec.encode(piece)]
            said = codec.encode(answer.rstrip("…~"))
            if answer.endswith("…"):
                said += said[-1:] * 500
            elif answer.endswith("~"):
                said.append(codec.tokenizer.eos_token_id)
            self._follow(head, said)
