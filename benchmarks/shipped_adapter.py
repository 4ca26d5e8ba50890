"""The shipped adapter: its corpus, the adapter out of a trained pipeline, its figures.

python benchmarks/shipped_adapter.py corpus ../shared/data build/shipped
python -m spacy train configs/shipped_adapter.cfg --output build/shipped/trained \\
    --components.padellm_ner.model.device cuda
python benchmarks/shipped_adapter.py export build/shipped/trained/model-best assets/adapter
python benchmarks/shipped_adapter.py evaluate ../shared/data
python benchmarks/shipped_adapter.py slack ../shared/data
"""

import random
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import spacy
import srsly
import typer
from results import write_results
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from wasabi import msg

from spacy_padellm.pipeline.scorer import ner_score
from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS, answers_for

# Labels of each set → ours. wnut17's creative works and products are only a part of what wikigold
# calls MISC, and btc has no such label, so these two sets say nothing about "miscellaneous".
LABELS = {
    "wikigold": {
        "PER": "person",
        "ORG": "organisation",
        "LOC": "location",
        "MISC": "miscellaneous",
    },
    "btc": {"PER": "person", "ORG": "organisation", "LOC": "location"},
    "wnut17": {
        "person": "person",
        "corporation": "organisation",
        "group": "organisation",
        "location": "location",
    },
}
COPIES = {"wikigold": 2, "btc": 1, "wnut17": 1}  # wikigold is the smallest, with the most labels
KEPT_EMPTY = 0.4  # share of training documents without an entity; most tweets have none
DEV_DOCS = 300  # of each set, so that an evaluation during training stays short
NO_SPACE_BEFORE = re.compile(r"""[.,;:!?)\]}%'’”]+|n['’]t|['’](s|m|re|ve|ll|d|S)|\.\.\.""")
NO_SPACE_AFTER = re.compile(r"[(\[{$£€“#@]+")

app = typer.Typer(help=__doc__, no_args_is_help=True)


@app.command()
def corpus(data: Path, output: Path, seed: int = 0) -> None:
    """Write train.spacy (each document as it is or in natural spacing, by chance; a part of those
    without entities) and dev.spacy."""
    chance = random.Random(seed)
    vocab = spacy.blank("en").vocab
    train = [
        to_doc(record, name, vocab, natural=chance.random() < 0.5)
        for name in LABELS
        for record in list(read(data, name, "train")) * COPIES[name]
        if record["spans"] or chance.random() < KEPT_EMPTY
    ]
    dev = []
    for name in LABELS:
        records = list(read(data, name, "dev"))
        chance.shuffle(records)
        dev += [to_doc(record, name, vocab, natural=False) for record in records[:DEV_DOCS]]
    output.mkdir(parents=True, exist_ok=True)
    for name, docs in (("train", train), ("dev", dev)):
        DocBin(docs=docs, store_user_data=True).to_disk(output / f"{name}.spacy")
        msg.good(f"{output / name}.spacy: {len(docs)} documents")


@app.command()
def export(
    pipeline: Path, output: Path, component: str = "padellm_ner", base: str = "smollm2-135m"
) -> None:
    """Write the adapter of a trained pipeline in bfloat16, which halves it."""
    import torch
    from safetensors.torch import load_file, save_file

    model = pipeline / component / "model"
    weights = load_file(model / "adapter_model.safetensors")
    output.mkdir(parents=True, exist_ok=True)
    half = {name: tensor.to(torch.bfloat16) for name, tensor in weights.items()}
    save_file(half, output / "adapter_model.safetensors", metadata={"format": "pt"})
    for name in ("adapter_config.json", "base.json"):
        facts = srsly.read_json(model / name)
        facts.update({"name": base} if name == "base.json" else {"base_model_name_or_path": base})
        srsly.write_json(output / name, facts)
    msg.good(f"{output}: {sum(path.stat().st_size for path in output.iterdir()):,} bytes")


@app.command()
def evaluate(
    data: Path,
    adapter: Path = Path("assets/adapter"),
    config: Path = Path("configs/en_padellm.cfg"),
    base: str = "smollm2-135m",
    device: str | None = None,
    batch_size: int = 128,
    name: str = "shipped_adapter",
    split: str = "test",
) -> None:
    """Score an adapter on the sets, in the sources' own tokens."""
    nlp = shipped(config, adapter, base, device)
    write_results(name, score_sets(nlp, data, split, batch_size), device=device)


