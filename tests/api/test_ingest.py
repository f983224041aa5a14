"""`crowdrun ingest`, on small logs written here and a store in the test's own home."""

import json
import lzma
from pathlib import Path

import pytest
from click.testing import CliRunner

from crowdrun.api.cli import main
from crowdrun.api.commands.ingest import command
from crowdrun.data.settings import load_settings
from crowdrun.data.store import JobStore


def pbs_log(jobs: int, first: int = 0) -> bytes:
    lines = [
        f"10/16/2017 06:36:31;E;{n}.head;user=ada group=g jobname=train queue=gpu ctime={1508130000 + n} etime=1 "
        f"start={1508131000 + n} owner=ada@head Resource_List.mem=8gb end={1508132000 + n} Exit_status=0 "
        f"resources_used.mem={n + 1000}kb"
        for n in range(first, first + jobs)
    ]
    return "\n".join(lines).encode()


def test_ingesting_again_changes_nothing_and_a_grown_log_adds_its_new_jobs(tmp_path: Path) -> None:
    log = tmp_path / "20171016"
    runner, counts = CliRunner(), []
    for jobs in (30, 30, 50):
        log.write_bytes(pbs_log(jobs) + b"\ngarbage\n")
        result = runner.invoke(command, [str(log), "--format", "pbs", "--json"])
        assert result.exit_code == 0, result.output
        counts.append(json.loads(result.output))
    assert [(count["new"], count["known"], count["rejected"]) for count in counts] == [
        (30, 0, 1),
        (0, 30, 1),
        (20, 30, 1),
    ]
    assert counts[-1]["jobs_in_store"] == 50
    with JobStore.open(load_settings().store) as store:
        assert store.get("49")[0]["req_mem_mb"] == 8192.0


def test_the_counts_are_one_line_for_a_person_and_the_store_is_where_it_was_told(tmp_path: Path) -> None:
    log, url = tmp_path / "log.xz", f"sqlite:///{tmp_path}/other.sqlite"
    log.write_bytes(lzma.compress(pbs_log(3)))
    result = CliRunner().invoke(command, [str(log), "--store", url])
    assert result.output == f"3 lines: 3 new, 0 known, 0 rejected; 3 runs in {url}\n"


def test_a_truncated_log_leaves_its_jobs_in_the_store_and_ends_with_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = lzma.compress(pbs_log(20_000))
    log = tmp_path / "log.xz"
    log.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(SystemExit) as ended:
        main(["ingest", str(log), "--format", "pbs"])
    errors = capsys.readouterr().err
    assert ended.value.code == 1
    assert "ends in the middle of its xz stream" in errors
    with JobStore.open(load_settings().store) as store:
        stored = store.count()
    assert stored > 1000
    assert f"{stored} new" in errors


def test_a_wrong_format_is_an_error_and_nothing_is_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    log.write_bytes(pbs_log(3))
    with pytest.raises(SystemExit):
        main(["ingest", str(log), "--format", "swf"])
    assert "not in the format swf" in capsys.readouterr().err
    with JobStore.open(load_settings().store) as store:
        assert store.count() == 0
