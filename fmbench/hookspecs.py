"""The hooks a plugin implements; their docstrings are the manual.

A plugin of models is an installed distribution with an entry point in the group `fmbench` that
names a module (or any object) implementing `fmbench_models`. It may say which contract it was
written for, `fmbench_contract = 1`; another number than `fmbench.CONTRACT` is refused.

An observer is an object with `@fmbench.hookimpl` methods, named by an entry point in the group
`fmbench.observers`. `fmbench run -p NAME` loads the observer of that entry point's name; a plugin
of models goes by its distribution, `-p no:fmbench-vgg`. An observer never sees a model. It is
called in the runner, the process of `fmbench run`, with frozen data, while workers train in
processes of their own: a hook cannot change a result, but one that keeps a core busy slows
training. Several runs may be under way at once: calls about them come interleaved.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

from fmbench.contract import Family, Model

if TYPE_CHECKING:
    from fmbench.records import Progress, Record, Run

PROJECT = "fmbench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class ModelHooks:
    """Hooks a plugin of models implements."""

    @hookspec
    def fmbench_models(self) -> Sequence[Model | Family]:  # type: ignore[empty-body]
        """Return the models and families this plugin offers.

        Called once in a child process when the catalogue is made, and once in each worker that
        trains one of them. It must not import torch: listing models stays fast that way.
        All plugins are asked in one process, and each in its own once anything is wrong: a fault
        here costs only this plugin's models.
        """


class ObserverHooks:
    """Hooks an observer of runs implements; all of them are optional."""

    @hookspec
    def fmbench_run_start(self, run: "Run") -> None:
        """Note that a worker has begun this run. Called in the runner, before its first epoch."""

    @hookspec
    def fmbench_epoch_end(self, progress: "Progress") -> None:
        """Note how far a run has come. Called at an epoch's end and about once a second before."""

    @hookspec
    def fmbench_run_end(self, record: "Record") -> None:
        """Note the record of a run that has ended, failed or not. Called once it is stored."""

    @hookspec
    def fmbench_run_again(self, run: "Run", why: str) -> None:
        """Note that a run is lost, and will begin again: its node was, say. It may have begun."""
