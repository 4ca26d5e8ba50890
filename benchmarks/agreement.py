"""Number of documents for which each faster way of decoding gives the plain decoder's spans.

Figure: docs/speed.md, "On a GPU"; results/agreement-*.json.

python benchmarks/agreement.py ../shared/data
python benchmarks/agreement.py ../shared/data --device cuda --documents 500
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain, zip_longest
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import spacy
import typer
from harness.datasets import Dataset, find_datasets
from harness.options import Data, Device, Lang, ResultName, Sets
from harness.results import write_results
from tqdm import tqdm
from wasabi import msg

from spacy_padellm.decoding import counts
from spacy_padellm.decoding.counts import number_chances
from spacy_padellm.decoding.tree_decoder import TreeDecoder
from spacy_padellm.documents.occurrences import token_bounds
from spacy_padellm.documents.prediction import Prediction
from spacy_padellm.model.settings import ModelSettings
from spacy_padellm.model.shim import CausalLMShim
from spacy_padellm.prompts.prompt import make_prompt
from spacy_padellm.tokenization.codec import one_line

SETS = ("conll03", "wnut17", "wikigold", "btc", "sec_filings")
LABELS = ("person", "organisation", "location", "miscellaneous")
PLAIN: dict[str, Any] = {"drafts": 0, "graphs": False}
WAYS: dict[str, dict[str, Any]] = {
    "drafts as shipped": {"graphs": False},
    "1 draft": {"drafts": 1, "graphs": False},
    "8 drafts": {"drafts": 8, "graphs": False},
    "batches of 2048 tokens": {"graphs": False, "batch_tokens": 2048},
    "8 drafts, small batches": {"drafts": 8, "graphs": False, "batch_tokens": 256},
    "8 drafts, passes of fixed shapes": {"drafts": 8, "graphs": True},
    "as shipped": {},
    "one by one, as shipped": {"batch_tokens": 1},
}


class Texts:
    """Texts with the model that decodes them.

    shim (CausalLMShim): The model.
    texts (Sequence[str]): The texts.
    lang (str): Language of the tokenizer whose token bounds constrain mentions.
    """

    def __init__(self, shim: CausalLMShim, texts: Sequence[str], lang: str = "en"):
        nlp = spacy.blank(lang)
        self._runner = shim.runner()
        self._builder = shim.builder(make_prompt("en", both_ways=True, tag_text=True))
        self._texts = list(texts)
        self._bounds = [token_bounds(nlp.make_doc(text)) for text in texts]

    def decode(self, settings: dict[str, Any]) -> list[Prediction]:
        """RETURNS (list[Prediction]): Predictions of the tree decoder with these settings."""
        decoder = TreeDecoder(**settings)
        return decoder(self._runner, self._builder, self._texts, LABELS, self._bounds)

    def number_chances(self, index: int) -> Any:
        """RETURNS (Any): Probabilities of 0 to 9 mentions of each label in one text, decoded alone
        by the plain decoder, tags included [labels, 10]."""
        recorded: list[Any] = []

        def record(*args: Any) -> Any:
            recorded.append(number_chances(*args))
            return recorded[-1]

        with patch.object(counts, "number_chances", record):
            decoder = TreeDecoder(**PLAIN)
            text, bounds = [self._texts[index]], [self._bounds[index]]
            decoder(self._runner, self._builder, text, LABELS, bounds)
        return recorded[0]

    def margin(self, index: int, first: Prediction, second: Prediction) -> float | None:
        """RETURNS (float | None): Difference of the log-probabilities where two predictions of a
        text first differ: of two numbers of a label, where the text is decoded alone, else of two
        mentions of the same prompt."""
        for label, (a, b) in enumerate(zip(first.counts, second.counts, strict=True)):
            if a.number != b.number:
                chances = self.number_chances(index)[label]
                p, q = (chances[int(str(count.number)[0])] for count in (a, b))
                return float(abs(np.log(p / q)))
        pairs = zip(first.mentions, second.mentions, strict=True)
        return next((abs(a.logprob - b.logprob) for a, b in pairs if a.text != b.text), None)


def main(
    data: Data,
    sets: Sets = None,
    lang: Lang = None,
    documents: Annotated[int, typer.Option(min=1, help="Documents of all datasets together")] = 500,
    device: Device = "cpu",
    dtype: Annotated[str, typer.Option(help="Type of the weights; by device if not given")] = "",
    ways: Annotated[list[str] | None, typer.Option("--way", help="Ways; all if none")] = None,
    adapter: Annotated[Path, typer.Option(help="The adapter's folder")] = Path("assets/adapter"),
    splits: Annotated[
        list[str] | None, typer.Option("--split", help="Splits; test if none")
    ] = None,
    name: ResultName = "",
) -> None:
    """Count documents with equal counts and spans; write results/agreement-DEVICE.json."""
    splits = splits or ["test"]
    datasets = find_datasets(data, sets, SETS, split=splits[0], lang=lang)
    texts = read_texts(datasets, documents, splits)
    shim = CausalLMShim(ModelSettings("smollm2-135m", str(adapter), device, dtype or None))
    decoded = Texts(shim, texts, lang or "en")
    expected = decoded.decode(PLAIN)
    figures: dict[str, Any] = {
        "documents": len(texts),
        "mentions": sum(len(prediction.mentions) for prediction in expected),
        "outside_text": outside(texts, expected),
        "plain": asdict(TreeDecoder(**PLAIN)),
        "ways": {},
    }
    for way in tqdm(ways or WAYS, desc="Ways"):
        predictions = decoded.decode(WAYS[way])
        differing = [
            {
                "text": texts[i],
                "plain": output(expected[i]),
                "here": output(prediction),
                "margin": decoded.margin(i, expected[i], prediction),
            }
            for i, prediction in enumerate(predictions)
            if output(expected[i]) != output(prediction)
        ]
        figures["ways"][way] = {
            "settings": WAYS[way],
            "agreeing": len(texts) - len(differing),
            "outside_text": outside(texts, predictions),
            "differing": differing,
        }
    write_results(name or f"agreement-{device}", figures, device=device)
    rows = [
        (way, f"{row['agreeing']} of {len(texts)}", row["outside_text"])
        for way, row in figures["ways"].items()
    ]
    msg.table(rows, header=("way", "the same", "mentions outside the text"), divider=True)


def read_texts(datasets: Sequence[Dataset], n: int, splits: Sequence[str] = ("test",)) -> list[str]:
    """Choose texts at even distances, about as many of each dataset.

    datasets (Sequence[Dataset]): The datasets.
    n (int): Number of texts; fewer if the datasets have fewer.
    splits (Sequence[str]): Splits of each dataset.
    RETURNS (list[str]): The texts, datasets in turn.
    """
    texts = [[text for split in splits for text in dataset.texts(split)] for dataset in datasets]
    shares = [0] * len(texts)
    while sum(shares) < n and any(
        share < len(part) for share, part in zip(shares, texts, strict=True)
    ):
        shares = [min(share + 1, len(part)) for share, part in zip(shares, texts, strict=True)]
    chosen = [
        part[:: max(1, len(part) // share)][:share] if share else []
        for share, part in zip(shares, texts, strict=True)
    ]
    together = chain.from_iterable(zip_longest(*chosen))
    return [text for text in together if text is not None][:n]


def output(prediction: Prediction) -> list[Any]:
    """RETURNS (list[Any]): Counts, and mentions with their character spans."""
    numbers = [(count.label, count.number) for count in prediction.counts]
    mentions = [(m.label, m.index, m.text, m.char_spans) for m in prediction.mentions]
    return [numbers, mentions]


def outside(texts: Sequence[str], predictions: Sequence[Prediction]) -> int:
    """RETURNS (int): Number of mentions that are not substrings of their texts."""
    return sum(
        mention.text not in one_line(text)
        for text, prediction in zip(texts, predictions, strict=True)
        for mention in prediction.mentions
    )


if __name__ == "__main__":
    typer.run(main)
