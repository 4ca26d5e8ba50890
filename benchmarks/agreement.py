"""Every faster way of decoding against the plain one: the same spans on real weights?

python benchmarks/agreement.py ../shared/data
python benchmarks/agreement.py ../shared/data --device cuda --documents 500
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import spacy
import typer
from corpora import read_lines
from results import write_results
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


def main(
    data: Path,
    documents: int = typer.Option(500, min=1, help="Of all sets together"),
    device: str = "cpu",
    dtype: str = typer.Option("", help="Of the weights; by device if not given"),
    ways: list[str] = typer.Option([], "--way", help="Those to compare; all if none is given"),
    adapter: Path = Path("assets/adapter"),
    splits: list[str] = typer.Option(["test"], "--split", help="Of each set"),
    name: str = typer.Option("", help="Of the results; agreement-DEVICE if not given"),
) -> None:
    """Count documents with the same counts and spans; print them, write results/agreement.json."""
    nlp = spacy.blank("en")
    texts = list(read_texts(data, documents, splits))
    shim = CausalLMShim(ModelSettings("smollm2-135m", str(adapter), device, dtype or None))
    model, builder = (
        shim.for_decoding(),
        shim.builder(make_prompt("en", both_ways=True, tag_text=True)),
    )
    bounds = [token_bounds(nlp.make_doc(text)) for text in texts]

    def decode(settings: dict[str, Any]) -> list[Prediction]:
        return TreeDecoder(**settings)(model, builder, texts, LABELS, bounds)

    def chances(which: int) -> Any:
        """Of 0 to 9 mentions of each label, tags among it, the text alone [labels, 10]."""
        heard: list[Any] = []

        def listening(*given: Any) -> Any:
            heard.append(number_chances(*given))
            return heard[-1]

        with patch.object(counts, "number_chances", listening):
            TreeDecoder(**PLAIN)(model, builder, [texts[which]], LABELS, [bounds[which]])
        return heard[0]

    expected = decode(PLAIN)
    said = [what(one) for one in expected]
    figures: dict[str, Any] = {
        "documents": len(texts),
        "mentions": sum(len(one.mentions) for one in expected),
        "outside_text": outside(texts, expected),
        "plain": asdict(TreeDecoder(**PLAIN)),
        "ways": {},
    }
    for way in tqdm(ways or WAYS, desc="Ways"):
        found = decode(WAYS[way])
        differing = [
            {
                "text": texts[i],
                "plain": said[i],
                "here": what(here),
                "margin": margin(expected[i], here, partial(chances, i)),
            }
            for i, here in enumerate(found)
            if said[i] != what(here)
        ]
        figures["ways"][way] = {
            "settings": WAYS[way],
            "agreeing": len(texts) - len(differing),
            "outside_text": outside(texts, found),
            "differing": differing,
        }
    write_results(name or f"agreement-{device}", figures, device=device)
    rows = [
        (name, f"{one['agreeing']} of {len(texts)}", one["outside_text"])
        for name, one in figures["ways"].items()
    ]
    msg.table(rows, header=("way", "the same", "mentions outside the text"), divider=True)


def read_texts(data: Path, n: int, splits: Sequence[str]) -> Iterator[str]:
    """YIELDS (str): Texts of the sets, as many of each as it has of them, from all over it."""
    found = [
        [one["text"] for split in splits for one in read_lines(data / name / f"{split}.jsonl")]
        for name in SETS
    ]
    shares = [0] * len(SETS)
    while sum(shares) < n and any(
        share < len(texts) for share, texts in zip(shares, found, strict=True)
    ):
        shares = [min(share + 1, len(texts)) for share, texts in zip(shares, found, strict=True)]
    chosen = [
        texts[:: max(1, len(texts) // share)][:share] if share else []
        for share, texts in zip(shares, found, strict=True)
    ]
    together = chain.from_iterable(zip_longest(*chosen))
    yield from [text for text in together if text is not None][:n]


def what(prediction: Prediction) -> list[Any]:
    """RETURNS (list): Counts, and mentions with their places."""
    counts = [(one.label, one.number) for one in prediction.counts]
    mentions = [(one.label, one.index, one.text, one.char_spans) for one in prediction.mentions]
    return [counts, mentions]


def outside(texts: list[str], predictions: list[Prediction]) -> int:
    """RETURNS (int): Mentions that are no strings of their texts."""
    return sum(
        mention.text not in one_line(text)
        for text, one in zip(texts, predictions, strict=True)
        for mention in one.mentions
    )


def margin(one: Prediction, other: Prediction, chances: Callable[[], Any]) -> float | None:
    """RETURNS (float | None): By how much the log-probabilities of what differs first do: of two
    numbers of a label, where the text is decoded alone, else of two mentions of the same prompt."""
    for label, (a, b) in enumerate(zip(one.counts, other.counts, strict=True)):
        if a.number != b.number:
            first, second = (chances()[label][int(str(c.number)[0])] for c in (a, b))
            return float(abs(np.log(first / second)))
    pairs = zip(one.mentions, other.mentions, strict=True)
    return next((abs(a.logprob - b.logprob) for a, b in pairs if a.text != b.text), None)


if __name__ == "__main__":
    typer.run(main)
