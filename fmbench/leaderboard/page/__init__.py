"""The leaderboard as one web page: self-contained, readable without JavaScript, safe to publish."""

from fmbench.leaderboard.page.document import is_of, render
from fmbench.leaderboard.page.picture import draw

__all__ = ["draw", "is_of", "render"]
