"""The benchmarks of speed on a tiny random network: every contender outputs the gold answers."""

import sys

import numpy as np
import pytest
from support.pipelines import ROOT

pytest_plugins = ["support.pipeline_fixtures"]
sys.path.insert(0, str(ROOT / "benchmarks"))

TEXTS = {
    "Marie Curie left Warsaw for Paris .": [(0, 11, "PER"), (17, 23, "LOC"), (28, 33, "LOC")],
    "Nothing is named here .": [],
    "CERN lies in France , CERN said .": [(0, 4, "ORG"), (13, 19, "LOC"), (22, 26, "ORG")],
    "北京 ist weit .": [(0, 2, "LOC")],
    # Counts of two digits: prompts of mentions exist before the number is known.
    " ".join("abcdefghijkl"): [(2 * i, 2 * i + 1, "PER") for i in range(12)],
}
LABELS = ("PER", "LOC", "ORG")


@pytest.fixture(scope="module")
def forced_model(toy_codec):
    from harness.forced import ForcedModel
    from harness.shapes import random_model

    return ForcedModel(random_model("tiny", toy_codec))


@pytest.fixture(scope="module")
def documents():
    from harness.documents import Documents
    from harness.grown import word_bounds

    from spacy_padellm.documents.gold import Gold
    from spacy_padellm.prompts.prompt import make_prompt

    golds = tuple(Gold(text, LABELS, tuple(spans)) for text, spans in TEXTS.items())
    prompt = make_prompt("en", {"PER": "person", "LOC": "place"})
    return Documents(LABELS, prompt, golds, tuple(word_bounds(text.split(" ")) for text in TEXTS))


def contenders(*, generated=True):
    import torch
    from harness.contenders import CONTENDERS

    return [
        pytest.param(one, id=one.name)
        for one in CONTENDERS
        if one.lacks(torch.device("cpu")) is None and (generated or not one.generate)
    ]


@pytest.mark.parametrize("contender", contenders())
def test_every_contender_outputs_the_gold_answers(contender, forced_model, documents):
    from harness.entrant import Entrant

    entrant = Entrant(contender, forced_model, documents)
    together = entrant.run()
    assert together.as_gold == len(documents)
    alone = [entrant.run([i]) for i in range(len(documents))]
    assert [run.as_gold for run in alone] == [1] * len(documents)
    assert entrant.run([3, 0]).as_gold == 2
    assert together.work.passes
    assert 0 < together.work.forcing < together.seconds


@pytest.mark.parametrize("contender", contenders(generated=False))
def test_without_a_script_nothing_is_gold(contender, forced_model, documents):
    from harness.entrant import Entrant

    entrant = Entrant(contender, forced_model, documents, max_count=2, max_mention_tokens=4)
    entrant._script = None
    assert entrant.run([0, 2]).as_gold == 0


def test_rows_of_one_prompt_are_forced_too(toy_codec, documents):
    from harness.contenders import CONTENDERS
    from harness.entrant import Entrant
    from harness.forced import ForcedModel
    from harness.shapes import random_model

    model = ForcedModel(random_model("tiny", toy_codec))
    model.model.supports_tree_mask = False
    for contender in CONTENDERS:
        if contender.name in ("tree", "replicated", "struct"):
            assert Entrant(contender, model, documents).run([0, 1, 2]).as_gold == 3


def test_a_pass_may_need_logits_of_several_tokens_of_one_mention(forced_model, documents):
    from harness.contenders import CONTENDERS
    from harness.entrant import Entrant

    from spacy_padellm.engine.step import StepInput

    (tree,) = [one for one in CONTENDERS if one.name == "tree"]
    entrant = Entrant(tree, forced_model, documents)
    entrant.run([0])
    gold = entrant.decoder.gold_trees(entrant._builder, documents.golds[:1])[0]
    at = np.flatnonzero(gold.target >= 0)
    rows = forced_model.runner().start_rows(1, len(gold))
    logits = rows.forward(StepInput.of_runs([(0, gold.ids, gold.paths(0))], at)).logits
    assert logits.argmax(-1).tolist() == gold.target[at].tolist()


