"""The elements of one array of a large JSON document, one at a time, so that memory does not grow with the document.

>>> import io
>>> list(elements(io.BytesIO(b'{"meta": {"jobs": 0}, "jobs": [{"job_id": 1}, {"job_id": 2}], "errors": []}'), "jobs"))
[(1, {'job_id': 1}), (1, {'job_id': 2})]
"""

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from crowdrun.data.errors import LogError, LogFormatError, LogTruncatedError
from crowdrun.data.sources.stream import chunks

_CHUNK = 1 << 20
#: No value is longer; a document with a longer one is broken.
_LONGEST = 64 << 20
_SPACE = " \t\r\n"


class _EndError(Exception):
    """The document ended where something was still to come."""


class _Text:
    """The document from a moving point on; what lies behind it is let go."""

    def __init__(self, stream: BinaryIO) -> None:
        self._chunks = chunks(stream, _CHUNK)
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._json = json.JSONDecoder()
        self._text, self._at, self._ended = "", 0, False
        self.line = 1

    def peek(self) -> str:
        """The next character that is no space."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._step()
            if self._at < len(self._text):
                return self._text[self._at]
            self._more()

    def skip(self) -> None:
        """Past the character that `peek` showed."""
        self._step()

    def value(self) -> Any:
        """The next value."""
        self.peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                self._more_or_broken(error)
                continue
            if end == len(self._text) and not self._ended and self._text[end - 1] not in '}]"':
                # A number may go on in what has not been read yet.
                self._try_more()
                continue
            self.line += self._text.count("\n", self._at, end)
            self._at = end
            return value

    def _step(self) -> None:
        self.line += self._text[self._at] == "\n"
        self._at += 1

    def _more_or_broken(self, error: ValueError | RecursionError) -> None:
        # A value that merely goes on fails at the very end, or at the begin of a string without an end.
        where = error.pos if isinstance(error, json.JSONDecodeError) else 0
        cut = isinstance(error, json.JSONDecodeError) and len(self._text) - where < _CHUNK
        if not cut or len(self._text) - self._at > _LONGEST:
            raise LogError(
                f"broken JSON in the value that begins at line {self.line}: {error}; what came before was read"
            ) from error
        try:
            self._more()
        except _EndError:
            if where < len(self._text.rstrip()) and not str(error).startswith("Unterminated"):
                raise LogError(
                    f"broken JSON in the value that begins at line {self.line}: {error}; what came before was read"
                ) from error
            raise

    def _try_more(self) -> None:
        try:
            self._more()
        except _EndError:
            self._ended = True

    def _more(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise _EndError
        # At least as much again, so that a long value is not tried over and over.
        parts = [self._decoder.decode(chunk)]
        while sum(map(len, parts)) < len(self._text) - self._at and (chunk := next(self._chunks, None)):
            parts.append(self._decoder.decode(chunk))
        self._text = self._text[self._at :] + "".join(parts)
        self._at = 0


def elements(stream: BinaryIO, name: str) -> Iterator[tuple[int, Any]]:
    """Each element of the array under `name` in the outermost object, with the line on which it begins.

    Raises:
        LogFormatError: not JSON, or no object with that array.
        LogTruncatedError: the document ends in the middle.
        LogError: the JSON is broken; says where.
    """
    text = _Text(stream)
    try:
        if text.peek() != "{":
            raise LogFormatError(f"this is not JSON with {name!r}: it begins with {text.peek()!r}, not with {{")
        text.skip()
        while text.peek() != "}":
            key = _key(text)
            if key == name and text.peek() == "[":
                yield from _array(text)
                return
            text.value()
            if text.peek() == ",":
                text.skip()
    except _EndError as error:
        raise LogTruncatedError(
            f"the JSON ends in the middle, at line {text.line}; what came before was read. Export the log again."
        ) from error
    raise LogFormatError(f"this JSON has no array {name!r}")


def _key(text: _Text) -> str:
    if text.peek() != '"':
        raise LogFormatError(f"this is not JSON: line {text.line} has {text.peek()!r} where a name must be")
    key: str = text.value()
    if text.peek() != ":":
        raise LogFormatError(f"this is not JSON: line {text.line} has {text.peek()!r} where a colon must be")
    text.skip()
    return key


def _array(text: _Text) -> Iterator[tuple[int, Any]]:
    text.skip()
    while text.peek() != "]":
        line = text.line
        yield line, text.value()
        if text.peek() == ",":
            text.skip()
        elif text.peek() != "]":
            raise LogError(f"broken JSON at line {text.line}: {text.peek()!r} between two elements")
