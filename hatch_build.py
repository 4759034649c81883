"""Bake the git commit a wheel is built from into it, so that records can name it."""

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds `fmbench/COMMIT` when the tree is a git checkout; without one, nothing."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files."""
        if version == "editable" or not Path(self.root, ".git").exists():
            return
        commit = self._git("rev-parse", "HEAD")
        if not commit:
            return
        changed = self._git("status", "--porcelain", "--", "fmbench", "pyproject.toml")
        file = Path(tempfile.mkdtemp(), "COMMIT")
        file.write_text(f"{commit}{'+changed' if changed else ''}\n")
        build_data["force_include"][str(file)] = "fmbench/COMMIT"

    def _git(self, *arguments: str) -> str:
        try:
            answer = subprocess.run(
                ["git", "-C", self.root, *arguments], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return ""
        return answer.stdout.strip()
