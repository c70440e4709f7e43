"""HTTP of sensitive fields. Who may read and write them is decided by the database."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from crm_service.access import Reader, Writer
from crm_service.cipher import KeyRing, place
from crm_service.dependencies import (
    CallerDep,
    IfMatch,
    ReaderDep,
    ServicesDep,
    WriterDep,
    answer,
    say_replayed,
)
from crm_service.errors import (
    EncryptionUnavailableError,
    NotFoundError,
    ReplayedError,
    SecretUnreadableError,
    StaleVersionError,
)
from crm_service.problems import describe
from crm_service.secrets.schemas import (
    Reencrypted,
    SecretName,
    SecretRead,
    SecretRevealed,
    SecretWrite,
    UnreadableSecret,
)
from crm_service.versions import Expected, expected_version, render_etag

router = APIRouter(tags=["sensitive fields"])
_ONE = "/customers/{customer_id}/secrets/{name}"
_REFUSALS = describe(404, 409, 412, 501)
_COLUMNS = "customer_id,name,key_id,created_at,updated_at,version"
_MOST_AT_ONCE = 500


async def get_keys(services: ServicesDep) -> KeyRing:
    """Return the keys, or refuse if there are none.

    Raises:
        EncryptionUnavailableError: No key is configured.
    """
    services.keys.require_current()
    return services.keys


# First the caller, then the keys: a stranger learns nothing of the configuration.
async def get_secret_writer(
    services: ServicesDep, caller: CallerDep, admitted: WriterDep
) -> Writer:
    """Return write access whose request cannot be guessed from its fingerprint."""
    if caller.fingerprint is None:
        return admitted
    blind = caller._replace(fingerprint=services.keys.blind(caller.fingerprint))
    return Writer(services.database, services.staff, blind)


KeysDep = Annotated[KeyRing, Depends(get_keys)]
SecretWriterDep = Annotated[Writer, Depends(get_secret_writer)]


@router.get("/customers/{customer_id}/secrets", responses=describe(404))
async def list_secrets(reader: ReaderDep, customer_id: UUID) -> list[SecretRead]:
    """List which sensitive fields a customer has, without their values."""
    query = {"select": f"id,secrets:customer_secrets({_COLUMNS})", "id": f"eq.{customer_id}"}
    query |= {"secrets.key_id": "not.is.null", "secrets.order": "name.asc"}
    rows = await reader.select("customers", query)
    if not rows:
        raise NotFoundError("There is no customer with this id.")
    return [SecretRead.model_validate(row) for row in rows[0]["secrets"]]


@router.put(_ONE, responses=_REFUSALS)
async def put_secret(
    writer: SecretWriterDep,
    keys: KeysDep,
    response: Response,
    customer_id: UUID,
    name: SecretName,
    body: SecretWrite,
    if_match: IfMatch = None,
) -> SecretRead:
    """Keep a sensitive value, encrypted; `If-Match: "0"` only if there is none."""
    expected = expected_version(if_match, None, required=False)
    value = keys.encrypt(body.value.get_secret_value(), of=place(customer_id, name))
    return await _write(writer, response, customer_id, name, value, expected)


@router.delete(_ONE, responses=describe(404, 409, 412))
async def delete_secret(
    writer: WriterDep,
    response: Response,
    customer_id: UUID,
    name: SecretName,
    if_match: IfMatch = None,
) -> SecretRead:
    """Forget a sensitive value."""
    expected = expected_version(if_match, None, required=False)
    return await _write(writer, response, customer_id, name, None, expected)


@router.post(f"{_ONE}/reveal", responses=describe(404, 500, 501))
async def reveal_secret(
    writer: SecretWriterDep,
    keys: KeysDep,
    response: Response,
    customer_id: UUID,
    name: SecretName,
) -> SecretRevealed:
    """Read a sensitive value. Who did, and when, is noted in the customer's timeline."""
    arguments = {"customer_id": str(customer_id), "name": name}
    row = await writer.call_for_row("read_customer_secret", arguments)
    response.headers["Cache-Control"] = "no-store"
    response.headers["ETag"] = render_etag(row["version"])
    return SecretRevealed(
        customer_id=customer_id,
        name=name,
        value=keys.decrypt(row["value"], of=place(customer_id, name)),
        version=row["version"],
    )


@router.post("/secrets/reencrypt", responses=describe(501))
async def reencrypt_secrets(writer: WriterDep, keys: KeysDep) -> Reencrypted:
    """Encrypt up to 500 values of older keys with the current one; for admins.

    Call it until `more` is false; then the old key may leave `CRM_FIELD_KEYS`. A value that does
    not open is named in `unreadable`, and holds up no other one.
    """
    current = keys.require_current()
    arguments = {"key_id": current, "max_rows": _MOST_AT_ONCE}
    # A keyed request has one effect: renewing value by value is many, and safe to repeat.
    unkeyed = writer.without_key()
    rows = await unkeyed.call_to_write("customer_secrets_to_renew", arguments)
    skipped = 0
    unreadable = []
    for row in rows:
        customer_id, name = UUID(row["customer_id"]), row["name"]
        of = place(customer_id, name)
        try:
            value = keys.encrypt(keys.decrypt(row["value"], of=of), of=of)
        except (SecretUnreadableError, EncryptionUnavailableError) as error:
            found = UnreadableSecret(customer_id=customer_id, name=name, detail=error.detail)
            unreadable.append(found)
            continue
        arguments = {"customer_id": str(customer_id), "name": name, "value": value}
        try:
            await unkeyed.call_for_row(
                "set_customer_secret", {**arguments, "expected_version": row["version"]}
            )
        except (StaleVersionError, NotFoundError):
            skipped += 1
    renewed = len(rows) - skipped - len(unreadable)
    # A page of nothing but unreadable ones would come again and again.
    more = skipped > 0 or (len(rows) == _MOST_AT_ONCE and renewed > 0)
    return Reencrypted(
        key_id=current, renewed=renewed, skipped=skipped, unreadable=unreadable, more=more
    )


async def _write(
    writer: Writer,
    response: Response,
    customer_id: UUID,
    name: str,
    value: str | None,
    expected: Expected,
) -> SecretRead:
    arguments: dict[str, Any] = {"customer_id": str(customer_id), "name": name, "value": value}
    if expected.version is not None:
        arguments["expected_version"] = expected.version
    try:
        row = await writer.call_for_row("set_customer_secret", arguments)
    except ReplayedError:
        say_replayed(response)
        return answer(response, await _stored(writer, customer_id, name))
    except StaleVersionError:
        current = await _stored_or_none(writer, customer_id, name)
        shown = current.model_dump(mode="json") if current else {"version": 0}
        raise expected.stale(shown) from None
    return answer(response, SecretRead.model_validate(row))


async def _stored(reader: Reader, customer_id: UUID, name: str) -> SecretRead:
    found = await _stored_or_none(reader, customer_id, name)
    if found is None:
        raise NotFoundError("There is no such value.")
    return found


async def _stored_or_none(reader: Reader, customer_id: UUID, name: str) -> SecretRead | None:
    query = {"select": _COLUMNS, "customer_id": f"eq.{customer_id}", "name": f"eq.{name}"}
    rows = await reader.select("customer_secrets", query)
    return SecretRead.model_validate(rows[0]) if rows else None
