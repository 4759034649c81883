"""`python -m fmbench` is the command `fmbench`."""

from fmbench.cli import main

main()
