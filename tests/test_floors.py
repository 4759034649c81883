"""The floors of the house: a module imports only from floors below its own."""

import ast
from pathlib import Path

import pytest

import fmbench
from fmbench.errors import FmbenchError

PACKAGE = Path(fmbench.__file__).parent
FLOORS = (
    ("errors", "nvml", "statuses", "wording"),
    ("contract", "files", "processes", "limits", "derivation", "protocol_files"),
    ("cache", "hardware"),
    ("environment", "protocol"),
    ("records", "data", "standing"),
    ("weights",),
    ("hookspecs", "scoring", "store"),
    ("__init__",),
    ("discovery", "training", "leaderboard", "scaffold"),
    ("results",),
    ("execution.job", "loading"),
    ("execution.pinning", "execution.log", "execution.lifecycle"),
    ("execution.worker", "execution.guard", "execution.engines"),
    ("execution.plan", "execution.claims", "execution.local"),
    ("execution.scratch", "execution.scorer", "execution.following", "execution.schedule"),
    (
        "execution.estimate",
        "execution.selection",
        "execution.timings",
        "execution.observers",
    ),
    ("execution.recording", "execution.ray_node", "execution.answering"),
    ("execution.runner", "execution.ray_worker", "execution.predicting", "execution.exporting"),
    ("execution.cluster",),
    ("execution.session", "execution.reproduction"),
    ("execution.making",),
    ("verification",),
    ("submission",),
    ("testing", "doctor"),
    ("console",),
    ("running",),
    ("cli",),
    ("__main__",),
)
FLOOR = {name: number for number, floor in enumerate(FLOORS) for name in floor}
HEAVY = {
    "torch": (
        "training",
        "execution.worker",
        "testing",
        "doctor.layers",
        "doctor.models",
        "doctor.torch_child",
    ),
    "pandas": ("leaderboard",),
    "rich": ("console",),
    "typer": ("cli",),
    "matplotlib": ("leaderboard.figure",),
    "timm": (),
}
DRAWN = ("fmbench.data.PictureRow", "fmbench.leaderboard.page")
DRAW = ("data", "leaderboard.page", "leaderboard.figure", "leaderboard.published", "results", "cli")
REASONS = ("data.idx", "data.debian", "data.download")
"""Modules whose faults are the reasons of other faults, which say what to do about them."""
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py")
)


def floor_of(module: str) -> int:
    """The floor of a module, that of its package when it has none of its own."""
    while module not in FLOOR:
        module = module.rpartition(".")[0]
        assert module, "every module belongs to a floor"
    return FLOOR[module]


def imports(module: str) -> set[str]:
    """What a module imports at run time, full names, wherever in it the import stands."""
    tree = ast.parse((PACKAGE / Path(*module.split("."))).with_suffix(".py").read_text())
    for_type_checkers = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in set(ast.walk(tree)) - for_type_checkers:
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def faults_without_a_hint(module: str) -> list[str]:
    """The raise statements of a module that make a fault and leave its hint out."""
    text = (PACKAGE / Path(*module.split("."))).with_suffix(".py").read_text()
    names = {kind.__name__ for kind in FmbenchError.__subclasses__()} | {FmbenchError.__name__}
    raised = [
        node.exc
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    ]
    return [
        ast.unparse(call)
        for call in raised
        if isinstance(call.func, ast.Name)
        and call.func.id in names
        and "hint" not in {keyword.arg for keyword in call.keywords}
    ]


def own_module(name: str) -> str | None:
    """The module of this package that an imported name comes from."""
    parts = name.split(".")
    if parts[0] != "fmbench":
        return None
    for end in range(len(parts), 1, -1):
        candidate = ".".join(parts[1:end])
        if candidate in MODULES or f"{candidate}.__init__" in MODULES:
            return candidate
    return "__init__"


@pytest.mark.parametrize("module", [one for one in MODULES if one != "execution.__init__"])
def test_a_module_imports_only_from_below(module: str) -> None:
    """An import goes to a lower floor, or stays within the same package."""
    home = module.removesuffix(".__init__")
    for name in imports(module):
        target = own_module(name)
        if target is None or target.split(".")[0] == home.split(".")[0] != "execution":
            continue
        assert floor_of(target) < floor_of(home) or target == home, f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_stay_where_they_belong(module: str) -> None:
    """Torch, pandas, rich and typer are imported only by the floors that own them."""
    for name in imports(module):
        owners = HEAVY.get(name.split(".")[0])
        assert owners is None or module.startswith(owners), f"{module} imports {name}"


@pytest.mark.parametrize("module", [one for one in MODULES if not one.startswith(DRAW)])
def test_what_concludes_does_not_draw(module: str) -> None:
    """Only commands, `fmbench.results`, the page and the data set's own pictures know of any."""
    assert not [name for name in imports(module) if name.startswith(DRAWN)]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_stays_readable_in_one_sitting(module: str) -> None:
    """A module has a one-line docstring that says what it owns, and stays near 250 lines."""
    text = (PACKAGE / Path(*module.split("."))).with_suffix(".py").read_text()
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring
    assert len(docstring.splitlines()[0]) <= 100
    assert len(text.splitlines()) <= 320


@pytest.mark.parametrize("module", [one for one in MODULES if one not in REASONS])
def test_a_fault_says_what_to_do_about_it(module: str) -> None:
    """Every fault that ends a command or costs a plugin its models is raised with a hint."""
    assert not faults_without_a_hint(module)
