"""What the host does beside the network, by stage: microseconds a document, with gold answers.

python benchmarks/host.py ../shared/data
"""

import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, ClassVar

import spacy
import srsly
import torch
import typer
from decoders import SETS
from results import write_results
from spacy.language import Language
from spacy.tokens import Doc
from wasabi import msg

from spacy_padellm.decoding.constraint import Constraint
from spacy_padellm.decoding.lattice import Lattice, Passage, lattices
from spacy_padellm.decoding.tree_decoder import TreeDecoder
from spacy_padellm.documents.occurrences import token_bounds
from spacy_padellm.documents.prediction import Count, Prediction
from spacy_padellm.documents.spans import Mention
from spacy_padellm.engine.language_model import ROW_TOKENS, LanguageModel
from spacy_padellm.model.network import load_codec
from spacy_padellm.pipeline.component import PadellmNER
from spacy_padellm.prompts.layout import pack
from spacy_padellm.prompts.tree import PromptTree
from spacy_padellm.prompts.tree_builder import TreeBuilder
from spacy_padellm.tokenization.codec import one_line
from spacy_padellm.tokenization.token_bytes import TokenBytes
from spacy_padellm.weights.resolver import resolve_weights

Gold = dict[str, Any]  # a line of a set's file
UNCUT_TOKENS = 512  # no document of the sets has more, and gold answers are those of documents


class GoldDecoder(TreeDecoder):
    """Does what a decoder does before and after the network, and gives the gold answers."""

    answers: ClassVar[dict[str, Prediction]] = {}

    def decode(
        self,
        model: LanguageModel,
        builder: TreeBuilder,
        trees: Sequence[PromptTree],
        passages: Sequence[Passage],
        bounds: Any,
    ) -> list[Prediction]:
        """RETURNS (list[Prediction]): The gold answers, one a tree."""
        pack([len(tree) for tree in trees], ROW_TOKENS)
        assert builder.token_bytes is not None
        texts_lattices(builder, trees, passages, builder.token_bytes)
        return [self.answers[passage.text] for passage in passages]


def main(
    data: Path = typer.Argument(..., help="Folder with conll03/test.jsonl"),
    documents: int = typer.Option(512, min=1, help="Documents of the set, from its first on"),
    repeat: int = typer.Option(9, min=1, help="Runs of each stage"),
    name: str = typer.Option("conll03", help="Of the set, conll03 or weibo"),
    write: bool = typer.Option(True, help="Whether to write the JSON file"),
) -> None:
    """Medians of the process's CPU time, one thread."""
    torch.set_num_threads(1)
    logging.disable(logging.DEBUG)
    lines = list(islice(srsly.read_jsonl(data / name / "test.jsonl"), documents))
    if len(lines) < documents:
        msg.fail(f"{name} has {len(lines)} documents, {documents} were asked for", exits=1)
    nlp = pipeline(name)
    stages = Stages(nlp, lines)
    figures = {
        stage: round(microseconds(run, repeat, stages.blank_docs) / documents, 2)
        for stage, run in stages.all()
    }
    rows = [(stage, f"{figure:.1f}") for stage, figure in figures.items()]
    msg.table(rows, header=("stage", "µs a document"), divider=True, aligns=("l", "r"))
    if write:
        write_results("host", {"set": name, "documents": documents, "cpu_us_a_document": figures})


def pipeline(name: str) -> Language:
    """RETURNS (Language): A pipeline with a tokenizer and no network."""
    lang, definitions = SETS[name]
    nlp = spacy.blank(lang)
    decoder = GoldDecoder()
    prompt = {"@misc": "spacy-padellm.prompt.v1", "label_definitions": definitions}
    config = {"labels": list(definitions), "prompt": prompt, "window_tokens": UNCUT_TOKENS}
    nlp.add_pipe("padellm_ner", config=config)
    ner = nlp.get_pipe("padellm_ner")
    assert isinstance(ner, PadellmNER)
    ner.decoder = decoder
    ner.shim._model = Networkless(load_codec(resolve_weights("smollm2-135m").folder))
    return nlp


class Networkless(LanguageModel):
    """A tokenizer alone."""

    device = torch.device("cpu")
    max_positions = 8192

    def __init__(self, codec: Any):
        super().__init__(SimpleNamespace(training=False), codec)


