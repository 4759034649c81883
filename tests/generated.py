"""What is generated: published boards, the board in README.md, reference pages and schemas.

`python tests/generated.py --write` (or `tox -e docs`) writes them anew; tests hold them to this.
"""

import sys
from pathlib import Path

import manual
import schemas
from fmbench.leaderboard.board import read_board
from fmbench.leaderboard.published import MARKDOWN, write_board, write_index
from fmbench.leaderboard.stored_results import StoredResults
from fmbench.store import Store, protocols_in

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "results" / "published"
README = ROOT / "README.md"
IN_README = "lite-v2"


def filled(page: Path, name: str, content: str) -> str:
    """A page whose part between the markers of that name is this."""
    begin, end = f"<!-- {name}: generated -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = page.read_text("utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    assert found and closed, f"{page} has no markers of {name}"
    return f"{before}{begin}\n{content}\n{end}{after}"


def readme() -> str:
    """README.md with the published table it shows."""
    board = (PUBLISHED / IN_README / MARKDOWN).read_text("utf-8")
    return filled(README, "board", board.partition("\n\n")[2])


def pages() -> dict[Path, str]:
    """README.md, the reference pages and the schemas, as they should be."""
    return {
        README: readme(),
        ROOT / "docs" / "commands.md": manual.commands(),
        ROOT / "docs" / "hooks.md": manual.hooks(),
        ROOT / "docs" / "statuses.md": manual.statuses(),
        ROOT / "docs" / "protocol-keys.md": manual.protocol_keys(),
        ROOT / "docs" / "checks.md": manual.checks(),
        **{ROOT / "docs" / "schemas" / name: text for name, text in schemas.schemas().items()},
    }


if __name__ == "__main__":
    if "--write" in sys.argv:
        for name in protocols_in(PUBLISHED):
            stored = StoredResults(Store(PUBLISHED, name))
            write_board(stored, read_board(stored, cached=False))
        write_index(PUBLISHED)
        for path, text in pages().items():
            path.write_text(text, "utf-8")
