"""Draw the plots of growth.py again from its results.

Figures: docs/plots/growth-*.svg.

python benchmarks/growth_plot.py growth/adapter-cuda
"""

import typer
from harness.growth_figure import write_plots

if __name__ == "__main__":
    typer.run(write_plots)
