"""The page docs/checks.md, written from the laws: `python -m fmbench.testing.manual`."""

import sys

from fmbench.testing.laws import LAWS
from fmbench.wording import markdown_table

PAGE = """# What `fmbench check` checks

Each check is one law of the plugin contract. To break it is an *error*, with which no row of the
model can be made or trusted, or a *warning*. `fmbench check` checks every listed model,
`fmbench check vgg11 'timm/*'` some, `fmbench check my-plugin` all of a distribution: each in a
process of its own, on the CPU. It ends with exit code 1 when there is an error, or when nothing
could be checked of a model.

The same checks are a pytest suite. A plugin's whole test file:

```python
import my_plugin
from fmbench.testing import contract


@contract(my_plugin)
def test_contract(check):
    check()
```

Each check of each model is an item of its own. An error fails it, a warning is shown as one, and
a check that another's failure leaves without a result is skipped. The plugin has to be installed;
`pip install --editable .` will do. `contract(my_plugin, models=["timm/resnet18"])` chooses models,
members of families among them.

{table}

What is not seen: files that native code writes and addresses it reaches, but for the writers of
torch and safetensors; what programs do that a plugin starts; state in objects that are not
modules, tensors, arrays, random generators, plain values or containers of them. Time and memory are
estimates from a few steps.
"""


def page() -> str:
    """The text of docs/checks.md."""
    rows = [
        (f"`{law.check.name}`", law.check.severity, law.check.law.replace("|", "\\|"))
        for law in LAWS
    ]
    table = markdown_table(("check", "severity", "law"), rows, right=(False, False, False))
    return PAGE.format(table=table)


if __name__ == "__main__":
    sys.stdout.write(page())
