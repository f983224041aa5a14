"""Bearer tokens: made, found and revoked in one file of `CROWDRUN_HOME`, which holds their hashes alone.

A token is `crowdrun_ID_SECRET`. The id names it in lists and logs; the secret is 256 random bits, so a plain SHA-256 of
it cannot be guessed backwards (slow hashes are for what people make up). A running service sees a change at once.

>>> import tempfile
>>> folder = tempfile.TemporaryDirectory()
>>> tokens = TokenFile(Path(folder.name) / "tokens.json")
>>> made, text = tokens.create("ada", Role.SUBMIT)
>>> tokens.find(text).user, text.split("_")[1] == made.id, text in tokens.path.read_text()
('ada', True, False)
>>> tokens.revoke(made.id)
>>> tokens.find(text) is None
True
>>> folder.cleanup()
"""

import fcntl
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import ConfigError
from crowdrun.data.roles import Role
from crowdrun.data.settings import Settings

PREFIX = "crowdrun"
_SECRET_BYTES = 32
_OWNER_ONLY = 0o600
#: Compared with where no token has the id, so that this takes as long as a wrong secret.
_NO_HASH = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, kw_only=True)
class Token:
    """What is kept of a token."""

    id: str
    #: Whose it is; a `submit` token speaks for the jobs of this user.
    user: str
    role: Role
    #: UTC epoch seconds.
    made: float
    #: UTC epoch seconds; None: until it is revoked.
    expires: float | None
    #: SHA-256 of the whole token, hexadecimal.
    sha256: str

    @property
    def has_expired(self) -> bool:
        return self.expires is not None and time.time() >= self.expires


class TokenFile:
    """The tokens of one service. Safe to use from several threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mark: object = None
        self._known: dict[str, Token] = {}

    @classmethod
    def of(cls, settings: Settings) -> "TokenFile":
        return cls(settings.home / "tokens.json")

    def list(self) -> Sequence[Token]:
        """All that were made and not revoked, oldest first.

        Raises:
            ConfigError: the file cannot be read.
        """
        return sorted(self._tokens().values(), key=lambda token: token.made)

    def create(self, user: str, role: Role, *, expires: float | None = None) -> tuple[Token, str]:
        """A new token and its text, which is known only now.

        Raises:
            ConfigError: the file cannot be read or written.
        """
        token_id = secrets.token_hex(4)
        text = f"{PREFIX}_{token_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        token = Token(id=token_id, user=user, role=role, made=time.time(), expires=expires, sha256=_hash(text))
        with self._changing() as tokens:
            tokens[token_id] = token
        return token, text

    def revoke(self, token_id: str) -> None:
        """Make it worthless.

        Raises:
            ConfigError: there is no such token, or the file cannot be read or written.
        """
        with self._changing() as tokens:
            if token_id not in tokens:
                raise ConfigError(f"no token has the id {token_id!r}; 'crowdrun token list' shows those that there are")
            del tokens[token_id]

    def find(self, text: str) -> Token | None:
        """The token that this is the text of; None when it is none, was revoked or has expired.

        Raises:
            ConfigError: the file cannot be read.
        """
        token = self._tokens().get(text[len(PREFIX) + 1 :].partition("_")[0])
        same = hmac.compare_digest(_hash(text), token.sha256 if token else _NO_HASH)
        return token if token and same and not token.has_expired else None

    def _tokens(self) -> dict[str, Token]:
        try:
            status = self.path.stat()
            mark = status.st_ino, status.st_mtime_ns, status.st_size
            if mark != self._mark:
                self._known, self._mark = _parsed(self.path.read_bytes()), mark
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"cannot read the tokens in {self.path}: {error}; nobody is let in with one") from error
        return self._known

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Token]]:
        """The tokens, to be changed by one process at a time, and written at the end."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                tokens = dict(self._tokens())
                yield tokens
                content = json.dumps([asdict(token) for token in tokens.values()], indent=1)
                write_atomically(self.path, content.encode(), mode=_OWNER_ONLY)
        except OSError as error:
            raise ConfigError(f"cannot write the tokens to {self.path}: {error.strerror}") from error


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def _parsed(content: bytes) -> dict[str, Token]:
    rows = json.loads(content)
    return {row["id"]: Token(**row | {"role": Role(row["role"])}) for row in rows}
