"""The six claims, a module each; every one has `find`, which turns a study into a finding."""

from fmbench_batchnorm.claims import activations, bias, deviations, dropout, rates, scales
from fmbench_batchnorm.evidence import Study
from fmbench_batchnorm.findings import Finding

OTHER_THRESHOLDS = (0.75, 0.85)


def findings(study: Study) -> list[Finding]:
    """All six, in the order of the claims."""
    return [one.find(study) for one in (rates, bias, deviations, scales, activations, dropout)]


def verdicts_by_other_thresholds(study: Study) -> dict[int, str]:
    """What each verdict would be, by its number, were another accuracy taken for trained."""
    usual = findings(study)
    others = {f"{at:.0%}": findings(study.judged_by(at)) for at in OTHER_THRESHOLDS}
    said = {}
    for place, one in enumerate(usual):
        verdicts = {at: found[place].verdict for at, found in others.items()}
        same = set(verdicts.values()) == {one.verdict}
        each = "; ".join(f"by {at} {verdict}" for at, verdict in verdicts.items())
        said[one.number] = f"the same by {' and '.join(verdicts)}" if same else each
    return said
