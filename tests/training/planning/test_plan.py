from crowdrun.data.job import JobRequest, Recommendation, TargetPrediction
from crowdrun.training.planning.plan import Machine, make_plan

LOCAL = Machine(name="local", memory_mb=20000.0, gpus=0)
SLURM = Machine(name="slurm", scheduled=True)


def prediction(target: str, safe: float, ladder: tuple[float, ...] = ()) -> TargetPrediction:
    return TargetPrediction(
        target=target, quantiles={0.5: safe / 2}, safe=safe, lean=safe, ladder=ladder, members={},
        risk_curve=((0.0, 1.0), (safe, 0.05)),
    )  # fmt: skip


def recommendation(request: JobRequest, *predictions: TargetPrediction) -> Recommendation:
    return Recommendation(request=request, risk=0.05, predictions={p.target: p for p in predictions})


def test_the_recommended_memory_goes_before_the_request_which_stays_the_last_rung() -> None:
    request = JobRequest(req_mem_mb=16000.0)
    plan = make_plan(request, recommendation(request, prediction("mem_mb", 700.2, (900.0, 1500.0))), LOCAL)
    assert (plan.mem_mb, plan.ladder) == (701.0, (900.0, 1500.0, 16000.0))


def test_without_a_recommendation_the_request_is_doubled_up_to_the_machine() -> None:
    plan = make_plan(JobRequest(req_mem_mb=6000.0), None, LOCAL)
    assert (plan.mem_mb, plan.ladder) == (6000.0, (12000.0, 20000.0))


def test_an_abstention_on_memory_counts_as_no_recommendation() -> None:
    request = JobRequest(req_mem_mb=500.0)
    said = Recommendation(request=request, risk=0.05, predictions={}, abstained={"mem_mb": "nothing like it"})
    assert make_plan(request, said, LOCAL).mem_mb == 500.0


def test_no_request_and_no_recommendation_set_no_limit() -> None:
    plan = make_plan(JobRequest(), None, LOCAL)
    assert (plan.mem_mb, plan.ladder, plan.timelimit_s) == (None, (), None)


def test_no_plan_is_above_the_machine() -> None:
    request = JobRequest(req_mem_mb=64000.0, req_gpus=4)
    plan = make_plan(request, recommendation(request, prediction("mem_mb", 30000.0, (40000.0,))), LOCAL)
    assert (plan.mem_mb, plan.ladder, plan.gpus) == (20000.0, (), 0)
    assert any("cut to the 20000 MB" in reason for reason in plan.reasons)


def test_the_time_limit_that_was_asked_for_stays_since_a_run_cut_short_is_lost() -> None:
    request = JobRequest(timelimit_s=3600.0)
    assert make_plan(request, recommendation(request, prediction("run_time_s", 60.0)), SLURM).timelimit_s == 3600.0


def test_a_scheduler_is_told_the_most_generous_run_time_and_this_machine_none() -> None:
    request = JobRequest()
    said = recommendation(request, prediction("run_time_s", 60.0, (90.0, 300.0)))
    assert make_plan(request, said, SLURM).timelimit_s == 300.0
    assert make_plan(request, said, LOCAL).timelimit_s is None


def test_a_task_adapts_to_fewer_gpus_and_a_command_keeps_those_it_counts_on() -> None:
    request = JobRequest(req_gpus=4)
    said = recommendation(request, prediction("gpus", 1.0))
    assert make_plan(request, said, SLURM, adaptable=True).gpus == 1
    assert make_plan(request, said, SLURM).gpus == 4
