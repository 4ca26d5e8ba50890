"""Cost of training: prompt trees against the m·n sequences of the paper, on the same batches.

Figure: docs/speed.md, "Training"; results/training.json.

python benchmarks/training.py ../shared/data --device cuda
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import spacy
import torch
import typer
from harness.datasets import Dataset, find_datasets
from harness.documents import prompt_lang
from harness.gold_docs import to_doc
from harness.label_names import OWN_LANGUAGE
from harness.options import Data, Device, Lang
from harness.results import write_results
from thinc.api import Adam
from wasabi import msg

from spacy_padellm.decoding.parallel_prompts import parallel_prompts
from spacy_padellm.engine.batching import group_by_budget
from spacy_padellm.model.loss import Loss
from spacy_padellm.model.loss_graphs import GraphedLoss
from spacy_padellm.model.optimizer import step, torch_optimizer
from spacy_padellm.pipeline.component import PadellmNER
from spacy_padellm.prompts.tree import PromptTree
from spacy_padellm.training.gold_of import gold_of, is_usable
from spacy_padellm.training.trainer import CPU_TOKENS, GPU_TOKENS

# Dense bfloat16 operations per second, from the makers' data sheets.
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
LORA = {"r": 16, "lora_alpha": 32, "lora_dropout": 0.05}
Forms = dict[str, list[list[PromptTree]]]


def main(
    data: Data,
    name: Annotated[str, typer.Option(help="Name of the dataset; conll03 if empty")] = "",
    lang: Lang = None,
    device: Device = "cpu",
    base: Annotated[str, typer.Option(help="Name of the base")] = "smollm2-135m",
    limit: Annotated[int, typer.Option(help="Documents; 0 for all")] = 0,
    batch_sizes: Annotated[
        list[int] | None, typer.Option("--batch-size", help="Documents of a step; 64 if none")
    ] = None,
    ways: Annotated[
        list[str] | None,
        typer.Option("--way", help="plain; on a GPU also graphs, compiled; all if none"),
    ] = None,
    whole: Annotated[bool, typer.Option(help="Train all weights as well as LoRA")] = True,
) -> None:
    """Measure an epoch of each way in one process; print a table, write results/training.json."""
    names = [name] if name else None
    (dataset, *_) = find_datasets(data, names, ("conll03",), split="train", lang=lang)
    figures: dict[str, Any] = {"set": dataset.name, "runs": []}
    for recipe in ("lora", "full") if whole else ("lora",):
        for batch_size in batch_sizes or [64]:
            ner, forms = read(dataset, device, base, limit, batch_size, recipe == "lora")
            run = measure(ner, forms, device, recipe, ways or [])
            figures["runs"].append({"recipe": recipe, "batch_size": batch_size, **run})
            write_results("training", figures, device=device)
    for run in figures["runs"]:
        print_run(run)


def print_run(run: dict[str, Any]) -> None:
    """Print the figures of one recipe and batch size."""
    tokens = run["tokens"]
    msg.info(
        f"{run['recipe']}, {run['documents']} documents, {run['batch_size']} a step; tokens an "
        f"epoch: sequences {tokens['sequences']}, trees {tokens['trees']} "
        f"({run['token_ratio']:.2f} times fewer)"
    )
    rows = [
        (key, f"{r['seconds']:.1f}", f"{r['tokens_per_s']:.0f}", _percent(r["share_of_peak"]))
        for key, r in run["passes"].items()
    ]
    header = ("what, how", "s an epoch", "tokens/s", "share of peak")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r", "r"))
    for key, ratio in run["time_ratios"].items():
        msg.info(f"{key}: trees take {ratio:.2f} times less time")


def measure(
    ner: PadellmNER, forms: Forms, device: str, recipe: str, selected: Sequence[str]
) -> dict[str, Any]:
    """Measure an epoch of both forms in each way.

    ner (PadellmNER): An untrained component.
    forms (Forms): Batches of "trees" and "sequences".
    device (str): torch's name of the device.
    recipe (str): "lora" or "full".
    selected (Sequence[str]): Ways of computing the loss; all if empty.
    RETURNS (dict[str, Any]): Tokens, seconds and ratios.
    """
    model = ner.shim.load()
    if recipe == "full":
        model.network.float().requires_grad_(True)
    model.network.train()
    autocast = device != "cpu"
    ways: dict[str, Callable[[], Loss]] = {"plain": lambda: Loss(model, autocast)}
    if device != "cpu":
        ways["graphs"] = lambda: GraphedLoss(model, autocast)
        ways["compiled"] = lambda: GraphedLoss(model, autocast, True)
    if selected:
        ways = {way: ways[way] for way in selected}
    tokens = {form: sum(len(t) for b in parts for t in b) for form, parts in forms.items()}
    targets = {form: sum(t.n_targets for b in parts for t in b) for form, parts in forms.items()}
    assert targets["trees"] == targets["sequences"], "both forms must have the same targets"
    passes: dict[str, Any] = {}
    peak = peak_operations(device)
    for way, make in ways.items():
        for form, parts in forms.items():
            seconds, loss = epoch_seconds(make(), parts, device)
            flops = flops_of(model.network, tokens[form], targets[form], recipe == "lora")
            passes[f"{form}, {way}"] = {
                "seconds": seconds,
                "tokens_per_s": tokens[form] / seconds,
                "share_of_peak": flops / seconds / peak if peak else None,
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
    dataset: Dataset, device: str, base: str, limit: int, batch_size: int, lora: bool
) -> tuple[PadellmNER, Forms]:
    """RETURNS (tuple[PadellmNER, Forms]): An untrained component, and the batches of its steps:
    trees of the documents, and the prompts of each tree as sequences of their own."""
    nlp = spacy.blank(dataset.lang)
    records = list(dataset.records("train", limit))
    labels = sorted({span["label"] for record in records for span in record["spans"]})
    config = {
        "labels": labels,
        "prompt": {
            "@misc": "spacy-padellm.prompt.v1",
            "lang": prompt_lang(dataset.lang),
            "label_definitions": OWN_LANGUAGE.get(dataset.name),
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
    docs = [to_doc(record, nlp.vocab, dataset.lang) for record in records]
    ner.shim.load()
    golds = [gold_of(doc, labels) for doc in docs if is_usable(doc, labels)]
    trees = parallel_prompts(ner.shim.builder(ner.prompt), golds)
    parts = [trees[i : i + batch_size] for i in range(0, len(trees), batch_size)]
    sequences = [[prompt for tree in part for prompt in tree.prompts()] for part in parts]
    return ner, {"trees": parts, "sequences": sequences}


def epoch_seconds(
    loss: Loss, parts: Sequence[Sequence[PromptTree]], device: str
) -> tuple[float, float]:
    """RETURNS (tuple[float, float]): Seconds of an epoch with its optimizer steps, and the loss of
    its last batch. Capture and compilation, once for each shape of batch, are done before."""
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
    """YIELDS (list[PromptTree]): Trees of one forward pass."""
    for group in group_by_budget([len(tree) for tree in batch], budget):
        yield [batch[i] for i in group]


def flops_of(network: Any, tokens: int, targets: int, lora: bool) -> float:
    """Count the operations of an epoch's matrix products with weights: forward 2 per weight and
    token, backward as many for the activations' gradients and, if the weights are trained, for the
    weights'. Attention, LoRA's own products and padding are not counted.

    RETURNS (float): Operations.
    """
    body = sum(
        module.weight.numel()
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear) and "lora_" not in name and "lm_head" not in name
    )
    head = network.get_output_embeddings().weight.numel()
    return (4 if lora else 6) * (body * tokens + head * targets)


def peak_operations(device: str) -> float | None:
    """RETURNS (float | None): Operations per second of the GPU's data sheet."""
    if device == "cpu":
        return None
    name = torch.cuda.get_device_name(device)
    return next((value for key, value in PEAKS.items() if key in name), None)


def synchronise(device: str) -> None:
    """Wait until a device is done."""
    if device != "cpu":
        torch.cuda.synchronize()


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


if __name__ == "__main__":
    typer.run(main)
