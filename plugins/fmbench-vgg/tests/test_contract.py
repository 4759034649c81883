"""The contract of fmbench, for one of the two models: they differ in batch norm alone."""

from collections.abc import Callable

import fmbench_vgg

from fmbench.testing import contract


@contract(fmbench_vgg, models=["vgg11"])
def test_contract(check: Callable[[], None]) -> None:
    """The model keeps this law of the contract."""
    check()
