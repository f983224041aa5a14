"""Every sentence is held against the JSON beside it: each number in it is one of there, within its rounding."""

import json
import re
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import pytest

from crowdrun.api.schemas.recommendation import RecommendationAnswer
from crowdrun.data.job import JobRequest
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.explanation.explain import explain
from crowdrun.predictor.explanation.words import NOUNS

SIZE = r"[\d.]+ (?:MB|GB|h \d+ min|h|min \d+ s|min|s)"
RISK = r"(?:under |over )?[\d.]+%"
TARGETS = {noun: target for target, noun in NOUNS.items()}

#: Every form that a sentence may take; what is in a group is a number of the JSON.
FORMS = {
    "evidence": rf"(?P<jobs>\d+) ended jobs? with the (?P<shared>[^;]+?) (?:used|ran for|held) (?P<lowest>{SIZE}|\d+)"
    rf"(?: to (?P<highest>{SIZE}|\d+) \(median (?P<median>{SIZE}|\d+)\))?"
    r"(?:; (?:(?P<above>\d+) of them|(?P<all>all of them|it)) needed more than you ask for)?\.",
    "busy": r"of what they held (?P<busy>[\d.]+) were busy on average; "
    r"(?P<idle>[\d.]+) GPU·h of such a job stood idle\.",
    "enough": rf"(?P<safe>{SIZE}) is enough with a risk of (?P<safe_risk>{RISK})"
    rf"(?: and wastes least|; (?P<lean>{SIZE}) wastes least, risk (?P<lean_risk>{RISK}))\.",
    "request": rf"your (?P<asked>{SIZE}): risk (?P<asked_risk>{RISK})"
    rf"(?:, (?P<times>[\d.]+) times the median need of (?P<p50>{SIZE}))?\.",
    "too_small": rf"your (?P<asked>{SIZE}) may be too (?:little|short), risk (?P<asked_risk>{RISK})"
    rf"(?:; (?P<point>{SIZE}) would bring it to (?P<point_risk>{RISK}))?\.",
    "weight": rf"the boosted trees, (?P<weight>{RISK}) of the crowd, start from what past jobs used\.",
    "level": rf"their (?P<level>median|95% level) goes from (?P<base>{SIZE}) to (?P<prediction>{SIZE})"
    r"(?: in small steps|: (?P<parts>.+))\.",
    "other": rf"(?P<change>[^:]+): (?:safe (?P<safe>{SIZE}|\d+) instead of (?P<was>{SIZE}|\d+))?(?:, )?"
    rf"(?:the median (?P<median>{SIZE}|\d+) instead of (?P<p50>{SIZE}|\d+))?\.",
    "nothing": r"(?P<change>.+), nothing could be said\.",
}
PART = re.compile(rf"×(?P<factor>[\d.]+) \((?P<sign>[+−])(?P<amount>{SIZE})\) for (?P<feature>.+)")


