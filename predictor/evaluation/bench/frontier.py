"""Whether the crowd lies on the frontier of wastage and failures: nobody fails as rarely and wastes less.

>>> judged = {"crowd_safe": {"kind": "crowd", "fail": 0.05, "waste_gbh": 100.0},
...     "a": {"kind": "published", "fail": 0.04, "waste_gbh": 80.0},
...     "b": {"kind": "rule", "fail": 0.06, "waste_gbh": 1.0},
...     "c": {"kind": "hindsight", "fail": 0.0, "waste_gbh": 1.0}}
>>> frontier(judged)["crowd_safe"]["beaten_by"]
[{'method': 'a', 'fail': 0.04, 'waste_gbh': 80.0, 'less': 0.2}]
"""

from collections.abc import Mapping
from typing import Any

#: Who could have been used at submission.
AT_SUBMISSION = {"published", "rule", "member"}


def frontier(methods: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of each of the crowd's allocations: who fails no oftener and wastes less, by what share, the largest first."""
    others = {name: one for name, one in methods.items() if one["kind"] in AT_SUBMISSION}
    return {
        name: {"on_frontier": not (beaten := _beaten_by(crowd, others)), "beaten_by": beaten}
        for name, crowd in methods.items()
        if crowd["kind"] == "crowd"
    }


def _beaten_by(crowd: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    beaten = [
        {
            "method": name, "fail": one["fail"], "waste_gbh": one["waste_gbh"],
            "less": round(1 - one["waste_gbh"] / crowd["waste_gbh"], 4),
        }
        for name, one in others.items()
        if one["fail"] <= crowd["fail"] and one["waste_gbh"] < crowd["waste_gbh"]
    ]  # fmt: skip
    return sorted(beaten, key=lambda one: -float(one["less"]))
