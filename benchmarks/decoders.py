"""Tree decoder against replicated decoder: documents a second in one process, by turns.

python benchmarks/decoders.py ../shared/data
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import mean, median
from typing import Any

import spacy
import srsly
import torch
import typer
from results import write_results
from spacy.language import Language
from wasabi import msg

from spacy_padellm.decoding.decoder import Decoder
from spacy_padellm.decoding.replicated import make_replicated_decoder
from spacy_padellm.decoding.tree_decoder import make_tree_decoder
from spacy_padellm.documents.prediction import Prediction

# Language of the tokens, and what the model reads for each label: words that the shipped adapter
# knows or is near to. It was trained on no Chinese, so on weibo only the work is compared.
SETS = {
    "conll03": (
        "en",
        {"PER": "person", "ORG": "organisation", "LOC": "location", "MISC": "miscellaneous"},
    ),
    "weibo": (
        "zh",
        {
            "PER.NAM": "person",
            "PER.NOM": "person, nominal",
            "ORG.NAM": "organisation",
            "ORG.NOM": "organisation, nominal",
            "LOC.NAM": "location",
            "LOC.NOM": "location, nominal",
            "GPE.NAM": "geo-political entity",
            "GPE.NOM": "geo-political entity, nominal",
        },
    ),
}


@dataclass
class Recorder:
    """A decoder that keeps what it says.

    decoder (Decoder): The decoder.
    """

    decoder: Decoder
    said: list[Prediction] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        """RETURNS (Any): What else the decoder has."""
        return getattr(self.decoder, name)

    def __call__(self, *args: Any, **kwargs: Any) -> list[Prediction]:
        """RETURNS (list[Prediction]): What the decoder says."""
        predictions = self.decoder(*args, **kwargs)
        self.said += predictions
        return predictions


@dataclass(frozen=True)
class Run:
    """One pass of a decoder over the texts.

    wall, cpu (float): Seconds on the clock, and seconds of the process.
    said (list[Prediction]): One a text.
    """

    wall: float
    cpu: float
    said: list[Prediction]


def main(
    data: Path = typer.Argument(..., help="Folder with conll03/test.jsonl and weibo/test.jsonl"),
    documents: int = typer.Option(100, min=1, help="Documents of each set, from its first on"),
    repeat: int = typer.Option(3, min=1, help="Runs of each decoder"),
    threads: int | None = typer.Option(None, min=1, help="Of torch; its own choice if not given"),
    batch_size: int = typer.Option(16, min=1, help="Of nlp.pipe"),
    config: Path = Path("configs/en_padellm.cfg"),
) -> None:
    if threads is not None:
        torch.set_num_threads(threads)
    figures: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "batch_size": batch_size,
        "load_average_before": [round(load, 2) for load in os.getloadavg()],
    }
    for name in SETS:
        texts = read_texts(data / name / "test.jsonl", documents)
        figures[name] = compare(pipeline(config, name), texts, repeat, batch_size)
        msg.good(f"{name}: {figures[name]}")
    figures["load_average_after"] = [round(load, 2) for load in os.getloadavg()]
    write_results("decoders", figures)


def pipeline(config: Path, name: str) -> Language:
    """RETURNS (Language): The default pipeline with the labels of a set; documents stay whole."""
    lang, definitions = SETS[name]
    overrides = {
        "nlp.lang": lang,
        "components.padellm_ner.labels": list(definitions),
        "components.padellm_ner.window_tokens": None,
    }
    settings = spacy.util.load_config(config, overrides=overrides)
    settings["components"]["padellm_ner"]["prompt"]["label_definitions"] = definitions
    return spacy.util.load_model_from_config(settings, auto_fill=True)


def read_texts(path: Path, documents: int) -> list[str]:
    """RETURNS (list[str]): The first texts of a set."""
    if not path.is_file():
        msg.fail(f"No file {path}: give the folder that holds {', '.join(SETS)}", exits=1)
    texts = [record["text"] for record in islice(srsly.read_jsonl(path), documents)]
    if len(texts) < documents:
        msg.fail(f"{path} has {len(texts)} documents, {documents} were asked for", exits=1)
    return texts


def compare(nlp: Language, texts: list[str], repeat: int, batch_size: int) -> dict[str, Any]:
    """Time both decoders by turns, after a warm-up, and compare what they say.

    nlp (Language): The pipeline; its decoder is replaced.
    texts (list[str]): The documents.
    repeat (int): Runs of each.
    batch_size (int): Of nlp.pipe.
    RETURNS (dict[str, Any]): Documents a second (medians), their ratio, and the agreement.
    """
    decoders = {"tree": make_tree_decoder(), "replicated": make_replicated_decoder()}
    runs: dict[str, list[Run]] = {kind: [] for kind in decoders}
    for decoder in decoders.values():
        timed_run(nlp, decoder, texts[:2], batch_size)
    for _ in range(repeat):
        for kind, decoder in decoders.items():
            runs[kind].append(timed_run(nlp, decoder, texts, batch_size))
    cpu = {kind: median(run.cpu for run in done) for kind, done in runs.items()}
    wall = {kind: median(run.wall for run in done) for kind, done in runs.items()}
    tree, replicated = runs["tree"][0].said, runs["replicated"][0].said
    return {
        "documents": len(texts),
        "docs_per_s": {kind: round(len(texts) / wall[kind], 3) for kind in decoders},
        "ratio": round(wall["replicated"] / wall["tree"], 2),
        "docs_per_cpu_s": {kind: round(len(texts) / cpu[kind], 3) for kind in decoders},
        "ratio_cpu": round(cpu["replicated"] / cpu["tree"], 2),
        "wall_s": {kind: [round(run.wall, 2) for run in done] for kind, done in runs.items()},
        "cpu_s": {kind: [round(run.cpu, 2) for run in done] for kind, done in runs.items()},
        "documents_agreeing": sum(
            list(answers(one)) == list(answers(other))
            for one, other in zip(tree, replicated, strict=True)
        ),
        "mentions_per_document": mean(len(prediction.mentions) for prediction in tree),
        "mention_tokens_per_document": mean(
            sum(len(mention.logprobs) for mention in prediction.mentions) for prediction in tree
        ),
    }


def timed_run(nlp: Language, decoder: Decoder, texts: list[str], batch_size: int) -> Run:
    """RETURNS (Run): nlp.pipe over the texts with a decoder."""
    recorder = Recorder(decoder)
    nlp.get_pipe("padellm_ner").decoder = recorder  # type: ignore[attr-defined]
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in nlp.pipe(texts, batch_size=batch_size):
        pass
    return Run(time.perf_counter() - wall, time.process_time() - cpu, recorder.said)


def answers(prediction: Prediction) -> Iterator[tuple[str, Any]]:
    """YIELDS (tuple[str, Any]): Label and number of each count, then label and text of each
    mention."""
    for count in prediction.counts:
        yield count.label, count.number
    for mention in prediction.mentions:
        yield mention.label, mention.text


if __name__ == "__main__":
    typer.run(main)
