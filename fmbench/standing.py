"""How a protocol stands: draft or released, and which other one supersedes it."""

from fmbench.protocol import Protocol, load, names


def successor(name: str) -> str | None:
    """The newest released built-in protocol of the same name with a higher version, if any."""
    stem, _, version = name.rpartition("-v")
    later = [
        rules
        for one in names()
        if one.startswith(f"{stem}-v") and (rules := load(one)).status == "released"
    ]
    newest = max(later, key=lambda rules: rules.version, default=None)
    if newest is None or not version.isdecimal() or newest.version <= int(version):
        return None
    return newest.id


def standing(rules: Protocol) -> str:
    """A protocol's status, and what supersedes it: `released, superseded by quick-v2`."""
    later = successor(rules.id)
    return f"{rules.status}, superseded by {later}" if later else rules.status
