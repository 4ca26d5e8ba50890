"""Cost of training: prompt trees against the m*n sequences of the paper, on the same batches.

python benchmarks/training.py ../shared/data --device cuda
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import spacy
import torch
import typer
from corpora import SETS, read_lines, to_doc
from results import write_results
from thinc.api import Adam
from wasabi import msg

from spacy_padellm.decoding.decoder import batches
from spacy_padellm.decoding.parallel_prompts import parallel_prompts
from spacy_padellm.model.loss import Loss
from spacy_padellm.model.loss_graphs import GraphedLoss
from spacy_padellm.model.optimizer import step, torch_optimizer
from spacy_padellm.pipeline.component import PadellmNER
from spacy_padellm.prompts.tree import PromptTree
from spacy_padellm.training.gold_of import gold_of, is_usable
from spacy_padellm.training.trainer import CPU_TOKENS, GPU_TOKENS

# Dense bfloat16 arithmetic in operations a second, from the makers' data sheets.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
LORA = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05}
Forms = dict[str, list[list[PromptTree]]]


def main(
    data: Path,
    name: str = "conll03",
    device: str = "cpu",
    base: str = "smollm2-135m",
    limit: int = typer.Option(0, help="Documents; 0 for all"),
    batch_sizes: list[int] = typer.Option([64], "--batch-size", help="Documents of a step"),
    ways: list[str] = typer.Option(
        [], "--way", help="plain; on a GPU also graphs, compiled; all if none is given"
    ),
    whole: bool = typer.Option(True, help="Train all weights as well as LoRA"),
) -> None:
    """Measure an epoch of each way in one process; print a table, write results/training.json."""
    figures: dict[str, Any] = {"set": name, "runs": []}
    for recipe in ("lora", "full") if whole else ("lora",):
        for batch_size in batch_sizes:
            one = measure(data, name, device, base, limit, batch_size, recipe, ways)
            figures["runs"].append({"recipe": recipe, "batch_size": batch_size, **one})
            write_results("training", figures, device=device)
    for one in figures["runs"]:
        msg.info(
            f"{one['recipe']}, {one['documents']} documents, {one['batch_size']} a step; tokens an "
            f"epoch: sequences "
            f"{one['tokens']['sequences']}, trees {one['tokens']['trees']} "
            f"({one['token_ratio']:.2f} times fewer)"
        )
        rows = [
            (key, f"{r['seconds']:.1f}", f"{r['tokens_per_s']:.0f}", _percent(r["share_of_peak"]))
            for key, r in one["passes"].items()
        ]
        header = ("what, how", "s an epoch", "tokens/s", "share of peak")
        msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r"))
        for key, ratio in one["time_ratios"].items():
            msg.info(f"{key}: trees take {ratio:.2f} times less time")


def measure(
    data: Path,
    name: str,
    device: str,
    base: str,
    limit: int,
    batch_size: int,
    recipe: str,
    asked: Sequence[str],
) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Tokens, seconds and ratios of one recipe."""
    ner, forms = read(data, name, device, base, limit, batch_size, recipe == "lora")
    model = ner.shim.load()
    if recipe == "full":
        model.network.float().requires_grad_(True)
    model.network.train()
    autocast = device != "cpu"
    ways: dict[str, Callable[[], Loss]] = {"plain": lambda: Loss(model, autocast)}
    if device != "cpu":
        ways["graphs"] = lambda: GraphedLoss(model, autocast)
        ways["compiled"] = lambda: GraphedLoss(model, autocast, True)
    if asked:
        ways = {way: ways[way] for way in asked}
    tokens = {form: sum(len(t) for b in parts for t in b) for form, parts in forms.items()}
    targets = {form: sum(t.n_targets for b in parts for t in b) for form, parts in forms.items()}
    assert targets["trees"] == targets["sequences"], "both ways must be asked the same"
    passes: dict[str, Any] = {}
    most = peak(device)
    for way, make in ways.items():
        for form, parts in forms.items():
            seconds, loss = epoch_seconds(make(), parts, device)
            flops = flops_of(model.network, tokens[form], targets[form], recipe == "lora")
            passes[f"{form}, {way}"] = {
                "seconds": seconds,
                "tokens_per_s": tokens[form] / seconds,
                "share_of_peak": flops / seconds / most if most else None,
                "loss": loss,
            }
            msg.info(f"{recipe}: {form}, {way}: {seconds:.1f} s, loss {loss:.4f}")
    return {
        "documents": sum(len(batch) for batch in forms["trees"]),
        "tokens": tokens,
        "targets": targets["trees"],
        "token_ratio": tokens["sequences"] / tokens["trees"],
        "passes": passes,
        "time_ratios": {
            way: passes[f"sequences, {way}"]["seconds"] / passes[f"trees, {way}"]["seconds"]
            for way in ways
        },
    }


