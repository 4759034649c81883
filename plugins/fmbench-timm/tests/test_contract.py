"""The contract of fmbench, for two small architectures."""

from collections.abc import Callable

import fmbench_timm

from fmbench.testing import contract


@contract(fmbench_timm, models=["timm/mobilenetv3_small_100", "timm/vit_tiny_patch16_224"])
def test_contract(check: Callable[[], None]) -> None:
    """The model passes this check of the contract."""
    check()
