"""What a wheel holds beside the package: the published results, and the commit it is built from.

A source distribution holds the commit as well, for the wheels that are built from it. README's
relative links become addresses, since a package index has no files for them to lead to.
"""

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface


class LongDescription(MetadataHookInterface):
    """Makes README the description, its links leading into the repository at the version's tag."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling when it has read `[project]`."""
        source, tag = metadata["urls"]["Source"], f"v{metadata['version']}"
        text = Path(self.root, "README.md").read_text("utf-8")
        relative = r"\((?!\w+:|#)"
        text = re.sub(rf"(!\[[^]]*\]){relative}", rf"\1({source}/raw/{tag}/", text)
        text = re.sub(rf"\]{relative}", f"]({source}/blob/{tag}/", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


class Extras(BuildHookInterface):  # type: ignore[type-arg]
    """Adds `fmbench/published/`, and `fmbench/COMMIT` when the tree is a git checkout."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files."""
        if version == "editable":
            return
        included = build_data["force_include"]
        if self.target_name == "wheel":
            published = Path(self.root, "results", "published")
            for file in published.rglob("*"):
                name = file.relative_to(published)
                if file.is_file() and name.parts[1:2] != ("work",):  # the scratch of runs under way
                    included[str(file)] = f"fmbench/published/{name.as_posix()}"
        if not Path(self.root, ".git").exists():
            return
        commit = self._git("rev-parse", "HEAD")
        if not commit:
            return
        changed = self._git("status", "--porcelain", "--", "fmbench", "pyproject.toml")
        file = Path(tempfile.mkdtemp(), "COMMIT")
        file.write_text(f"{commit}{'+changed' if changed else ''}\n")
        included[str(file)] = "fmbench/COMMIT"

    def _git(self, *arguments: str) -> str:
        try:
            answer = subprocess.run(
                ["git", "-C", self.root, *arguments], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return ""
        return answer.stdout.strip()
