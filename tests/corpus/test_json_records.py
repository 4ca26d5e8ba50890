import pytest

from spacy_padellm.corpus.json_records import list_record, span_record
from spacy_padellm.corpus.record import BadRecord

TEXT = "Ada met Bo ."


def spans(*spans, text=TEXT, **more):
    keys = ("start", "end", "label")
    return {"text": text, "spans": [dict(zip(keys, span)) for span in spans], **more}


def test_spans():
    record = span_record(spans((0, 3, "PER"), (8, 10, "PER"), labels=["PER", "LOC"], id=3))
    assert record.text == TEXT
    assert record.spans == ((0, 3, "PER"), (8, 10, "PER"))
    assert record.labels == ("PER", "LOC")
    assert record.ignored_keys == ("id",)


def test_white_space_at_the_edges_of_a_span_is_left_out_and_counted():
    record = span_record(spans((0, 4, "PER"), (7, 11, "PER"), (0, 3, "PER")))
    assert record.spans == ((0, 3, "PER"), (8, 10, "PER"), (0, 3, "PER"))
    assert record.n_trimmed == 2


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "expected an object"),
        ({"spans": []}, 'no "text"'),
        ({"text": TEXT}, 'no "spans"'),
        ({"text": 3, "spans": []}, "must be a string, not 3"),
        ({"text": " \n", "spans": []}, "blank"),
        ({"text": "a\ud800b", "spans": []}, "half of a character at offset 1"),
        ({"text": TEXT, "spans": {}}, "must be a list"),
        ({"text": TEXT, "spans": [[0, 3, "PER"]]}, 'with "start" and "end"'),
        (spans((0, 13, "PER")), "from 0 to 13 is not within the text, which has 12"),
        (spans((-1, 3, "PER")), "not within the text"),
        (spans((3, 3, "PER")), "not within the text"),
        (spans((0, 3.0, "PER")), "must be an integer, not 3.0"),
        (spans((False, 3, "PER")), "must be an integer, not False"),
        (spans((3, 4, "PER")), "white space only"),
        (spans((0, 3)), "has no label"),
        (spans((0, 3, " ")), "not blank"),
        (spans((0, 3, 7)), "not 7"),
        (spans((0, 3, "PER"), labels=["LOC"]), "'PER' of a span is not among"),
        (spans(labels=[]), "annotated for no label"),
        (spans(labels="PER"), "must be a list"),
        (
            {"text": TEXT, "spans": [{"start": 0, "end": 3, "label": "P", "text": "Bo"}]},
            "the mention is 'Bo', and the text has 'Ada'",
        ),
    ],
)
def test_bad_spans(value, reason):
    with pytest.raises(BadRecord, match=reason.replace("(", r"\(")):
        span_record(value)


def test_lists_of_tokens_have_inclusive_ends():
    record = list_record(["Ada  Byron met Bo .", [0, 1, "Ada Byron", "PER"], [3, 3, "Bo", "PER"]])
    assert record.spans == ((0, 10, "PER"), (15, 17, "PER"))


def test_lists_of_characters_have_inclusive_ends():
    record = list_record(["[春江月][08]", [1, 3, "春江月", "TELEVISION"]], "char")
    assert record.spans == ((1, 4, "TELEVISION"),)


def test_lists_with_exclusive_ends():
    record = list_record(["a letter to Ada-2", [3, 4, "Ada-2", "ship"]], exclusive_end=True)
    assert record.spans == ((12, 17, "ship"),)


def test_a_text_without_mentions_is_a_list_too():
    assert list_record(["and so to bed ."]).spans == ()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "expected a list"),
        ([], "expected a list"),
        ([3], "text must be a string"),
        ([TEXT, 3], "must be .start, end, string, label."),
        ([TEXT, [0, 0, "Ada"]], "must be .start, end, string, label."),
        ([TEXT, [0, "0", "Ada", "PER"]], "must be an integer, not '0'"),
        ([TEXT, [4, 4, "Bo", "PER"]], "not within the text, counted in tokens"),
        ([TEXT, [0, 0, "Bo", "PER"]], "the mention is 'Bo', and the text has 'Ada'"),
        ([TEXT, [0, 0, None, "PER"]], "the mention is None"),
        ([TEXT, [0, 0, "Ada", None]], "has no label"),
        # a file with exclusive ends is recognized, at the last token too
        ([TEXT, [0, 1, "Ada", "PER"]], "it fits with --exclusive-end"),
        ([TEXT, [2, 4, "Bo .", "PER"]], "it fits with --exclusive-end"),
    ],
)
def test_bad_lists(value, reason):
    with pytest.raises(BadRecord, match=reason):
        list_record(value)