@app.command()
def slack(
    data: Path,
    adapter: Path = Path("assets/adapter"),
    config: Path = Path("configs/en_padellm.cfg"),
    base: str = "smollm2-135m",
    device: str | None = None,
    batch_size: int = 128,
    name: str = "shipped_slack",
) -> None:
    """Score an adapter on the dev sets with each `decoder.count_slack`."""
    nlp = shipped(config, adapter, base, device)
    ner = nlp.get_pipe("padellm_ner")
    figures = []
    for value in (None, 0.4, 0.3, 0.2):
        msg.divider(f"count_slack {value}")
        ner.decoder = replace(ner.decoder, count_slack=value)  # type: ignore[attr-defined]
        figures.append({"count_slack": value, "dev": score_sets(nlp, data, "dev", batch_size)})
    write_results(name, {"rows": figures}, device=device)


def shipped(config: Path, adapter: Path, base: str, device: str | None) -> Language:
    """RETURNS (Language): The pipeline of a config with an adapter."""
    overrides = {
        "paths.adapter": str(adapter),
        "components.padellm_ner.model.name": base,
        "components.padellm_ner.model.device": device,
    }
    return spacy.util.load_model_from_config(
        spacy.util.load_config(config, overrides=overrides), auto_fill=True
    )


def score_sets(nlp: Language, data: Path, split: str, batch_size: int) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Scores of each set, its documents and seconds."""
    figures: dict[str, Any] = {}
    for source in LABELS:
        gold = [
            to_doc(record, source, nlp.vocab, natural=False) for record in read(data, source, split)
        ]
        examples = [
            Example(
                Doc(
                    nlp.vocab,
                    words=[t.text for t in doc],
                    spaces=[bool(t.whitespace_) for t in doc],
                ),
                doc,
            )
            for doc in gold
        ]
        for label in {"miscellaneous"} - set(LABELS[source].values()):
            msg.info(f"{source} has no {label!r}: what is found under it is not counted")
        start = time.perf_counter()
        predicted = nlp.pipe([eg.predicted for eg in examples], batch_size=batch_size)
        for eg, doc in zip(examples, predicted, strict=True):
            eg.predicted = drop_unanswered(doc, eg.reference)
        seconds = time.perf_counter() - start
        scores = ner_score(examples)
        figures[source] = {**scores, "documents": len(gold), "seconds": round(seconds, 2)}
        kept = ("padellm_p", "padellm_r", "padellm_f", "ents_f")
        msg.good(source + ": " + ", ".join(f"{key} {100 * scores[key]:.2f}" for key in kept))
    return figures


def drop_unanswered(doc: Doc, gold: Doc) -> Doc:
    """Leave out entities of labels that the gold document does not answer for."""
    doc.set_ents([ent for ent in doc.ents if answers_for(gold, ent.label_)])
    return doc


def read(data: Path, name: str, split: str) -> Iterator[dict[str, Any]]:
    """YIELDS (dict): Records with a "text" and its "spans" (start, end, label), one a line."""
    path = data / name / f"{split}.jsonl"
    if not path.is_file():
        msg.fail(f"No file {path}: give the folder that holds {', '.join(LABELS)}", exits=1)
    yield from srsly.read_jsonl(path)


def to_doc(record: dict[str, Any], name: str, vocab: Any, *, natural: bool) -> Doc:
    """A gold document in the source's own tokens.

    record (dict): Text with a space between tokens, and spans by character offset.
    name (str): The set, for its labels.
    vocab (Vocab): The vocabulary.
    natural (bool): Whether to close the spaces that tokenisation opened before punctuation.
    RETURNS (Doc): With entities under our labels and the labels that the set annotates.
    """
    words: list[str] = []
    starts, ends = {}, {}
    for match in re.finditer(r"\S+", record["text"]):
        starts[match.start()] = ends[match.end()] = len(words)
        words.append(match.group())
    spaces = natural_spaces(words) if natural else [True] * len(words)
    doc = Doc(vocab, words=words, spaces=spaces)
    ours = LABELS[name]
    doc.set_ents(
        [
            Span(doc, starts[span["start"]], ends[span["end"]] + 1, ours[span["label"]])
            for span in record["spans"]
            if span["label"] in ours
        ]
    )
    doc.user_data[ANNOTATED_LABELS] = sorted(set(ours.values()))
    return doc


def natural_spaces(words: list[str]) -> list[bool]:
    """RETURNS (list[bool]): Whether a space follows each word, as a person would write it."""
    spaces = []
    open_quote = False
    for i, word in enumerate(words):
        after = words[i + 1] if i + 1 < len(words) else ""
        space = not NO_SPACE_BEFORE.fullmatch(after) and not NO_SPACE_AFTER.fullmatch(word)
        if word == '"':
            open_quote = not open_quote
            space = space and not open_quote
        if after == '"' and open_quote:
            space = False
        spaces.append(space)
    return spaces


if __name__ == "__main__":
    app()
