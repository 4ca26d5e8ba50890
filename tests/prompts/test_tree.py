from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.random_trees import branch_end, grow, grown_trees

from spacy_padellm.prompts.layout import lay_out, pack
from spacy_padellm.prompts.tree import NO_TARGET, PADDING, TRUNK, Paths, visible


@given(st.data())
def test_a_token_attends_to_its_prefix_and_its_ancestors(data):
    """Several trees and padding in one row, in any order of memory, against walks to the root."""
    grown = data.draw(st.lists(grown_trees(), min_size=1, max_size=3))
    n_padding = data.draw(st.integers(0, 3))
    tokens = [(t, i) for t, one in enumerate(grown) for i in range(len(one.tree))]
    tokens = data.draw(st.permutations([*tokens, *[(PADDING, 0)] * n_padding]))
    row = Paths(*(np.array(column) for column in zip(*(_path(grown, *token) for token in tokens))))

    mask = visible(row, row)

    for i, (tree, token) in enumerate(tokens):
        expected = (
            {(tree, ancestor) for ancestor in grown[tree].ancestry(token)}
            if tree != PADDING
            else {(PADDING, 0)}
        )
        assert {tokens[j] for j in np.flatnonzero(mask[i])} == expected


def _path(grown, tree, token):
    if tree == PADDING:
        return PADDING, TRUNK, 0, 0, 0
    paths = grown[tree].tree.paths(tree)
    return tuple(int(part[token]) for part in paths)


@given(st.lists(grown_trees(), min_size=2, max_size=4))
def test_rows_are_masked_from_one_another_with_tensors_as_with_arrays(grown):
    trees = [one.tree for one in grown]
    paths = lay_out(trees, list(range(len(trees)))).paths

    arrays = visible(paths, paths)
    tensors = visible(*[Paths(*map(torch.from_numpy, paths))] * 2)

    assert arrays.shape == (len(trees), paths.tree.shape[1], paths.tree.shape[1])
    assert (tensors.numpy() == arrays).all()
    for row, tree in enumerate(trees):
        own = tree.paths(row)
        assert (arrays[row, : len(tree), : len(tree)] == visible(own, own)).all()
        assert not arrays[row, : len(tree), len(tree) :].any()  # nobody sees padding


@given(grown_trees())
def test_every_token_attends_to_itself(grown):
    """A row of the mask without any key would be NaN after softmax."""
    paths = lay_out([grown.tree], [0]).paths
    assert visible(paths, paths)[0].diagonal().all()


@given(st.lists(st.integers(1, 300), max_size=30), st.integers(1, 600))
def test_pack_gives_each_tree_a_row_that_holds_it(sizes, row_tokens):
    rows = pack(sizes, row_tokens)

    loads = np.bincount(rows, sizes) if rows else np.zeros(0)
    assert len(rows) == len(sizes)
    assert (loads > 0).all()
    assert loads.sum() == sum(sizes)
    assert loads.max(initial=0) <= max([row_tokens, *sizes])


def test_pack_fills_rows_evenly():
    assert pack([], 10) == []
    assert pack([4, 4, 4, 4], 8) in ([0, 1, 0, 1], [0, 1, 1, 0])
    assert pack([5, 30, 5], 8) == [1, 0, 1]  # the longest decides what rows hold


@given(st.lists(grown_trees(), min_size=1, max_size=5), st.integers(1, 100))
def test_lay_out_keeps_every_token_once(grown, row_tokens):
    trees = [one.tree for one in grown]
    at = pack([len(tree) for tree in trees], row_tokens)

    rows = lay_out(trees, at)

    cells = list(zip(rows.row.tolist(), rows.column.tolist()))
    assert len(set(cells)) == len(cells) == sum(map(len, trees))
    own = [(i, *token) for i, tree in enumerate(trees) for token in zip(*tree.paths(i), tree.ids)]
    there = zip(*(part[rows.row, rows.column] for part in (*rows.paths, rows.ids)))
    assert [(tree[0], *tree[1:]) for tree in own] == [(path[0], *path) for path in there]
    assert rows.row.tolist() == [row for row, tree in zip(at, trees) for _ in range(len(tree))]
    padding = np.ones(rows.ids.shape, dtype=bool)
    padding[rows.row, rows.column] = False
    assert (rows.paths.tree[padding] == PADDING).all()
    assert (rows.paths.tree[~padding] >= 0).all()
    assert all(not part[padding].any() for part in (rows.ids, *rows.paths[1:]))


