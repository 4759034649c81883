"""The leaderboard as one web page: self-contained, readable without JavaScript, safe to publish."""

from fmbench.leaderboard.page.data_report import render_report
from fmbench.leaderboard.page.document import is_of, render, render_index
from fmbench.leaderboard.page.picture import draw
from fmbench.leaderboard.page.suspect_images import SHOWN

__all__ = ["SHOWN", "draw", "is_of", "render", "render_index", "render_report"]
