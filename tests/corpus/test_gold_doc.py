import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import DocBin
from support.pipelines import found

from spacy_padellm.corpus.gold_doc import make_gold_doc
from spacy_padellm.corpus.record import BadRecord, make_record
from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS

NLP = spacy.blank("en")


def gold(text, *spans, labels=None):
    return make_gold_doc(NLP, make_record(text, spans, labels), "gold")


def all_spans(doc):
    return [(span.start_char, span.end_char, span.label_) for span in doc.spans["gold"]]


def reloaded(doc):
    data = DocBin(docs=[doc], store_user_data=True).to_bytes()
    (loaded,) = DocBin().from_bytes(data).get_docs(spacy.blank("en").vocab)
    return loaded


def test_tokens_are_split_where_a_mention_ends_in_one():
    made = gold("the ex-England-born ( U.S.A ) team", (7, 14, "LOC"), (22, 25, "LOC"))
    assert made.n_split == 1
    assert found(made.doc) == [(7, 14, "LOC"), (22, 25, "LOC")]
    assert made.doc.text == "the ex-England-born ( U.S.A ) team"


def test_one_token_may_be_split_twice():
    made = gold("aabbcc d", (2, 4, "A"), (4, 6, "B"))
    assert [token.text for token in made.doc] == ["aa", "bb", "cc", "d"]
    assert [token.whitespace_ for token in made.doc] == ["", "", " ", ""]
    assert made.n_split == 1


def test_overlaps_are_all_in_spans_and_the_longest_in_ents():
    spans = [(0, 4, "A"), (0, 12, "B"), (0, 12, "A"), (13, 17, "A")]
    made = gold("Bank of Rome Oslo", *spans)
    assert all_spans(made.doc) == spans
    assert found(made.doc) == [(0, 12, "B"), (13, 17, "A")]
    assert made.n_overlapping == 2


def test_a_document_without_mentions_is_annotated():
    doc = reloaded(gold("Nothing here.").doc)
    assert doc.has_annotation("ENT_IOB", require_complete=True)
    assert all(token.ent_iob_ == "O" for token in doc)


def test_labels_that_it_is_annotated_for_are_kept():
    doc = reloaded(gold("Bo.", (0, 2, "A"), labels=["A", "B"]).doc)
    assert list(doc.user_data[ANNOTATED_LABELS]) == ["A", "B"]
    assert all_spans(doc) == [(0, 2, "A")]


def test_a_text_above_spacys_bound_is_a_bad_record():
    nlp = spacy.blank("en")
    nlp.max_length = 5
    with pytest.raises(BadRecord, match="rejects the text"):
        make_gold_doc(nlp, make_record("longer text", []), "gold")


@given(
    st.text(st.sampled_from("ab-.'\n\u3000 é\u0301宫😀"), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6),
)
def test_text_and_mentions_are_kept(text, places):
    try:
        record = make_record(text, [(start, end, "A") for start, end in places])
    except BadRecord:
        return
    doc = reloaded(make_gold_doc(NLP, record, "gold").doc)
    assert doc.text == text
    assert all_spans(doc) == list(record.spans)
    assert set(found(doc)) <= set(record.spans)
    assert bool(doc.ents) == bool(record.spans)
