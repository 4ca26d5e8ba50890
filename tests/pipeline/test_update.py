"""The component's `update`, `get_loss` and `finish_update`."""

import pytest
import torch
from spacy.training import Example
from support.gold_trees import gold_trees
from support.pipelines import (
    LORA,
    TEXTS,
    blank_pipeline,
    example,
    gold_examples,
    ner_of,
    teach,
    write_tiny_base,
)
from support.trained_weights import (
    gradients,
    parameters,
    same_weights,
    sgd_without_clipping,
    weights,
)
from thinc.api import Adam

from spacy_padellm.training.annotated_labels import ANNOTATED_LABELS

pytest_plugins = ["support.pipeline_fixtures"]


# --- the loss and its gradient ---


def test_loss_is_the_mean_over_targets(tiny_base):
    nlp = blank_pipeline(tiny_base, None)
    examples = gold_examples(nlp)
    nlp.initialize(lambda: examples)
    ner = ner_of(nlp)
    nll, _ = ner.model.begin_update(_trees(ner, examples))
    (loss,) = ner.update(examples).values()
    assert loss == pytest.approx(float(nll.mean()), rel=1e-5)
    assert len(nll) == sum(tree.n_targets for tree in _trees(ner, examples))


def _trees(ner, examples):
    return gold_trees(examples, ner.labels, ner.tree_builder())


def test_losses_add_up_over_updates(tiny_base):
    nlp = blank_pipeline(tiny_base, None)
    examples = gold_examples(nlp)
    nlp.initialize(lambda: examples)
    losses = {"padellm_ner": 1.0, "other": 2.0}
    first = dict(nlp.update(examples, losses=losses, sgd=sgd_without_clipping(0.0)))
    assert first["other"] == 2.0
    assert first["padellm_ner"] > 1.0
    again = nlp.update(examples, losses=losses, sgd=sgd_without_clipping(0.0))
    assert again["padellm_ner"] - first["padellm_ner"] == pytest.approx(
        first["padellm_ner"] - 1.0, rel=1e-5
    )


