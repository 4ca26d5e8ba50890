"""The NER sets that benchmarks read, in one format: `NAME/{train,dev,test}.jsonl`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spacy
import srsly
from spacy.tokens import Doc, DocBin
from spacy.util import filter_spans
from wasabi import msg

from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS

ENGLISH = {"PER": "person", "LOC": "location", "ORG": "organisation", "MISC": "miscellaneous"}
# What the model reads for a label, and the language of its prompts.
SETS: dict[str, tuple[str, dict[str, str]]] = {
    "conll03": ("en", ENGLISH),
    "wikigold": ("en", ENGLISH),
    "btc": ("en", ENGLISH),
    "wnut17": ("en", {"creative-work": "creative work"}),
    "weibo": (
        "zh",
        {
            "PER.NAM": "人名",
            "PER.NOM": "人物称呼",
            "LOC.NAM": "地名",
            "LOC.NOM": "地点称呼",
            "ORG.NAM": "机构名",
            "ORG.NOM": "机构称呼",
            "GPE.NAM": "行政区名",
            "GPE.NOM": "行政区称呼",
        },
    ),
    "resume": (
        "zh",
        {
            "NAME": "姓名",
            "CONT": "国籍",
            "RACE": "民族",
            "TITLE": "职务",
            "EDU": "学历",
            "ORG": "组织机构",
            "PRO": "专业",
            "LOC": "籍贯",
        },
    ),
}


def write_corpora(data: Path, name: str, more: list[str], place: Path, limit: int) -> int:
    """Write {train,dev,test}.spacy.

    RETURNS (int): Training documents.
    """
    lang, definitions = SETS[name]
    vocab = spacy.blank(lang).vocab
    known = {
        s["label"] for record in read_lines(data / name / "train.jsonl") for s in record["spans"]
    }
    n_train = 0
    for split in ("train", "dev", "test"):
        docs = [
            to_doc(record, vocab, lang) for record in read_lines(data / name / f"{split}.jsonl")
        ]
        docs = docs[: limit or None]
        if split == "train":
            for other in more:
                docs += list(_borrowed(data, other, vocab, known, definitions))[: limit or None]
            n_train = len(docs)
        DocBin(docs=docs, store_user_data=True).to_disk(place / f"{split}.spacy")
    return n_train


def _borrowed(
    data: Path, name: str, vocab: Any, known: set[str], definitions: dict[str, str]
) -> Iterator[Doc]:
    """Documents of another set, for those labels that both have."""
    lang, _ = SETS[name]
    records = list(read_lines(data / name / "train.jsonl"))
    shared = known & {span["label"] for record in records for span in record["spans"]}
    for record in records:
        spans = [span for span in record["spans"] if span["label"] in shared]
        doc = to_doc({**record, "spans": spans}, vocab, lang)
        if shared != known:
            doc.user_data[ANNOTATED_LABELS] = sorted(shared)
        yield doc


def to_doc(record: dict[str, Any], vocab: Any, lang: str) -> Doc:
    """RETURNS (Doc): A gold document in the source's own tokens (Chinese: characters)."""
    text = record["text"]
    if lang == "zh":
        words, spaces = list(text), [False] * len(text)
    else:
        words = text.split(" ")
        spaces = [True] * (len(words) - 1) + [False]
    doc = Doc(vocab, words=words, spaces=spaces)
    found = [doc.char_span(s["start"], s["end"], label=s["label"]) for s in record["spans"]]
    spans = [span for span in found if span is not None]
    if doc.text != text or len(spans) < len(found):
        raise ValueError(f"Gold that does not lie on the source's tokens: {record!r}")
    doc.set_ents(filter_spans(spans), default="outside")
    return doc


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        msg.fail(f"{path} is not there", "Give the folder that holds the sets.", exits=1)
    yield from srsly.read_jsonl(path)