@given(grown_trees())
def test_prompts_are_the_separate_sequences(grown):
    """One a label and one a mention: all tokens from the root to the branch's end, in order."""
    tree = grown.tree
    prompts = list(tree.prompts())

    assert len(prompts) == len(tree.branches())
    assert len(prompts) == len(tree.labels) + len({*tree.branches()} - _counts(tree))
    for (label, mention), prompt in zip(tree.branches(), prompts):
        expected = grown.ancestry(branch_end(tree, label, mention))
        assert tree.path(label, mention).tolist() == expected
        assert prompt.ids.tolist() == tree.ids[expected].tolist()
        assert prompt.position.tolist() == list(range(len(expected)))
        assert prompt.labels == tree.labels
        paths = prompt.paths(0)
        mask = np.tri(len(prompt), dtype=bool)
        mask[np.ix_(grown.both_ways, grown.both_ways)] = True
        assert (visible(paths, paths) == mask).all()


@given(grown_trees())
def test_each_target_is_in_one_prompt_alone(grown):
    tree = grown.tree

    targets = [target for prompt in tree.prompts() for target in prompt.target.tolist()]

    targets = [target for target in targets if target != NO_TARGET]
    assert targets == tree.target[tree.target != NO_TARGET].tolist()
    assert len(targets) == tree.n_targets


def _counts(tree):
    return {(label, 0) for label in range(1, len(tree.labels) + 1)}


@pytest.mark.parametrize("lengths", [(3, 4), (1, 1)])
def test_siblings_at_one_position_are_masked_from_one_another(lengths):
    """Two mentions of a label and two labels start at the same position."""
    tree = grow([(1, list(lengths)), (1, [])], 2, [7]).tree
    paths = tree.paths(0)
    mask = visible(paths, paths)

    first, second = (branch_end(tree, 1, k) for k in (1, 2))
    assert not mask[first, second]
    assert not mask[second, first]
    assert not mask[branch_end(tree, 1), branch_end(tree, 2)]
    assert not mask[branch_end(tree, 2), first]


@given(grown_trees(), st.data())
def test_branches_in_order(grown, data):
    tree = grown.tree
    pairs = list(zip(tree.label.tolist(), tree.mention.tolist(), strict=True))
    assert tree.branches() == [pair for pair in dict.fromkeys(pairs) if pair[0] != TRUNK]
    assert tree.n_trunk == sum(label == TRUNK for label, _ in pairs)

    ids = np.array(data.draw(st.permutations(tree.ids.tolist())))
    other = replace(tree, ids=ids)
    assert other.ids is ids
    assert other.branches() == tree.branches()
    for name in ("labels", "position", "label", "mention", "target", "horizon"):
        assert getattr(other, name) is getattr(tree, name)


@given(st.lists(st.integers(1, 12), max_size=30), st.integers(1, 30))
def test_trees_go_to_the_emptiest_row_longest_first(sizes, row_tokens):
    limit = max(row_tokens, *sizes, 1)
    n_rows = -(-sum(sizes) // limit)
    while sizes:
        loads, rows = [0] * n_rows, [0] * len(sizes)
        for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
            rows[i] = loads.index(min(loads))
            loads[rows[i]] += sizes[i]
        if max(loads) <= limit:
            break
        n_rows += 1
    assert pack(sizes, row_tokens) == (rows if sizes else [])