def value_of(text: str) -> tuple[float, float]:
    """A figure as the JSON has it, and by how much its rounding may be off."""
    if text.endswith("%"):
        number = text.removeprefix("under ").removeprefix("over ").removesuffix("%")
        return float(number) / 100, 0.5 * 10 ** -(2 + len(number.partition(".")[2]))
    if text.endswith("GB"):
        gb = float(text.split()[0])
        # Three digits, or more above 1000 GB.
        return gb * 1024, 1024 * 0.5 * 10 ** min(np.floor(np.log10(gb)) - 2, 0)
    units = {"MB": 1, "s": 1, "min": 60, "h": 3600}
    words = text.split()
    if len(words) == 1:
        return float(text), 0.5 * 10 ** -len(text.partition(".")[2])
    total = sum(float(number) * units[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    return total, 30 if "h" in words else 0.5


def assert_same(text: str, truth: float) -> None:
    if text.startswith("under"):
        assert truth < 0.001
    elif text.startswith("over"):
        assert truth > 0.999
    else:
        value, rounding = value_of(text)
        assert truth == pytest.approx(value, abs=rounding * 1.001), text


def assert_true(sentence: str, answer: dict[str, Any]) -> str:
    """Hold one sentence against the answer; the name of its form."""
    noun, _, rest = sentence.partition(": ")
    target = TARGETS[noun]
    said = answer["predictions"][target]
    form, found = next((name, hit) for name, form in FORMS.items() if (hit := re.fullmatch(form, rest)))
    given = {name: text for name, text in found.groupdict().items() if text is not None}
    asked = answer["request"].get({"mem_mb": "req_mem_mb", "run_time_s": "timelimit_s"}.get(target, ""))
    known = {
        "asked": asked, "asked_risk": said["asked_risk"], "safe": said["safe"], "safe_risk": said["safe_risk"],
        "was": said["safe"], "lean": said["lean"], "lean_risk": said["lean_risk"], "p50": said["quantiles"]["0.5"],
        "weight": said["members"]["boosted"]["weight"],
    }  # fmt: skip
    if form == "evidence":
        known |= {name: said["evidence"][name] for name in ("jobs", "lowest", "highest", "median")}
        known |= {"above": said["evidence"]["above_request"]}
        assert given.pop("shared") == said["evidence"]["shared"]
        if given.pop("all", None):
            assert said["evidence"]["above_request"] == said["evidence"]["jobs"]
    if form == "busy":
        known |= {"busy": said["evidence"]["gpus_busy"], "idle": said["evidence"]["idle_gpuh"]}
    if "times" in given:
        known["times"] = asked / said["quantiles"]["0.5"]
    if "point" in given:
        point, risk = given.pop("point"), given.pop("point_risk")
        assert_a_point(said["risk_curve"], point, risk)
    if form == "level":
        level = next(
            one for one in said["explanation"]["levels"] if one["level"] == {"median": 0.5}.get(given["level"], 0.95)
        )
        known |= {"base": level["base"], "prediction": level["prediction"]}
        if parts := given.pop("parts", ""):
            assert_parts(parts, level)
        del given["level"]
    if form in {"other", "nothing"}:
        change = given.pop("change")
        one = next(one for one in said["explanation"]["counterfactuals"] if one["change"] == change)
        assert_change(one, answer["request"])
        known |= {"safe": one["safe"], "median": one["median"]}
        assert (form == "nothing") == (one["safe"] is None)
    for name, text in given.items():
        assert_same(text, known[name])
    return form


def assert_a_point(curve: list[list[float]], point: str, risk: str) -> None:
    def holds(value: float, probability: float) -> bool:
        try:
            assert_same(point, value)
            assert_same(risk, probability)
        except AssertionError:
            return False
        return True

    assert any(holds(*one) for one in curve), (point, risk)


def assert_parts(parts: str, level: dict[str, Any]) -> None:
    """Each part is one of the attributions, and the rest is the rest."""
    left = {one["feature"]: (one["factor"], one["amount"]) for one in level["attributions"]}
    for part in parts.split("; "):
        found = PART.fullmatch(part)
        assert found, part
        if found["feature"] == "the rest":
            factors, amounts = zip(*left.values(), strict=True)
            factor, amount = prod(factors), sum(amounts)
        else:
            factor, amount = left.pop(found["feature"])
        assert_same(found["factor"], factor)
        assert_same(found["amount"], abs(amount))
        assert (found["sign"] == "+") == (amount >= 0)


def assert_change(one: dict[str, Any], request: dict[str, Any]) -> None:
    """The numbers of a change are the request's value and the other one; batch sizes may come from the command."""
    if one["field"] in request and one["field"] != "batch_size":
        assert one["before"] == request[one["field"]]
    numbers = re.findall(SIZE, one["change"]) or re.findall(r"\d+", one["change"])
    for text, truth in zip(numbers, (one["after"], one["before"]), strict=bool(numbers)):
        assert_same(text, truth)


def answers(crowd: Crowd, requests: list[JobRequest]) -> Iterator[dict[str, Any]]:
    for answer in crowd.recommend_many(requests):
        yield json.loads(RecommendationAnswer.of(explain(crowd, answer)).model_dump_json())


def test_every_number_in_every_sentence_stands_in_the_json(
    sample_crowd: Crowd, some_requests: list[JobRequest]
) -> None:
    seen: dict[str, int] = {}
    for answer in answers(sample_crowd, some_requests):
        sentences = [*answer["reasons"]]
        for said in answer["predictions"].values():
            sentences += said["explanation"]["sentences"]
        for sentence in sentences:
            form = assert_true(sentence, answer)
            seen[form] = seen.get(form, 0) + 1
    # The shipped log does not tell how busy GPUs were; `test_gpu_use.py` has jobs that do.
    assert seen.keys() == FORMS.keys() - {"busy"}
    assert sum(seen.values()) > 1000


def test_a_sentence_with_a_wrong_number_would_be_found(sample_crowd: Crowd, some_requests: list[JobRequest]) -> None:
    answer = next(answers(sample_crowd, some_requests[:1]))
    for sentence in answer["reasons"]:
        wrong = re.sub(r"\d+", lambda found: str(int(found[0]) * 2 + 1), sentence, count=1)
        with pytest.raises((AssertionError, StopIteration)):
            assert_true(wrong, answer)


def test_sentences_are_short(sample_crowd: Crowd, some_requests: list[JobRequest]) -> None:
    for answer in answers(sample_crowd, some_requests[:40]):
        for said in answer["predictions"].values():
            for sentence in (*answer["reasons"], *said["explanation"]["sentences"]):
                assert len(sentence) < 300
                assert sentence.endswith(".")


def test_nobody_elses_name_is_shown(sample_crowd: Crowd, some_requests: list[JobRequest], sample_jobs: Any) -> None:
    for answer in answers(sample_crowd, some_requests[:60]):
        own = {answer["request"].get(name) for name in ("user", "group", "job_name", "account", "partition")}
        others = (set(sample_jobs["job_name"]) | set(sample_jobs["user"])) - own
        text = json.dumps({name: part for name, part in answer.items() if name != "request"})
        text = text.replace(json.dumps(answer["request"].get("job_name")), "")
        assert not [name for name in others if re.search(rf"\b{re.escape(name)}\b", text)]