def test_passes_are_those_of_the_longest_answer(forced_model, documents):
    from harness.contenders import CONTENDERS
    from harness.entrant import Entrant

    by_name = {one.name: one for one in CONTENDERS}
    passes = {}
    for name in ("tree", "replicated", "struct", "struct, generate"):
        passes[name] = len(Entrant(by_name[name], forced_model, documents).run([0]).work.passes)
    answer = "PER: …"
    assert passes["struct"] == passes["struct, generate"] > len(answer)
    # Counts, heads, then one pass per further byte of "Marie Curie".
    codec = forced_model.codec
    assert passes["tree"] == 2 + len(codec.encode("Marie Curie"))
    assert passes["replicated"] == passes["tree"] + 1


def test_contender_lacks_a_lever_that_its_decoder_has_not():
    import torch
    from harness.contenders import Contender

    from spacy_padellm.decoding.tree_decoder import make_tree_decoder

    cpu = torch.device("cpu")
    assert "wings" in Contender("x", make_tree_decoder, {"wings": True}).lacks(cpu)
    assert Contender("x", make_tree_decoder).lacks(cpu) is None


def test_floor_is_the_slower_of_weights_and_products(forced_model):
    from harness.floors import Ceilings, Cost, cost_of

    cost = Cost(weight_bytes=100, token_operations=10, output_operations=20)
    assert cost.floor([(1, 1)], Ceilings(10.0, 1000.0)) == pytest.approx(10.0)
    assert cost.floor([(1, 1), (1000, 0)], Ceilings(100.0, 30.0)) == pytest.approx(1 + 1000 / 3)
    found = cost_of(forced_model.model)
    network = forced_model.model.network
    vocabulary = network.get_output_embeddings().weight.numel()
    assert found.weight_bytes == 4 * sum(one.numel() for one in network.parameters())
    assert found.output_operations == 2 * vocabulary
    layers = sum(
        one.weight.numel() for name, one in network.named_modules() if name.endswith("_proj")
    )
    assert found.token_operations == 2 * layers


def test_ceilings_are_measured():
    import torch
    from harness.floors import measure_ceilings

    found = measure_ceilings(torch.device("cpu"), torch.float32, repeat=1, scale=0.01)
    assert found.bytes_per_s > 0
    assert found.operations_per_s > 0


def test_latency_and_throughput_compare_contenders(forced_model, documents):
    from harness.comparison import measure
    from harness.contenders import CONTENDERS
    from harness.floors import Ceilings, Floors, cost_of

    chosen = [one for one in CONTENDERS if one.name in ("struct", "replicated", "tree")]
    floors = Floors(cost_of(forced_model.model), Ceilings(1e12, 1e12))
    for together in (False, True):
        figures = measure(forced_model, documents, chosen, floors, 1, together=together)
        assert set(figures) == {"struct", "replicated", "tree"}
        for name, one in figures.items():
            assert one["documents_as_gold"] == len(documents)
            assert one["times_faster_than"][name] == 1 if name != "tree" else True
            assert 0 < one["share_of_floor"] < 1
            assert one["seconds"] > 0


def test_grown_documents_have_the_given_size(toy_codec, forced_model):
    from harness.contenders import CONTENDERS
    from harness.entrant import Entrant
    from harness.grown import grow

    words = [f"word{i}" for i in range(50)]
    found = grow(words, toy_codec, 3, n_tokens=200, n_mentions=5, n_labels=6)
    assert len(set(found.texts)) == 3
    assert len(found.labels) == 6
    for gold in found.golds:
        assert 190 < len(toy_codec.encode(gold.text)) <= 200
        assert len(gold.spans) == 5
        assert all(len(gold.text[start:end].split()) == 2 for start, end, _ in gold.spans)
    for one in CONTENDERS:
        if one.name in ("tree", "replicated", "struct, generate"):
            assert Entrant(one, forced_model, found).run().as_gold == 3
    with pytest.raises(ValueError, match="no room"):
        grow(words, toy_codec, 1, n_tokens=20, n_mentions=9, n_labels=1)


