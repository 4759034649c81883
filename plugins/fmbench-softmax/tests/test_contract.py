"""The contract of fmbench, for the one model."""

from collections.abc import Callable

import fmbench_softmax

from fmbench.testing import contract


@contract(fmbench_softmax)
def test_contract(check: Callable[[], None]) -> None:
    """The model passes this check of the contract."""
    check()