@pytest.mark.parametrize("adapter", [LORA, None], ids=["adapter", "all weights"])
def test_gradients_of_parts_add_up_to_those_of_the_whole(tiny_base, adapter):
    nlp = blank_pipeline(tiny_base, adapter)
    teach(nlp, steps=3)
    ner, examples = ner_of(nlp), gold_examples(nlp)
    results = []
    for update_tokens in (100_000, 200, 1):
        ner.cfg["update_tokens"] = update_tokens
        (loss,) = ner.update(examples, sgd=None).values()
        results.append((loss, gradients(nlp)))
        ner.shim.load().network.zero_grad(set_to_none=True)
    (loss, whole), *parts = results
    assert whole
    for part_loss, part in parts:
        assert part_loss == pytest.approx(loss, rel=1e-4)
        assert part.keys() == whole.keys()
        for name, gradient in whole.items():
            assert (part[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-8, name


def test_update_without_an_optimizer_only_adds_gradients_up(tiny_base):
    nlp = blank_pipeline(tiny_base, LORA)
    examples = gold_examples(nlp)
    nlp.initialize(lambda: examples)
    before = weights(nlp)
    ner_of(nlp).update(examples)
    once = gradients(nlp)
    ner_of(nlp).update(examples)
    for name, gradient in gradients(nlp).items():
        torch.testing.assert_close(gradient, 2 * once[name])
    assert same_weights(weights(nlp), before)
    ner_of(nlp).finish_update(sgd_without_clipping(0.1))
    assert not same_weights(weights(nlp), before)
    assert gradients(nlp) == {}


def test_labels_that_a_document_does_not_answer_for_are_not_trained(tiny_base):
    nlp = blank_pipeline(tiny_base, None)
    gold = example(nlp, TEXTS[2], [(0, 2, "person")])
    nlp.initialize(lambda: [gold])
    ner = ner_of(nlp)
    ner.update([gold])
    both = gradients(nlp)
    ner.shim.load().network.zero_grad(set_to_none=True)
    gold.reference.user_data[ANNOTATED_LABELS] = ["person"]
    ner.update([gold])
    one = gradients(nlp)
    ner.shim.load().network.zero_grad(set_to_none=True)
    del gold.reference.user_data[ANNOTATED_LABELS]
    ner.cfg["labels"] = ["person"]
    ner.update([gold])
    alone = gradients(nlp)
    for name in alone:
        torch.testing.assert_close(one[name], alone[name])
    assert any(not torch.allclose(both[name], one[name]) for name in one)


def test_examples_that_say_nothing_change_nothing(tiny_base):
    nlp = blank_pipeline(tiny_base, LORA)
    optimizer = nlp.initialize(lambda: gold_examples(nlp))
    before = weights(nlp)
    silent = Example(nlp.make_doc("Bo"), nlp.make_doc("Bo"))
    blank = example(nlp, " \n ", [])
    assert nlp.update([silent, blank], sgd=optimizer) == {"padellm_ner": 0.0}
    assert ner_of(nlp).update([], sgd=optimizer) == {"padellm_ner": 0.0}
    assert same_weights(weights(nlp), before)

    (with_rest,) = ner_of(nlp).update([silent, *gold_examples(nlp), blank]).values()
    (alone,) = ner_of(nlp).update(gold_examples(nlp)).values()
    assert with_rest == pytest.approx(alone, rel=1e-5)


# --- losses that are not finite ---


@pytest.fixture
def broken_at_tilde(tmp_path, toy_tokenizer):
    """A pipeline whose loss is NaN for each text with a tilde."""
    base = write_tiny_base(tmp_path / "base", toy_tokenizer, tie_word_embeddings=False)
    nlp = blank_pipeline(base, LORA)
    nlp.initialize(lambda: gold_examples(nlp))
    model = ner_of(nlp).shim.load()
    (tilde,) = model.codec.encode("~")
    with torch.no_grad():
        model.base.get_input_embeddings().weight[tilde] = float("nan")
    return nlp


def test_loss_that_is_not_finite_is_refused(broken_at_tilde):
    nlp = broken_at_tilde
    before = weights(nlp)
    with pytest.raises(ValueError, match=r"loss is nan, so nothing was learnt.*'Bo~ in Oslo'"):
        nlp.update([example(nlp, "Bo~ in Oslo", [])], sgd=Adam(0.1))
    after = weights(nlp)
    assert all(torch.equal(after[n], before[n]) for n in before if "lora_" in n)


def test_nothing_of_a_refused_batch_is_learnt_later(broken_at_tilde):
    """Parts of the batch that were fine leave no gradient behind."""
    nlp = broken_at_tilde
    ner_of(nlp).cfg["update_tokens"] = 1
    with pytest.raises(ValueError, match="nothing was learnt"):
        nlp.update([*gold_examples(nlp), example(nlp, "Bo~ in Oslo is a text that is longer", [])])
    assert gradients(nlp) == {}


def test_gradient_that_is_not_finite_is_refused(tiny_base):
    nlp = blank_pipeline(tiny_base, LORA)
    nlp.initialize(lambda: gold_examples(nlp))
    before = weights(nlp)
    ner_of(nlp).update(gold_examples(nlp))
    next(iter(parameters(nlp).values())).grad.fill_(float("inf"))
    with pytest.raises(ValueError, match="this step was not taken"):
        ner_of(nlp).finish_update(Adam(0.1))
    assert same_weights(weights(nlp), before)
    assert gradients(nlp) == {}


def test_gradient_that_is_not_finite_names_the_documents_of_its_step(tiny_base):
    nlp = blank_pipeline(tiny_base, LORA)
    ner, (first, second, third, fourth) = ner_of(nlp), gold_examples(nlp)
    nlp.initialize(lambda: [first, second, third, fourth])
    nlp.update([first], sgd=sgd_without_clipping(0.1))
    silent = Example(nlp.make_doc("Bo"), nlp.make_doc("Bo"))  # nothing can be learnt from it
    ner.update([second, silent])
    ner.update([third])
    next(iter(parameters(nlp).values())).grad.fill_(float("nan"))
    with pytest.raises(ValueError, match="not taken") as error:
        ner.finish_update(sgd_without_clipping(0.1))
    assert str(error.value).endswith("documents: 'Rome is far.'; 'Bo likes Oslo.'")

    ner.update([fourth])
    next(iter(parameters(nlp).values())).grad.fill_(float("nan"))
    with pytest.raises(ValueError, match="documents: 'Nothing here.'$"):
        ner.finish_update(sgd_without_clipping(0.1))


def test_many_documents_of_a_step_are_counted(tiny_base):
    nlp = blank_pipeline(tiny_base, LORA)
    nlp.initialize(lambda: gold_examples(nlp))
    ner_of(nlp).update(gold_examples(nlp) * 6)
    next(iter(parameters(nlp).values())).grad.fill_(float("nan"))
    with pytest.raises(ValueError, match="; and 4 more$"):
        ner_of(nlp).finish_update(Adam(0.1))
