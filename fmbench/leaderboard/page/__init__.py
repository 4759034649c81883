"""The leaderboard as one web page: self-contained, readable without JavaScript, safe to publish."""

from fmbench.leaderboard.page.document import digest_in, render
from fmbench.leaderboard.page.picture import draw

__all__ = ["digest_in", "draw", "render"]
