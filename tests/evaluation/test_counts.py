import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_padellm.evaluation.counts import CountAnswer, confusion, count_scores

ANSWERS = st.lists(
    st.builds(CountAnswer, st.sampled_from("ABC"), st.integers(0, 12), st.integers(0, 12))
)


def test_by_hand():
    answers = [
        CountAnswer("person", 0, 0),
        CountAnswer("person", 2, 2),
        CountAnswer("person", 3, 1),
        CountAnswer("place", 1, 4),
    ]
    scores = count_scores(answers, cap=3)
    assert scores["n_prompts"] == 4
    assert scores["accuracy"] == 2 / 4
    assert scores["accuracy_present"] == 1 / 3
    assert (scores["mean_under"], scores["mean_over"]) == (2 / 4, 3 / 4)
    assert (scores["share_under"], scores["share_over"]) == (1 / 4, 1 / 4)
    assert scores["lost"] == 2 / 6
    assert scores["confusion"] == {
        "cap": 3,
        "gold_by_said": [[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]],
    }
    assert list(scores["per_label"]) == ["person", "place"]
    assert scores["per_label"]["person"]["accuracy"] == 2 / 3
    assert scores["per_label"]["place"]["lost"] == 0


def test_nothing_counted():
    scores = count_scores([])
    assert scores["n_prompts"] == 0
    assert scores["per_label"] == {}
    figures = {k: v for k, v in scores.items() if k not in ("n_prompts", "per_label", "confusion")}
    assert set(figures.values()) == {None}
    none_there = count_scores([CountAnswer("person", 0, 0)])
    assert none_there["accuracy"] == 1
    assert none_there["accuracy_present"] is None
    assert none_there["lost"] is None


@given(ANSWERS, st.integers(1, 8))
def test_confusion_holds_every_prompt(answers, cap):
    matrix = confusion(answers, cap=cap)
    assert [len(row) for row in matrix] == [cap + 1] * (cap + 1)
    assert sum(map(sum, matrix)) == len(answers)
    assert sum(matrix[cap]) == sum(answer.gold >= cap for answer in answers)
    exact = sum(answer.gold == answer.predicted for answer in answers)
    assert (
        sum(matrix[i][i] for i in range(cap)) <= exact <= sum(matrix[i][i] for i in range(cap + 1))
    )


@given(ANSWERS.filter(bool))
def test_labels_add_up(answers):
    scores = count_scores(answers)
    by_label = scores["per_label"].values()
    assert sum(label["n_prompts"] for label in by_label) == scores["n_prompts"]
    for key in ("accuracy", "mean_under", "mean_over", "share_under", "share_over"):
        summed = sum(label[key] * label["n_prompts"] for label in by_label)
        assert summed == pytest.approx(scores[key] * len(answers))
    assert scores["accuracy"] + scores["share_under"] + scores["share_over"] == pytest.approx(1)
    bias = sum(answer.predicted - answer.gold for answer in answers) / len(answers)
    assert scores["mean_over"] - scores["mean_under"] == pytest.approx(bias)


def test_cap_is_checked():
    with pytest.raises(ValueError, match="1 or more, not 0"):
        confusion([], cap=0)
