"""Values of a canonical column from text or from whatever a Parquet file holds, whole columns at a time.

>>> from crowdrun.data.columns import BY_NAME
>>> array, wrong = typed(BY_NAME["req_gpus"], pa.array(["2", "", "4.0", "two"]))
>>> array.to_pylist(), wrong
([2, None, 4, None], {3: 'req_gpus is not a whole number of 0 or more'})
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crowdrun.data.columns import ARROW_TYPES, Column
from crowdrun.data.sources.stream import clean_text
from crowdrun.data.states import STATES, normalise

#: Past it a float no longer holds every whole number, and no log means it.
_LARGEST = float(2**53)
_WANTED = {
    "integer": "a whole number of 0 or more",
    "number": "a number of 0 or more",
    "time": "UTC epoch seconds",
    "text": "text",
}

Typed = tuple[pa.Array, dict[int, str]]


def typed(column: Column, values: pa.Array) -> Typed:
    """The canonical array, null where unknown or wrong, and for each wrong place the reason."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if column.kind == "text":
        return _texts(column, values)
    return _numbers(column, values)


def _texts(column: Column, values: pa.Array) -> Typed:
    try:
        texts = values.cast(pa.string())
    except pa.ArrowException:
        return _all_wrong(column, values)
    if pc.any(pc.match_substring(texts, "\x00")).as_py():
        texts = pa.array([None if text is None else clean_text(text) for text in texts.to_pylist()], pa.string())
    texts = pc.if_else(pc.equal(texts, ""), None, texts)
    if column.name == "job_id":
        return texts, {int(at): "no job_id" for at in np.flatnonzero(~np.asarray(texts.is_valid()))}
    return _states(texts) if column.name == "state" else (texts, {})


def _states(texts: pa.Array) -> Typed:
    encoded = texts.dictionary_encode()
    names = [normalise(text) for text in encoded.dictionary.to_pylist()]
    states = pa.array(names, pa.string()).take(encoded.indices)
    wrong = np.flatnonzero(np.asarray(texts.is_valid()) & ~np.asarray(states.is_valid()))
    return states, {int(at): f"state is none of {', '.join(STATES)}" for at in wrong}


def _numbers(column: Column, values: pa.Array) -> Typed:
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        numbers = _parsed(values)
    else:
        try:
            numbers = np.asarray(values.cast(pa.float64(), safe=False).fill_null(np.nan))
        except pa.ArrowException:
            return _all_wrong(column, values)
        numbers = np.where(np.isnan(numbers), np.inf, numbers)
        numbers[~np.asarray(values.is_valid())] = np.nan
        if pa.types.is_floating(values.type):
            # NaN is how pandas writes unknown.
            numbers[np.asarray(pc.is_nan(values).fill_null(False))] = np.nan
    unknown = np.isnan(numbers)
    wrong = ~unknown & ~((numbers >= 0) & (numbers <= _LARGEST))
    if column.kind == "integer":
        wrong |= ~unknown & ~wrong & (numbers != np.floor(numbers))
    if column.name == "gpu_util":
        wrong |= ~unknown & (numbers > 1)
    wanted = "a share, 0 to 1" if column.name == "gpu_util" else _WANTED[column.kind]
    numbers = np.where(wrong | unknown, 0.0, numbers)
    array = pa.array(numbers.astype(np.int64) if column.kind == "integer" else numbers, mask=wrong | unknown)
    return array, {int(at): f"{column.name} is not {wanted}" for at in np.flatnonzero(wrong)}


def _parsed(texts: pa.Array) -> NDArray[np.float64]:
    """Numbers of texts: NaN for unknown, infinity for what is no number."""
    filled = pc.if_else(pc.or_kleene(texts.is_null(), pc.equal(texts.fill_null(""), "")), "nan", texts)
    try:
        return np.array(filled.cast(pa.float64()))
    except pa.ArrowInvalid:
        return np.array([_number(text) for text in filled.to_pylist()])


def _number(text: str) -> float:
    try:
        return np.inf if "_" in text else float(text)
    except ValueError:
        return np.inf


def _all_wrong(column: Column, values: pa.Array) -> Typed:
    reason = f"{column.name} is {values.type}, not {_WANTED[column.kind]}"
    return pa.nulls(len(values), ARROW_TYPES[column.kind]), dict.fromkeys(range(len(values)), reason)
