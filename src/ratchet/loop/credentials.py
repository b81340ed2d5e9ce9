"""Credentials: who may call, and what class of actor a token stands for. Tokens are kept as hashes only.

Invariant: a token is shown once, when it is issued; what it stands for never changes afterwards, it can only be
revoked.
"""

import getpass
import hashlib
import hmac
import os
from pathlib import Path
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, select, update

from ratchet import clock
from ratchet.errors import CredentialRefused
from ratchet.loop.resources import Resources
from ratchet.loop.serving.routes import Caller
from ratchet.records import Actor, Event, Record
from ratchet.store import schema
from ratchet.store.artifacts import write_durably
from ratchet.store.database import Database

TOKEN_VARIABLE = "RATCHET_TOKEN"  # noqa: S105, a name, not a secret
Kind = Literal["person", "system", "undeclared", "rule"]


class Credential(Record, frozen=True):
    """What a token stands for.

    Attributes:
        kind: ``person`` (human), ``system`` (automation: declared with the system that holds it), ``undeclared``
            (unknown: whoever holds it), ``rule`` (automation: minted for one run by a rule).
        system: The system that holds it, for ``system``.
        team: Who pays for its calls.
    """

    name: str
    kind: Kind
    team: str = ""
    system: str = ""

    def actor(self, authid: str) -> Actor:
        """Return the actor that a request with this token has."""
        if self.kind == "person":
            return Actor(authtype="api_key", authid=authid, claims={"person": True})
        if self.kind == "system":
            return Actor(authtype="service_account", authid=authid, claims={"system": self.system})
        if self.kind == "rule":
            return Actor(authtype="service_account", authid=authid, claims={"minted_by": "rule"})
        return Actor(authtype="service_account", authid=authid)


_CLASSES = {"person": "human", "system": "automation", "undeclared": "unknown", "rule": "automation"}


def issue(resources: Resources, credential: Credential, *, token: str = "") -> str:
    """Make a token, inside an origin, and return it; it is shown this once.

    Args:
        credential: What it is to stand for.
        token: Given where the caller must know it beforehand.

    Raises:
        CredentialRefused: The name is taken.
    """
    secret = token or f"rat_{clock.new_secret()}"
    with resources.database.write() as transaction:
        taken = select(schema.credential.c.token_sha256).where(schema.credential.c.name == credential.name)
        present = transaction.execute(taken).scalar()
        if present == hash_token(secret):
            return secret
        if present is not None:
            raise CredentialRefused(reason=f"the name '{credential.name}' is taken; revoke it or choose another")
        resources.ledger.append(
            transaction,
            Event(
                type="credential.issued",
                subject=credential.name,
                data={
                    "name": credential.name,
                    "class": _CLASSES[credential.kind],
                    "system": credential.system,
                    "team": credential.team,
                },
            ),
        )
        transaction.execute(
            schema.credential.insert(),
            {
                "name": credential.name,
                "token_sha256": hash_token(secret),
                "is_revoked": False,
                "record": msgspec.json.encode(credential).decode(),
            },
        )
    return secret


def revoke(resources: Resources, name: str) -> None:
    """Make a token worthless, inside an origin.

    Raises:
        CredentialRefused: There is no such credential.
    """
    with resources.database.write() as transaction:
        changed = transaction.execute(
            update(schema.credential).where(schema.credential.c.name == name).values(is_revoked=True)
        )
        if changed.rowcount == 0:
            raise CredentialRefused(reason=f"there is no credential named '{name}'")
        resources.ledger.append(transaction, Event(type="credential.revoked", subject=name, data={"name": name}))


def check(database: Database, token: str) -> Credential:
    """Return what a token stands for.

    Raises:
        CredentialRefused: It is unknown or revoked.
    """
    table = schema.credential
    query = select(table.c.record, table.c.is_revoked).where(table.c.token_sha256 == hash_token(token))
    with database.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        raise CredentialRefused(reason="the token is unknown" if token else "a token is needed")
    if row.is_revoked:
        raise CredentialRefused(reason="the token was revoked")
    return msgspec.json.decode(row.record, type=Credential)


def every(database: Database) -> list[tuple[Credential, bool]]:
    """Return all credentials by name, and whether they were revoked."""
    table = schema.credential
    with database.read() as connection:
        rows = connection.execute(select(table.c.record, table.c.is_revoked).order_by(table.c.name)).all()
    return [(msgspec.json.decode(row.record, type=Credential), bool(row.is_revoked)) for row in rows]


def callers(connection: Connection) -> dict[str, Caller]:
    """Return who may call endpoints, by the hash of the token."""
    table = schema.credential
    rows = connection.execute(select(table.c.token_sha256, table.c.record).where(table.c.is_revoked.is_(False)))
    found: dict[str, Caller] = {}
    for row in rows:
        credential = msgspec.json.decode(row.record, type=Credential)
        found[row.token_sha256] = Caller(name=credential.name, team=credential.team)
    return found


def hash_token(token: str) -> str:
    """Return the sha256 of a token; tokens are long and random, so that no slower hash is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


# ---- pseudonyms


def pseudonym(resources: Resources, account: str) -> str:
    """Return the pseudonym of an account; the mapping is kept in a table of its own, so that it can be erased."""
    authid = hmac.new(_key(resources.folder), account.encode(), hashlib.sha256).hexdigest()[:24]
    table = schema.pseudonym
    with resources.database.read() as connection:
        known = connection.execute(select(table.c.account).where(table.c.authid == authid)).scalar()
    if known is None:
        with resources.database.write() as transaction:
            known = transaction.execute(select(table.c.account).where(table.c.authid == authid)).scalar()
            if known is None:
                transaction.execute(table.insert(), {"authid": authid, "account": account})
    return authid


def account_of(database: Database, authid: str) -> str:
    """Return the account behind a pseudonym, or the pseudonym itself where the mapping was erased."""
    table = schema.pseudonym
    with database.read() as connection:
        known: Any = connection.execute(select(table.c.account).where(table.c.authid == authid)).scalar()
    return str(known or authid)


def local_actor(resources: Resources) -> Actor:
    """Return who gives a command on this machine: the token in the environment, else the account's person.

    Raises:
        CredentialRefused: The environment holds a token that is not valid.
    """
    token = os.environ.get(TOKEN_VARIABLE, "")
    if token:
        credential = check(resources.database, token)
        return credential.actor(pseudonym(resources, credential.name))
    return Actor(authtype="user", authid=pseudonym(resources, account_name()))


def account_name() -> str:
    """Return the name of the operating system's account, ``you`` where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "you"


def _key(folder: Path) -> bytes:
    path = folder / "keys" / "pseudonym.key"
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(path, clock.new_secret().encode())
        path.chmod(0o600)
    return path.read_bytes()
