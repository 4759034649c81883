"""A quarter of an hour on a GPU: pack what it needs, run all that is measured, digest the answers.

`session` and what it imports are plain Python: they begin on a machine that lacks fmbench.
"""
