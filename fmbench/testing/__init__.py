"""The checks of the plugin contract, for `fmbench check` and for a plugin's own test suite.

A whole test file of a plugin:

    import my_plugin
    from fmbench.testing import contract

    @contract(my_plugin)
    def test_contract(check):
        check()
"""

from fmbench.testing.report import Check, Report
from fmbench.testing.suite import ContractWarning, contract

__all__ = ["Check", "ContractWarning", "Report", "contract"]
