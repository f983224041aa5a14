"""The models of what comes in have exactly the canonical columns."""

from crowdrun.api.schemas.job import JobBody, RequestBody
from crowdrun.data.columns import NAMES
from crowdrun.data.job import REQUEST_FIELDS


def test_a_request_has_the_fields_of_a_job_request() -> None:
    assert set(RequestBody.model_fields) == set(REQUEST_FIELDS)


def test_an_outcome_has_the_canonical_columns() -> None:
    assert set(JobBody.model_fields) == set(NAMES)