def read(
    data: Path, name: str, device: str, base: str, limit: int, batch_size: int, lora: bool
) -> tuple[PadellmNER, Forms]:
    """RETURNS (tuple[PadellmNER, Forms]): An untrained component, and the batches of its steps: the
    documents' trees, and each tree's prompts as sequences of their own."""
    lang, definitions = SETS[name]
    nlp = spacy.blank(lang)
    records = list(read_lines(data / name / "train.jsonl"))[: limit or None]
    labels = sorted({span["label"] for record in records for span in record["spans"]})
    config = {
        "labels": labels,
        "prompt": {
            "@misc": "spacy-padellm.prompt.v1",
            "lang": lang,
            "label_definitions": definitions,
        },
        "model": {
            "@architectures": "spacy-padellm.CausalLM.v1",
            "name": base,
            "adapter": LORA if lora else None,
            "device": device,
        },
    }
    ner = nlp.add_pipe("padellm_ner", config=config)
    assert isinstance(ner, PadellmNER)
    docs = [to_doc(record, nlp.vocab, lang) for record in records]
    ner.shim.load()
    golds = [gold_of(doc, labels) for doc in docs if is_usable(doc, labels)]
    trees = parallel_prompts(ner.shim.builder(ner.prompt), golds)
    parts = [trees[i : i + batch_size] for i in range(0, len(trees), batch_size)]
    sequences = [[prompt for tree in part for prompt in tree.prompts()] for part in parts]
    return ner, {"trees": parts, "sequences": sequences}


def epoch_seconds(
    loss: Loss, parts: Sequence[Sequence[PromptTree]], device: str
) -> tuple[float, float]:
    """RETURNS (tuple[float, float]): Seconds of an epoch, with its optimizer steps, and the loss of
    its last batch. What is done once for a shape of batch (capture, compilation) is done before."""
    settings = Adam(learn_rate=1e-6, L2=0.0, grad_clip=1.0, use_averages=False)
    optimizer = torch_optimizer(settings, loss.parameters)

    def run(batch: Sequence[PromptTree]) -> torch.Tensor:
        n_targets = sum(tree.n_targets for tree in batch)
        total = torch.zeros((), device=loss.model.device)
        for part in passes(batch, GPU_TOKENS if device != "cpu" else CPU_TOKENS):
            nll, backprop = loss(part)
            backprop(torch.full_like(nll, 1 / n_targets))
            total += nll.sum()
        step(optimizer, settings, loss.parameters)
        return total / n_targets

    for batch in parts if device != "cpu" else parts[:1]:
        last = run(batch)
    synchronise(device)
    start = time.perf_counter()
    for batch in parts:
        last = run(batch)
    synchronise(device)
    return time.perf_counter() - start, float(last)


def passes(batch: Sequence[PromptTree], budget: int) -> Iterator[list[PromptTree]]:
    """YIELDS (list[PromptTree]): What goes through the model together."""
    for group in batches([len(tree) for tree in batch], budget):
        yield [batch[i] for i in group]


def flops_of(network: Any, tokens: int, targets: int, lora: bool) -> float:
    """Arithmetic of an epoch's matrix products with weights: forward 2 operations a weight and
    token, backward as many for the activations' gradients and, where the weights are trained, for
    the weights'. Attention, LoRA's own products and padding are not counted.

    RETURNS (float): Operations.
    """
    body = sum(
        module.weight.numel()
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear) and "lora_" not in name and "lm_head" not in name
    )
    head = network.get_output_embeddings().weight.numel()
    return (4 if lora else 6) * (body * tokens + head * targets)


def peak(device: str) -> float | None:
    """RETURNS (float | None): Operations a second that the GPU's data sheet names."""
    if device == "cpu":
        return None
    name = torch.cuda.get_device_name(device)
    return next((value for key, value in PEAKS.items() if key in name), None)


def synchronise(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


if __name__ == "__main__":
    typer.run(main)
