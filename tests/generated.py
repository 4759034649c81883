"""What is generated from records: the published boards, and the board in README.md.

`python tests/generated.py --write` (or `tox -e docs`) writes them anew; a test holds them to this.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from fmbench.leaderboard import formats
from fmbench.leaderboard.board import make_board
from fmbench.store import Store, protocols_in

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "results" / "published"
README = ROOT / "README.md"
BEGIN, END = "<!-- board: generated -->\n", "<!-- end of board -->\n"
IN_README = "quick-v1"


def files() -> Iterator[tuple[Path, str]]:
    """Each generated file and what it should hold."""
    for name in protocols_in(PUBLISHED):
        store = Store(PUBLISHED, name)
        contents = store.read()
        board = make_board(store.protocol(), contents.records, contents.problems)
        yield store.folder / "leaderboard.md", formats.to_markdown(board)
        yield store.folder / "leaderboard.csv", formats.to_csv(board)
        if name == IN_README:
            before, _, rest = README.read_text("utf-8").partition(BEGIN)
            _, _, after = rest.partition(END)
            table = formats.to_markdown(board).partition("\n\n")[2]
            yield README, f"{before}{BEGIN}\n{table}\n{END}{after}"


if __name__ == "__main__":
    for path, text in files():
        if "--write" in sys.argv:
            path.write_text(text, "utf-8")
        elif path.read_text("utf-8") != text:
            sys.exit(f"{path} is stale: tox -e docs")
