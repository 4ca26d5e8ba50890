import pytest

from spacy_padellm.corpus.formats import Source, find_format


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.jsonl", '\ufeff\n{"text": "a", "spans": []}', "spans"),
        ("a.json", '[\n{"text": "a"}]', "spans"),
        ("a.json", '["a", [0, 0, "a", "B"]]', "lists"),
        ("a.json", '[["a", [0, 0, "a", "B"]]]', "lists"),
        ("a.iob", "Ada|B-PER met|O", "iob"),
        ("a.iob", "Ada B-PER\nmet O", "conll"),
        ("a.txt", "-DOCSTART- -X- O O\n\nAda B-PER", "conll"),
        ("a.bmes", "高\tB-NAME\n勇\tE-NAME", "conll"),
        ("a.spacy", "whatever", "docbin"),
    ],
)
def test_find_format(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text, encoding="utf8")
    assert find_format(tmp_path / name) == expected


@pytest.mark.parametrize("text", ["", "plain words\n", '"a string"'])
def test_no_format_is_guessed(tmp_path, text):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(ValueError, match="--format"):
        find_format(tmp_path / "a.jsonl")


def test_a_folder_is_docs(tmp_path):
    assert find_format(tmp_path) == "docbin"


def test_unknown_offsets(tmp_path):
    with pytest.raises(ValueError, match="token, char, not in 'word'"):
        Source(tmp_path, "lists", offsets="word")


@pytest.mark.parametrize("format", ["csv", "docbin"])
def test_format_without_a_reader(tmp_path, format):
    with pytest.raises(ValueError, match="spans, lists, iob, conll, not '" + format):
        Source(tmp_path, format)


def test_chinese_tokens_are_joined_without_spaces(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("高 B-P\n勇 I-P", encoding="utf8")
    ((_, record),) = Source(path, "conll", lang="zh").entries(lambda n: None)
    assert record.text == "高勇"
