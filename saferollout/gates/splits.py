"""How users' requests were shared between the deployments during a stage, as each source counted them."""

import math
from collections.abc import Mapping

from saferollout.domain.evidence import Check, Evidence
from saferollout.judge.split import ALPHA, log_mismatch


def with_splits(evidence: Evidence, users: Mapping[str, Mapping[str, float]], shares: Mapping[str, int]) -> Evidence:
    """The evidence with what each source says of the split; where that cannot be chance, the summary says so, too.

    It is not a verdict on the candidate: users may be routed otherwise than set, but the candidate is not to blame.
    """
    if len(shares) < 2:
        return evidence
    checks, warnings = [], []
    for source, counts in users.items():
        if not (whole := sum(counts.values())):
            continue
        name, share = min(shares.items(), key=lambda item: item[1])
        got = f"{counts.get(name, 0) / whole:.1%} of {whole:,.0f}"
        is_off = log_mismatch(counts, shares) >= -math.log(ALPHA)
        checks.append(
            Check(
                check=f"users' requests to {name} ({source.replace('_', ' ')})",
                passed=None,
                candidate=got,
                live="",
                limit=f"{share}%",
                note="this cannot be chance" if is_off else "",
            )
        )
        if is_off:
            warnings.append(f"users are not shared as set: {name} got {got} requests instead of {share}%")
    summary = "; ".join([evidence.summary, *warnings])
    return evidence.model_copy(update={"summary": summary, "checks": [*evidence.checks, *checks]})
