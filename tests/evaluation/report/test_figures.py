import pytest
from matplotlib.figure import Figure
from support.html_pages import drawings

from spacy_padellm.evaluation.report.figures import _confusion, _labels, labels_figure
from spacy_padellm.evaluation.report.theme import LIGHT


def test_same_figures_each_time():
    scores = {"person": (0.5, 0.25), "place": (1.0, 1.0)}
    assert labels_figure(scores) == labels_figure(scores)


@pytest.mark.parametrize(
    "label", ["$x_", "$\\frac{$", "人名", "_private", "a" * 200, "<b>&amp;", "a\x0bb\nc"]
)
def test_any_label_can_be_drawn(label, recwarn):
    assert drawings(labels_figure({label: (0.5, 0.5), "person": (0.0, 1.0)}))
    assert not recwarn.list


def test_share_of_nothing_is_a_dash_and_not_zero():
    (svg, _) = drawings(labels_figure({"person": (None, 0.0)}))
    texts = [text.strip() for text in svg.itertext()]
    assert texts.count("–") == 1
    assert texts.count("0.0%") == 1


def drawn_on(draw, data, size):
    """The axes of a figure after it was laid out."""
    figure = Figure(figsize=size, layout="constrained")
    draw(data, figure, LIGHT)
    figure.draw_without_rendering()
    return figure


def test_numbers_stand_on_their_cells():
    matrix = [[1, 2, 0], [0, 5, 0], [7, 0, 9]]
    figure = drawn_on(_confusion, {"cap": 2, "gold_by_said": matrix}, (5, 5))
    (axes,) = figure.axes
    (mesh,) = axes.collections
    edges = mesh.get_coordinates()
    shown = {}
    for text in axes.texts:
        predicted, gold = text.get_position()
        assert edges[gold, predicted, 0] < predicted < edges[gold, predicted + 1, 0]
        assert edges[gold, predicted, 1] < gold < edges[gold + 1, predicted, 1]
        shown[gold, predicted] = int(text.get_text())
    assert shown == {(0, 0): 1, (0, 1): 2, (1, 1): 5, (2, 0): 7, (2, 2): 9}
    top, bottom = (axes.transData.transform((0, gold))[1] for gold in (0, 2))
    assert top > bottom


@pytest.mark.parametrize("n_labels", [1, 60])
def test_nothing_of_the_bars_is_cut_off(n_labels):
    scores = {f"{i} {'W' * 40}": (1.0, 1.0) for i in range(n_labels)}
    figure = drawn_on(_labels, scores, (6.6, 1.0 + 0.5 * n_labels))
    (axes,) = figure.axes
    parts = [*figure.legends, *axes.texts, *axes.get_yticklabels(), *axes.get_xticklabels()]
    for part in parts:
        box = part.get_window_extent()
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, part
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, part
    (legend,) = figure.legends
    assert legend.get_window_extent().y0 >= axes.bbox.y1 - 1
