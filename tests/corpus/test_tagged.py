import pytest

from spacy_padellm.corpus import tagged
from spacy_padellm.corpus.record import BadRecord
from spacy_padellm.corpus.tagged import read_conll, read_iob


def conll(text, joiner=" "):
    return list(read_conll(list(enumerate(text.split("\n"), 1)), joiner))


def mentions(record):
    return [(record.text[start:end], label) for start, end, label in record.spans]


def test_conll_has_a_document_a_sentence():
    text = "-DOCSTART- -X- O O\n\nAda N B B-PER\nByron N I I-PER\n. . O O\n\n\nRome N I I-LOC\n"
    (first, ada), (second, rome) = conll(text)
    assert (first, second) == (3, 8)
    assert ada.text == "Ada Byron ."
    assert mentions(ada) == [("Ada Byron", "PER")]
    assert mentions(rome) == [("Rome", "LOC")]


@pytest.mark.parametrize(
    "tags",
    ["B-P I-P O B-P B-P", "B-P L-P O U-P U-P", "B-P E-P O S-P S-P", "I-P I-P O I-P B-P"],
)
def test_tag_schemes(tags):
    words = ["高", "勇", "在", "李", "王"]
    ((_, record),) = conll("\n".join(map("\t".join, zip(words, tags.split()))), joiner="")
    assert record.text == "高勇在李王"
    assert mentions(record) == [("高勇", "P"), ("李", "P"), ("王", "P")]


def test_middle_tags():
    ((_, record),) = conll("a B-P\nb M-P\nc E-P")
    assert mentions(record) == [("a b c", "P")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Byron", "a token and its tag"),
        ("Byron NNP I-PER", "3 columns, and its sentence started with 2"),
        ("Byron PER", "'PER' is no tag"),
        ("Byron B-", "'B-' is no tag"),
    ],
)
def test_a_bad_line_of_conll_drops_its_sentence_alone(line, reason):
    text = f"a O\n\nAda B-PER\n{line}\nmet O\n\nb O"
    (_, first), (number, bad), (_, last) = conll(text)
    assert (first.text, last.text, number) == ("a", "b", 4)
    assert isinstance(bad, BadRecord)
    assert reason in str(bad)


def test_iob():
    lines = [(1, "Ada|NNP|B-PER met|V|O Bo|NNP|I-PER"), (2, " "), (3, "Rome|I-LOC")]
    (one, ada), (three, rome) = read_iob(lines, " ")
    assert (one, three) == (1, 3)
    assert mentions(ada) == [("Ada", "PER"), ("Bo", "PER")]
    assert mentions(rome) == [("Rome", "LOC")]


@pytest.mark.parametrize("line", ["Ada|B-PER met", "Ada|B-PER met|V|O", "a|b|c|O", "|O", "Ada|PER"])
def test_bad_lines_of_iob(line):
    (_, bad), (_, good) = read_iob([(1, line), (2, "b|O")], " ")
    assert isinstance(bad, BadRecord)
    assert good.text == "b"


def test_blocks_keep_the_order(monkeypatch):
    monkeypatch.setattr(tagged, "BLOCK", 2)
    found = conll("a O\n\nb\n\nc O\n\nd O\n\n\ne")
    assert [line for line, _ in found] == [1, 3, 5, 7, 10]
    assert [isinstance(record, BadRecord) for _, record in found] == [0, 1, 0, 0, 1]
