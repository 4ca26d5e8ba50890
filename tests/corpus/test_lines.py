import json

import pytest

from spacy_padellm.corpus import json_array
from spacy_padellm.corpus.json_array import UnreadableArray
from spacy_padellm.corpus.lines import read_lines, read_values
from spacy_padellm.corpus.record import BadRecord


def values(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf8"))
    read = []
    found = list(read_values(path, read.append))
    assert sum(read) == path.stat().st_size
    return found


@pytest.fixture
def path(tmp_path):
    return tmp_path / "corpus.jsonl"


def test_lines_are_numbered_and_blank_ones_passed_over(path):
    assert values(path, '\ufeff["a"]\r\n\n  \n{"b": "x\u2028y"}') == [
        (1, ["a"]),
        (4, {"b": "x\u2028y"}),
    ]


@pytest.mark.parametrize("bad", [b'{"a": 1', b"nonsense", b"\xff\xfe", b"[" * 100_000, b"1" * 5000])
def test_a_bad_line_is_named_and_the_rest_read(path, bad):
    (_, first), (number, second), (_, third) = values(path, b'["a"]\n' + bad + b'\n["b"]\n')
    assert (first, number, third) == (["a"], 2, ["b"])
    assert isinstance(second, BadRecord)


def test_lines_that_are_not_utf8(path):
    path.write_bytes(b"a\n\xe9\nb")
    (_, first), (_, bad), (_, last) = read_lines(path, [].append)
    assert (first, last) == ("a", "b")
    assert "not UTF-8" in str(bad)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_an_array_gives_its_elements(path, monkeypatch, indent, chunk):
    elements = [["é宫\n", [0, 1, "a", "B"]], ["[[ ]", []], {"text": "}{"}]
    monkeypatch.setattr(json_array, "CHUNK_BYTES", chunk)
    found = values(path, json.dumps(elements, indent=indent, ensure_ascii=False) + "\n")
    assert [value for _, value in found] == elements
    if indent:
        assert [number for number, _ in found] == [2, 11, 15]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('[["a"],\n["b"', "line 2: not JSON"),
        ('[["a"]\n["b"]]', "line 2: expected ','"),
        ('[["a"]] ["b"]', "after the array"),
        (b'[["a"],["\xff"]]', "not UTF-8"),
        ('[["a"],', "not JSON"),
    ],
)
def test_an_array_with_a_fault_is_not_read_on(path, data, reason):
    with pytest.raises(UnreadableArray, match=reason):
        values(path, data)


def test_a_long_array_is_not_held_in_memory(path, monkeypatch):
    monkeypatch.setattr(json_array, "CHUNK_BYTES", 1000)
    path.write_text(json.dumps([["x" * 50]] * 10_000))
    read = 0

    def advance(n_bytes):
        nonlocal read
        read += n_bytes

    elements = read_values(path, advance)
    for _ in range(100):
        next(elements)
    assert read <= 100 * 60 + 2000
