"""Colours and style of the report, for light and dark screens."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """Colours of a page or a figure, in hexadecimal, which CSS and matplotlib both read.

    page, surface (str): Background of the page and of its boxes.
    text, muted, line (str): Text, secondary text, and rules.
    first, second (str): First and second data series.
    """

    page: str
    surface: str
    text: str
    muted: str
    line: str
    first: str
    second: str


LIGHT = Theme("#ffffff", "#f5f6f8", "#1b1f24", "#57606a", "#d5dae0", "#2f62c4", "#c8641b")
DARK = Theme("#14171c", "#1e2229", "#e7eaee", "#a0a9b4", "#39414c", "#82adff", "#ffab6b")

# Backgrounds of entities, light enough for dark text in both themes.
LABEL_COLOURS = (
    "#bfdbf7",
    "#f7c6c7",
    "#c8e6c9",
    "#fde7a9",
    "#dccff2",
    "#b9e6e4",
    "#f9d3b4",
    "#d9dde3",
    "#e6c3dd",
    "#d7e3a0",
)


def _variables(theme: Theme) -> str:
    return "".join(f"--{name}: {colour}; " for name, colour in vars(theme).items())


STYLE = (
    f"""
:root {{ color-scheme: light dark; {_variables(LIGHT)}}}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)}}} }}
"""
    + """
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1120px; padding: 2rem 1.5rem 3rem;
  background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, "Segoe UI", "Helvetica Neue", "Noto Sans", Arial, sans-serif;
}
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .25rem; }
p { margin: .25rem 0 .75rem; max-width: 46rem; overflow-wrap: anywhere; }
.muted, figcaption { color: var(--muted); font-size: .9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .75rem;
  margin: 1.5rem 0 0; padding: 0; list-style: none; }
.tiles li { background: var(--surface); border: 1px solid var(--line); border-radius: 8px;
  padding: .75rem 1rem; }
.tiles b { display: block; font-size: 1.65rem; line-height: 1.2; font-weight: 600;
  font-variant-numeric: tabular-nums; }
.tiles span { color: var(--muted); font-size: .85rem; }
.limits { margin: 0 0 1rem; padding-left: 1.2rem; max-width: 46rem; overflow-wrap: anywhere; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
  gap: 1.5rem 2.5rem; align-items: start; }
@media (min-width: 60rem) { .columns.uneven { grid-template-columns: 5fr 6fr; } }
.columns > * { min-width: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .4rem; text-align: right; border-bottom: 1px solid var(--line); }
th { color: var(--muted); font-weight: 600; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; min-width: 8.5rem; overflow-wrap: anywhere; }
table.words td { text-align: left; overflow-wrap: anywhere; }
figure { margin: 0 0 1rem; overflow-x: auto; }
figure img { width: auto; max-width: max(100%, 24rem); height: auto; display: block; }
article { border: 1px solid var(--line); border-radius: 8px; padding: 1rem 1.25rem;
  margin: 0 0 1rem; }
article .columns { gap: 1rem 2rem; }
article ul { margin: .75rem 0 0; padding-left: 1.2rem; font-size: .9rem; }
article h4 { margin: .5rem 0 0; font-size: .8rem; color: var(--muted); font-weight: 600;
  text-transform: uppercase; letter-spacing: .04em; }
.entities { line-height: 2.3 !important; overflow-wrap: anywhere; max-height: 32rem;
  overflow-y: auto; }
mark.entity { color: #1b1f24; padding: .2em .35em; border-radius: .3em; border: 2px solid #0000;
  -webkit-box-decoration-break: clone; box-decoration-break: clone; }
mark.entity span { font-size: .72em; font-weight: 700; margin-left: .4em; }
mark.missed { border: 2px dashed #a01414; }
mark.wrong { border: 2px solid #a01414; }
@media (max-width: 40rem) { body { padding: 1.25rem 1rem 2rem; } }
"""
)
