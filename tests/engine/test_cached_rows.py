"""Rows of prompts, behind a KV cache and recomputed: the same logits as one plain pass."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_trees import grown_trees
from transformers import DynamicCache

from spacy_padellm.engine.recomputed_rows import RecomputedRows
from spacy_padellm.engine.runner import Runner
from spacy_padellm.engine.step import StepInput
from spacy_padellm.prompts.tree import NO_TARGET, Paths


@pytest.fixture(scope="module")
def llama(tiny_model):
    return tiny_model("llama")


def test_one_row_is_what_transformers_own_cache_gives(llama):
    ids = torch.arange(10, 22)[None]
    with torch.inference_mode():
        own = DynamicCache()
        expected = [
            llama.network(input_ids=part, past_key_values=own).logits[0, -1]
            for part in ids.split([5, 4, 1, 2], dim=1)
        ]
    rows = Runner(llama).start_rows(1, capacity=3)
    found, start = [], 0
    for length in (5, 4, 1, 2):
        step = _run(0, ids[0, start : start + length].tolist(), start)
        found.append(rows.forward(step).logits[0])
        start += length
    assert torch.allclose(torch.stack(found), torch.stack(expected), atol=1e-4)


@settings(max_examples=25)
@given(st.data())
def test_any_order_of_feeding_is_one_forward_pass(llama, data):
    """Whatever is fed when, if ancestors come first: rows, passes and memory do not matter."""
    trees = [
        one.tree for one in data.draw(st.lists(grown_trees(causal=True), min_size=1, max_size=3))
    ]
    row_of = data.draw(
        st.lists(st.integers(0, 1), min_size=len(trees), max_size=len(trees)), label="rows"
    )
    # Passes never fall along a path; in one pass ancestors come first.
    pass_of = {}
    for number, tree in enumerate(trees):
        for token in range(len(tree)):
            path = tree.path(int(tree.label[token]), int(tree.mention[token])).tolist()
            before = path.index(token) - 1
            earliest = 0 if before < 0 else pass_of[number, path[before]]
            pass_of[number, token] = earliest + data.draw(st.integers(0, 1))
    rows = Runner(llama).start_rows(2, capacity=data.draw(st.integers(1, 20)))
    found = {}
    for step in sorted(set(pass_of.values())):
        runs, indices, names, count = [], [], [], 0
        for number, tree in enumerate(trees):
            tokens = [i for i in range(len(tree)) if pass_of[number, i] == step]
            if not tokens:
                continue
            part = Paths(*(column[tokens] for column in tree.paths(number)))
            runs.append((row_of[number], tree.ids[tokens], part))
            targets = [i for i, token in enumerate(tokens) if tree.target[token] != NO_TARGET]
            indices += [count + i for i in targets]
            names += [(number, tokens[i]) for i in targets]
            count += len(tokens)
        logits = rows.forward(StepInput.of_runs(runs, indices)).logits
        found.update(zip(names, logits, strict=True))
    with torch.inference_mode():
        expected = llama.tree_logits(trees)
    found = torch.stack([found[name] for name in sorted(found)])
    assert float((found - expected).norm() / expected.norm()) < 1e-5


def test_masked_tokens_are_not_attended_to(llama):
    """Mention heads that were run too early, then again at other positions on the same path."""
    trunk = _run(0, [10, 11, 12], 0)
    head = (0, [30, 31], _paths([0, 0], [1, 1], [1, 1], [4, 5]))
    digits = [(0, [20 + i], _paths([0], [1], [0], [3 + i])) for i in range(2)]

    rows = Runner(llama).start_rows(1, 20)
    rows.forward(trunk)
    rows.forward(StepInput.of_runs([digits[0], head]))
    rows.mask_slots(np.array([1, 2]))
    later = (0, [40], _paths([0], [1], [1], [5]))
    found = rows.forward(StepInput.of_runs([digits[1], later])).logits

    with torch.inference_mode():
        sequences = [[10, 11, 12, 20, 21], [10, 11, 12, 20, 21, 40]]
        expected = llama.sequence_logits(sequences, np.array([0, 1]), np.array([4, 5]))
    assert torch.allclose(found, expected, atol=1e-4)


def test_rows_of_one_prompt_are_computed_anew(llama):
    rows = RecomputedRows(llama, 2)
    rows.forward(StepInput.of_runs([(0, [10, 11, 12], _line(0, 3)), (1, [13], _line(0, 1))]))
    step = StepInput.of_runs([(1, [14, 15], _line(1, 2)), (0, [16], _line(3, 1))])
    found = rows.forward(step).logits
    with torch.inference_mode():
        expected = torch.cat(
            [
                llama.network(input_ids=torch.tensor([ids])).logits[:, -1]
                for ids in ([13, 14, 15], [10, 11, 12, 16])
            ]
        )
    assert torch.allclose(found, expected, atol=1e-4)
    rows.mask_slots(np.array([], dtype=np.int64))
    with pytest.raises(ValueError, match="2 tokens to mask, but each row holds one prompt"):
        rows.mask_slots(np.array([0, 1]))


def test_runs_are_joined_with_logits_at_the_end_of_each():
    step = StepInput.of_runs([(3, [7, 8], _line(0, 2)), (1, np.array([9]), _line(5, 1))])
    assert step.row.tolist() == [3, 3, 1]
    assert step.token_ids.tolist() == [7, 8, 9]
    assert step.paths.position.tolist() == [0, 1, 5]
    assert step.logits_indices.tolist() == [1, 2]
    assert StepInput.of_runs([(0, [7, 8], _line(0, 2))], [0]).logits_indices.tolist() == [0]


def _paths(*columns):
    return Paths(*map(np.array, [*columns, columns[-1]]))


def _line(start, length):
    return Paths([0] * length, [0] * length, [0] * length, *[range(start, start + length)] * 2)


def _run(row, ids, start):
    return StepInput.of_runs([(row, ids, _line(start, len(ids)))])
