"""A retraining that is killed at each of its file operations: what was valid stays valid, and the next one goes on."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa

from crowdrun.data import store_follow
from crowdrun.data.columns import SCHEMA
from crowdrun.data.store import JobStore
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.persistence import registry
from crowdrun.predictor.target_settings import TargetSettings

#: Trains once, and then publishes again and again in a child that kills itself at the n-th file operation, until one
#: comes through. File operations are what Python audits (open, rename, remove, mkdir, ...) and every fsync.
SCRIPT = """
import json, os, shutil, signal, sys
from pathlib import Path
from crowdrun.data.store import JobStore
from crowdrun.predictor.persistence import registry
from crowdrun.predictor.retraining import pipeline
from crowdrun.predictor.retraining.attempt import Attempt
from crowdrun.predictor.retraining.pipeline import Champion, Options, run

models, store_url = Path(sys.argv[1]), sys.argv[2]
AUDITED = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree"}

def retrain():
    with JobStore.open(store_url) as store:
        done = run(store, models, Champion.current(models, print), Options(force=True), lambda *_: None)
    registry.prune(models, keep=2)
    return done.model_id

def die_at(limit):
    done = 0
    def count(event=None, arguments=()):
        nonlocal done
        path = str(arguments[0]) if arguments else ""
        if event in AUDITED and str(models) not in path and store_url[10:] not in path:
            return
        if event is None or event in AUDITED:
            done += 1
            if done == limit:
                os.kill(os.getpid(), signal.SIGKILL)
    fsync = os.fsync
    os.fsync = lambda descriptor: (count(), fsync(descriptor))[1]
    sys.addaudithook(count)

first = registry.current_id(models)
with JobStore.open(store_url) as store:
    jobs = store.count()
    material = pipeline.Material.read(store, after=None)
settings = Champion.current(models, print).settings
made = pipeline.first_model(material.jobs, settings=settings, seed=0, progress=lambda *_: None)
# Trained once: the kills are to hit files, not fits.
pipeline.first_model = lambda *_, **__: made
kills, currents = 0, []
while True:
    before = registry.current_id(models)
    child = os.fork()
    if not child:
        die_at(kills + 1)
        retrain()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    current = registry.current_id(models)
    registry.load(models, current)
    for published in registry.list_models(models):
        registry.verify(models, published)
    for model_id in registry.earlier_ids(models):
        registry.verify(models, model_id)
    with JobStore.open(store_url) as store:
        assert store.count() == jobs
    last = Attempt.last(models)
    assert last is None or last.published in {None, *registry.list_models(models)} or current != last.published
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, status
        break
    kills += 1
    currents.append(current != before)
print(json.dumps({"kills": kills, "took": sum(currents), "last": registry.current_id(models), "first": first}))
"""


def test_killed_at_each_file_operation_store_models_and_current_stay_valid_and_the_next_run_goes_on(
    tmp_path: Path, cluster: Callable[..., pd.DataFrame], quick: Mapping[str, TargetSettings]
) -> None:
    jobs, models, url = cluster(120, seed=1), tmp_path / "models", f"sqlite:///{tmp_path / 'store.sqlite'}"
    with JobStore.open(url) as store:
        store.add(pa.Table.from_pandas(jobs, schema=SCHEMA, preserve_index=False), source="test")
        crowd = Crowd.train(jobs, settings=quick)
        first = registry.publish(crowd, models, store_position=store_follow.position(store))
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(models), url], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    # So many files are opened, written, synced and renamed; fewer would mean that the kills miss them.
    assert told["kills"] > 40
    # Killed before the rename of `current` the old one stays, after it the new one is there: both were seen.
    assert 0 < told["took"] < told["kills"]
    assert told["last"] != first
