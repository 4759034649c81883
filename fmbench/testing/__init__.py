"""The checks of the plugin contract, for `fmbench check` and for a plugin's own test suite.

A whole test file of a plugin:

    import my_plugin
    from fmbench.testing import contract

    @contract(my_plugin)
    def test_contract(check):
        check()
"""

from fmbench.testing.pytest_suite import ContractWarning, contract
from fmbench.testing.reports import Report

__all__ = ["ContractWarning", "Report", "contract"]