def test_growth_is_measured_and_drawn(forced_model):
    import growth
    from harness.contenders import CONTENDERS
    from harness.growth_figure import plot

    words = [f"word{i}" for i in range(200)]
    base = growth.Size(labels=2, mentions=1, tokens=60, batch=2)
    chosen = [one for one in CONTENDERS if one.name in ("tree", "aug")]
    sizes = list(growth.fitting("batch", [1, 2], base, words, forced_model))
    assert [size.batch for size in sizes] == [1, 2]
    points = growth.measure(forced_model, words, "batch", sizes, chosen, 1, 60.0)
    assert [(one["at"], one["contender"]) for one in points] == [
        (1, "aug"),
        (1, "tree"),
        (2, "aug"),
        (2, "tree"),
    ]
    assert all(one["documents_as_gold"] == one["batch"] for one in points)
    assert all(one["peak_gib"] is None for one in points)
    assert len(plot("batch", points).axes) == 2  # no memory on a CPU


def test_growth_stops_at_the_window_and_without_room_for_the_answer(forced_model):
    import growth
    from harness.contenders import CONTENDERS

    words = [f"word{i}" for i in range(200)]
    base = growth.Size(labels=1, mentions=1)
    window = forced_model.max_positions
    found = list(growth.fitting("tokens", [32, 2 * window, 4 * window], base, words, forced_model))
    assert [size.tokens for size in found] == [32, window - growth.BESIDE_TEXT]
    chosen = [one for one in CONTENDERS if one.name in ("tree", "aug")]
    points = growth.measure(forced_model, words, "tokens", found[1:], chosen, 1, 60.0)
    assert [one["contender"] for one in points] == ["tree"]  # the answer of aug repeats the text


@pytest.mark.parametrize("most", [0, 1, 5, 31, 32, 100, 5000])
def test_largest_batch_is_found(most):
    from memory import largest

    found = largest(lambda n: n <= most, 1000)
    assert found <= min(most, 1000)
    assert found >= min(most, 1000) * 31 / 32 - 1


def test_constraint_is_scored_on_and_off(taught):
    import constraint
    from support.pipelines import gold_examples, ner_of

    before = ner_of(taught).decoder
    docs = [example.reference for example in gold_examples(taught)]
    found = constraint.compare(taught, docs, 4)
    assert set(found) == {"on", "off"}
    for one in found.values():
        assert one["ents_f"] == one["padellm_f"] == 1
        assert one["not_in_text"] == 0
    assert ner_of(taught).decoder is before


def test_labels_of_a_set_are_those_of_the_pipeline_or_renamed():
    import constraint

    assert constraint.labels_of_pipeline("weibo", ["person"], {"PER.NAM"}) is None
    assert constraint.labels_of_pipeline("weibo", ["PER.NAM", "X"], {"PER.NAM"}) == {
        "PER.NAM": "PER.NAM"
    }
    ours = ["person", "organisation", "location", "miscellaneous"]
    assert constraint.labels_of_pipeline("conll03", ours, {"PER"})["PER"] == "person"
    assert "creative-work" not in constraint.labels_of_pipeline("wnut17", ours, {"creative-work"})


def test_pipe_is_timed_end_to_end(taught):
    import throughput
    from harness.contenders import CONTENDERS
    from harness.documents import Documents
    from harness.floors import Ceilings, Floors, cost_of
    from harness.forced import ForcedModel
    from harness.grown import word_bounds
    from support.pipelines import LABELS as KNOWN
    from support.pipelines import TEXTS as KNOWN_TEXTS
    from support.pipelines import ner_of

    from spacy_padellm.documents.gold import Gold
    from spacy_padellm.prompts.prompt import make_prompt

    loaded = ner_of(taught).shim.load()
    model = ForcedModel(loaded)
    golds = tuple(Gold(text, tuple(KNOWN), ()) for text in KNOWN_TEXTS)
    bounds = tuple(word_bounds(text.split(" ")) for text in KNOWN_TEXTS)
    documents = Documents(tuple(KNOWN), make_prompt("en"), golds, bounds)
    floors = Floors(cost_of(loaded), Ceilings(1e12, 1e12))
    chosen = [one for one in CONTENDERS if one.name in ("struct", "replicated", "tree")]
    found = throughput.measure_pipe(taught, model, documents, chosen, floors, 1, 4)
    assert set(found) == {"replicated", "tree"}
    assert found["tree"]["passes"] > 2
    assert found["tree"]["documents_per_s"] > 0
