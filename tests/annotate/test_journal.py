import pytest
from support.annotate_files import TEXTS, contents, write_jsonl

from spacy_padellm.annotate.run import annotate_files

pytest_plugins = ["support.annotate_fixtures"]


@pytest.mark.parametrize("torn", [b'{"number": 2, "fi', b"\0" * 64, b'{"number": 2}\n'])
def test_power_loss_while_the_journal_is_written(job, source, tmp_path, torn):
    """An incomplete line and everything after it are ignored."""
    write_jsonl(source, [*TEXTS, "FAIL", "end"])
    out = tmp_path / "out"
    annotate_files(job, [source], out)
    expected = contents(out)
    journal = out / "progress.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(True)[:2]) + torn)
    (out / "documents/000002.jsonl").write_bytes(b"half")
    (out / "documents/.000002.jsonl.tmp").write_bytes(b"half")
    (out / ".manifest.json.tmp").write_bytes(b"half")
    (out / "errors.jsonl").write_bytes(b"of the shard that is not done")
    report = annotate_files(job, [source], out)
    assert report.before == 8
    assert contents(out) == expected