class Stages:
    """The stages of the work on one batch of documents.

    nlp (Language): The pipeline.
    lines (Sequence[Gold]): The documents.
    """

    def __init__(self, nlp: Language, lines: Sequence[Gold]):
        ner = nlp.get_pipe("padellm_ner")
        assert isinstance(ner, PadellmNER)
        self.nlp, self.ner = nlp, ner
        self.texts = [line["text"] for line in lines]
        self.blank_docs()
        self.said = [
            gold_prediction(line, doc, ner.labels)
            for line, doc in zip(lines, self.docs, strict=True)
        ]
        GoldDecoder.answers = dict(zip(self.texts, self.said, strict=True))
        self.builder = ner.tree_builder()
        assert self.builder.token_bytes is not None
        self.pieces = self.builder.token_bytes
        self.trees = self.builder.question_trees(self.texts, ner.labels)
        self.tokens = [token_bounds(doc) for doc in self.docs]
        self.passages = list(map(Passage, self.texts, self.tokens))
        self.lattices = self.make_lattices()
        self.scored = ner.predict(self.docs)

    def blank_docs(self) -> None:
        """Documents without annotation."""
        self.docs = [self.nlp.make_doc(text) for text in self.texts]

    def all(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        """YIELDS (tuple[str, Callable]): Each stage's name, and how to run it."""
        yield "spaCy's tokens", lambda: [self.nlp.make_doc(text) for text in self.texts]
        yield "token bounds", lambda: [token_bounds(doc) for doc in self.docs]
        yield "encode", lambda: self.builder.codec.encode_texts(self.texts)
        yield "encode and ask", lambda: self.builder.question_trees(self.texts, self.ner.labels)
        yield "branches and paths", self.paths
        yield "pack", lambda: pack([len(tree) for tree in self.trees], ROW_TOKENS)
        yield "lattices", self.make_lattices
        yield "constraint", lambda: Constraint(self.lattices, 0, torch.device("cpu"))
        yield "align", lambda: list(map(self.ner.align, self.docs, self.said))
        yield "annotate", self.annotate
        yield "all but network and constraint", self.pipe
        yield "nlp.pipe: with spaCy's tokens", self.pipe_texts

    def paths(self) -> None:
        """What the tree decoder asks of each tree for the first pass."""
        for i, tree in enumerate(self.trees):
            for branch in tree.branches():
                tree.branch_end(*branch)
            self.builder.text_indices(tree)
            tree.paths(i)

    def make_lattices(self) -> list[Lattice]:
        """RETURNS (list[Lattice]): Those of all documents."""
        return texts_lattices(self.builder, self.trees, self.passages, self.pieces)

    def annotate(self) -> None:
        """Write the spans."""
        for doc, spans in zip(self.docs, self.scored, strict=True):
            self.ner.set_annotations([doc], [spans])

    def pipe(self) -> None:
        """The component over documents that are tokenised."""
        for _ in self.ner.pipe(self.docs, batch_size=len(self.docs)):
            pass

    def pipe_texts(self) -> None:
        """The pipeline over texts."""
        for _ in self.nlp.pipe(self.texts, batch_size=len(self.texts)):
            pass


def texts_lattices(
    builder: TreeBuilder,
    trees: Sequence[PromptTree],
    passages: Sequence[Passage],
    pieces: TokenBytes,
) -> list[Lattice]:
    """RETURNS (list[Lattice]): As decoders make them."""
    read = [pieces.text(tree.ids[builder.text_indices(tree)].tolist()) for tree in trees]
    return lattices(passages, read, pieces, 64)


def gold_prediction(line: Gold, doc: Doc, labels: Sequence[str]) -> Prediction:
    """RETURNS (Prediction): What a perfect constrained model says of a document."""
    counts = dict.fromkeys(labels, 0)
    bounds = token_bounds(doc)
    starts, ends = set(bounds[:, 0].tolist()), set(bounds[:, 1].tolist())
    mentions = []
    text = line["text"]
    for span in sorted(line["spans"], key=lambda span: (span["label"], span["start"])):
        string = text[span["start"] : span["end"]]
        places = [
            (at, at + len(string))
            for at in range(len(text))
            if text.startswith(string, at) and at in starts and at + len(string) in ends
        ]
        counts[span["label"]] += 1
        n_tokens = 1 + len(string) // 4
        mentions.append(
            Mention(
                span["label"],
                counts[span["label"]],
                one_line(string),
                (-0.01,) * n_tokens,
                True,
                (-0.005,) * n_tokens,
                tuple(places) or ((span["start"], span["end"]),),
            )
        )
    mentions.sort(key=lambda mention: (labels.index(mention.label), mention.index))
    return Prediction(
        tuple(Count(label, number, -0.01) for label, number in counts.items()), tuple(mentions)
    )


def microseconds(run: Callable[[], Any], repeat: int, prepare: Callable[[], None]) -> float:
    """RETURNS (float): The median CPU time of runs after one to warm up."""
    run()
    times = []
    for _ in range(repeat):
        prepare()
        gc.collect()
        start = time.process_time_ns()
        run()
        times.append((time.process_time_ns() - start) / 1000)
    return median(times)


if __name__ == "__main__":
    typer.run(main)
