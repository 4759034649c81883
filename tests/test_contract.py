"""The contract: what a model, a family and a name may be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmbench import Family, Model
from fmbench.contract import MODEL_NAME
from fmbench.errors import PluginError

HOSTILE = ["", "../x", "[/red]", "<script>", "=1+1", "a\nb", "a b", "A", "a/b/c", "a//b", "-a", "‮x"]


def build(spec: object) -> None:
    """Stand in for a build function."""


@pytest.mark.parametrize(
    "name", ["softmax", "vgg11-bn", "timm/resnet18", "vgg11@lr=0.1,bn", "a.b_c"]
)
def test_accepts_the_names_the_design_names(name: str) -> None:
    """A name of one or two segments with an optional variant is a model name."""
    assert Model(name, build).name == name


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses_hostile_names(name: str) -> None:
    """A name that could be read as a path, markup or a formula is refused with a hint."""
    with pytest.raises(PluginError) as caught:
        Model(name, build)
    assert caught.value.hint


@given(st.text(max_size=80))
def test_an_accepted_name_is_safe_as_a_file_name(name: str) -> None:
    """Whatever text is accepted as a name has no path, markup or control characters."""
    if MODEL_NAME.fullmatch(name):
        assert not set(name) & set("\\<>[]()'\"\n\r\t =+:*?|") - {"="}
        assert name[0] not in ".-=/@"
        assert ".." not in name.split("/")


def test_every_timm_name_is_a_model_name() -> None:
    """Each architecture timm registers can be named as a member of the family timm/."""
    timm = pytest.importorskip("timm")
    names = timm.list_models()
    assert len(names) > 1000
    assert [name for name in names if not MODEL_NAME.fullmatch(f"timm/{name}")] == []


@pytest.mark.parametrize("size", [27, 513, 32.0, "32", None])
def test_refuses_impossible_sizes(size: object) -> None:
    """An input size is a whole number of pixels from 28 to 512."""
    with pytest.raises(PluginError, match="input size"):
        Model("m", build, size=size)  # type: ignore[arg-type]


class Text(str):
    """A kind of text."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


def test_kinds_of_text_and_numbers_are_taken_as_plain_ones() -> None:
    """Names and sizes from numpy, or of a class of one's own, are Python's own afterwards."""
    model = Model(np.str_("np-small"), build, Text("in words"), np.int64(32), Text("a paper"))
    assert (model.name, model.summary, model.source) == ("np-small", "in words", "a paper")
    assert (type(model.name), type(model.summary), type(model.size)) == (str, str, int)
    family = Family(Text("zoo/"), lambda name: Model(name, build), listed=np.array(["zoo/ant"]))
    assert (type(family.prefix), family.listed) == (str, ("zoo/ant",))
    assert type(family.listed[0]) is str


def test_refuses_what_cannot_be_called() -> None:
    """A build or resolve function that is none is refused where it is written."""
    with pytest.raises(PluginError, match="build function"):
        Model("m", "build")  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="resolve"):
        Family("m/", "resolve")  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["timm", "/", "a/b/", "../", "A/"])
def test_refuses_a_prefix_that_no_name_could_have(prefix: str) -> None:
    """A family's prefix ends in / or @ and could begin a model name."""
    with pytest.raises(PluginError, match="prefix"):
        Family(prefix, build)  # type: ignore[arg-type]


def test_refuses_a_listed_member_of_another_family() -> None:
    """Every listed member begins with its family's prefix."""
    with pytest.raises(PluginError, match="does not begin"):
        Family("timm/", build, listed=["other/x"])  # type: ignore[arg-type]
