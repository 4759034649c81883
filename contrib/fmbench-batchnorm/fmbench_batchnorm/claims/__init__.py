"""The six claims, a module each; every one has `find`, which turns a study into a finding."""

from fmbench_batchnorm.claims import activations, bias, deviations, dropout, rates, scales
from fmbench_batchnorm.evidence import Study
from fmbench_batchnorm.findings import Finding


def findings(study: Study) -> list[Finding]:
    """All six, in the order of the claims."""
    return [one.find(study) for one in (rates, bias, deviations, scales, activations, dropout)]
