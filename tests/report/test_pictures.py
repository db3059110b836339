"""Pictures: all that is written in them can be read, and bars are as long as what they count."""

from __future__ import annotations

import itertools

import pytest
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from pipelines.report import pictures

REASONS = {
    "gopher_stop_words": 123_456,
    "near_duplicate": 90_233,
    "language": 54_000,
    "repetition_duplicate_10_grams": 20_111,
    "a_name_longer_than_anybody_would_give_a_reason" * 3: 4_020,
    **{f"reason_{number}": number for number in range(7, -1, -1)},
}
FUNNELS: list[tuple[list[tuple[str, int, int]], dict[str, int]]] = [
    ([("came", 1_234_567, 0), ("normalise", 1_111_111, 123_456), ("rest", 9, 1_111_102)], REASONS),
    ([("came", 3_234_567_890, 0), ("gopher_with_a_long_name", 1, 3_234_567_889)], {"short": 1}),
    ([("came", 1, 0)], {}),
    ([("came", 0, 0), ("normalise", 0, 0)], {"empty": 0}),
    ([("came", 5, 0), *((f"step_{number}", 5 - number // 4, 1) for number in range(16))], REASONS),
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn from now on."""
    figures: list[Figure] = []
    finish = pictures.png

    def keep(figure: Figure) -> bytes:
        figures.append(figure)
        return finish(figure)

    monkeypatch.setattr(pictures, "png", keep)
    return figures


def require_legible(figure: Figure) -> None:
    """All that is written lies inside the picture, and none of it over another."""
    boxes = []
    for axes in figure.axes:
        written = [*axes.texts, axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            written += [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
        boxes += [(t.get_text(), t.get_window_extent()) for t in written if t.get_text()]
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        assert box.y0 >= -1, text
        assert box.y1 <= figure.bbox.y1 + 1, text
    for (one, box), (two, other) in itertools.combinations(boxes, 2):
        apart = box.x1 <= other.x0 or other.x1 <= box.x0 or box.y1 <= other.y0 or other.y1 <= box.y0
        assert apart, f"{one} over {two}"


@pytest.mark.parametrize(("steps", "reasons"), FUNNELS, ids=range(len(FUNNELS)))
def test_a_funnel_is_legible(
    drawn: list[Figure], steps: list[tuple[str, int, int]], reasons: dict[str, int]
) -> None:
    assert pictures.funnel(steps, reasons).startswith(b"\x89PNG")
    require_legible(drawn[0])
    above = drawn[0].axes[0]
    widths = [bar.get_width() for bar in above.containers[0]]
    assert widths == [left for _, left, _ in steps]
    assert len(drawn[0].axes) == 1 + bool(reasons)


BINS: dict[str, dict[int, int]] = {
    "some": {32: 10, 64: 200, 128: 1_234_567, 1024: 3},
    "one": {1 << 20: 6},
    "shortest": {2: 1},
    "all": {1 << power: power for power in range(1, 32)},
}


@pytest.mark.parametrize("bins", BINS.values(), ids=BINS)
def test_a_histogram_is_legible(drawn: list[Figure], bins: dict[int, int]) -> None:
    assert pictures.histogram(bins, x="characters in a document").startswith(b"\x89PNG")
    require_legible(drawn[0])
    (axes,) = drawn[0].axes
    heights = [bar.get_height() for bar in axes.patches]
    assert sum(heights) == sum(bins.values())
    assert [h for h in heights if h] == [bins[bound] for bound in sorted(bins)]


HOSTILE = ["$$", "$_$", "_hidden", "a $ b $ c", "$\\frac{1}{0}$", "\\alpha", "{x}", "", "%s", "^_{"]


def written(figure: Figure) -> set[str]:
    figure.draw_without_rendering()
    return {text.get_text() for text in figure.findobj(Text)}


def test_names_are_drawn_as_they_are(drawn: list[Figure]) -> None:
    """No name is a formula, and none is left out for how it begins."""
    numbers = [[1.0] * len(HOSTILE)] * len(HOSTILE)
    points = [{"x": i, "y": i % 3, "name": n, "group": n} for i, n in enumerate(HOSTILE)]
    pictures.curve({name: ([1, 2], [i, 2]) for i, name in enumerate(HOSTILE)}, x="$_$", y="$$")
    pictures.bars(dict.fromkeys(HOSTILE, 1.0), x="$_$")
    pictures.confusion([[1] * len(HOSTILE)] * len(HOSTILE), HOSTILE)
    pictures.heatmap(numbers, rows=HOSTILE, columns=HOSTILE)
    pictures.scatter(points)
    pictures.funnel([(name, 2, 1) for name in HOSTILE], dict.fromkeys(HOSTILE, 1))
    pictures.histogram({2: 1}, x="$_$")
    for figure in drawn[:-1]:
        assert set(HOSTILE) <= written(figure)
    for figure in (drawn[0], drawn[1], drawn[-1]):
        assert "$_$" in written(figure)
    for figure in (drawn[0], drawn[4]):
        (legend,) = figure.findobj(Legend)
        assert [text.get_text() for text in legend.get_texts()] == HOSTILE
