"""What each answer of PostgREST means to the caller."""

import json
from uuid import UUID

import httpx
import pytest

from crm_service import errors
from crm_service.upstream_errors import error_from_response

CASES = [
    ("42501", 403, errors.ForbiddenError),
    ("23505", 409, errors.AlreadyExistsError),
    ("23503", 409, errors.UnknownReferenceError),
    ("23514", 422, errors.RuleRefusedError),
    ("23502", 422, errors.RuleRefusedError),
    ("22023", 422, errors.RuleRefusedError),
    ("22P02", 422, errors.RuleRefusedError),
    ("22P05", 422, errors.RuleRefusedError),
    ("P0001", 422, errors.RuleRefusedError),
    ("P0002", 404, errors.NotFoundError),
    ("40001", 503, errors.BusyError),
    ("40P01", 503, errors.BusyError),
    ("57014", 504, errors.StatementTimeoutError),
    ("08006", 503, errors.UpstreamUnavailableError),
    ("53300", 503, errors.UpstreamUnavailableError),
    ("57P01", 503, errors.UpstreamUnavailableError),
    ("42703", 503, errors.UpstreamContractError),
    ("PGRST301", 401, errors.TokenRejectedError),
    ("PGRST205", 503, errors.UpstreamContractError),
    ("PGRST202", 503, errors.UpstreamContractError),
    ("PGRST100", 503, errors.UpstreamContractError),
]


def translate(status, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_from_response(status, httpx.Headers(headers), content, retry_after_s=2)


@pytest.mark.parametrize(("code", "status", "kind"), CASES, ids=[case[0] for case in CASES])
def test_each_code_has_its_answer(code, status, kind):
    """SQLSTATE and PGRST codes decide, not PostgREST's own status."""
    error = translate(400, {"code": code, "message": "m"})
    assert type(error) is kind
    assert error.status == status


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ("jobs: 0", "no such row. jobs: 0. Check the id."),
        (f"jobs: {UUID(int=1)}", "There is no job with this id."),
        (f"staff: {UUID(int=1)}", "There is no member of staff with this id."),
        (f"leads: {UUID(int=1)}", "There is no row with this id."),
    ],
)
def test_a_row_that_is_not_there_is_named_as_people_do(detail, said):
    """Not by its table."""
    body = {"code": "PT404", "message": "no such row", "details": detail, "hint": "Check the id."}
    assert translate(404, body).detail == said


def test_expired_and_rejected_tokens_differ():
    """PostgREST's clock may be ahead of ours: expired stays expired."""
    assert isinstance(
        translate(401, {"code": "PGRST303", "message": "JWT expired"}), errors.TokenExpiredError
    )
    assert isinstance(
        translate(401, {"code": "PGRST303", "message": "JWT not yet valid"}),
        errors.TokenRejectedError,
    )


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, b"<html>down</html>", errors.UpstreamUnavailableError),
        (502, b"", errors.UpstreamUnavailableError),
        (429, {"message": "slow down"}, errors.UpstreamUnavailableError),
        (503, {"code": "PGRST002", "message": "no schema cache"}, errors.UpstreamUnavailableError),
        (504, {"code": "PGRST003", "message": "pool"}, errors.UpstreamUnavailableError),
        (401, {"message": "Invalid API key"}, errors.UpstreamContractError),
        (404, b"not here", errors.UpstreamContractError),
        (400, {"message": 5}, errors.UpstreamContractError),
    ],
)
def test_answers_without_a_sqlstate(status, body, kind):
    """Gateways and pages of proxies never become the caller's fault."""
    error = translate(status, body)
    assert type(error) is kind
    assert error.headers["Retry-After"] == "2"


@pytest.mark.parametrize(("sent", "passed_on"), [("7", "7"), ("999999", "3600"), ("soon", "2")])
def test_retry_after_is_passed_on(sent, passed_on):
    """The caller waits as long as the database's side asks, within reason."""
    error = translate(429, {"message": "slow down"}, **{"Retry-After": sent})
    assert error.headers["Retry-After"] == passed_on


def test_details_explain_but_quote_no_row():
    """Message, detail and hint are told; PostgreSQL's copy of the row is not."""
    error = translate(
        400,
        {
            "code": "23514",
            "message": "completed is final",
            "details": "job: completed",
            "hint": "Make a new job.",
        },
    )
    assert error.detail == "completed is final. job: completed. Make a new job."
    error = translate(
        400,
        {
            "code": "23514",
            "message": "violates x",
            "details": "Failing row contains (ada@example.com).",
        },
    )
    assert error.detail == "violates x."


def foreign_key(table, name):
    return f'insert or update on table "{table}" violates foreign key constraint "{name}"'


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        (
            "23503",
            foreign_key("job_assignments", "job_assignments_assigned_to_fkey"),
            "There is no member of staff with the id given as assigned_to.",
        ),
        (
            "23503",
            foreign_key("lead_notes", "lead_notes_customer_id_fkey"),
            "This customer is no lead, or there is no such customer.",
        ),
        (
            "23503",
            foreign_key("things", "things_other_id_fkey"),
            "There is no row with the id given as other_id.",
        ),
        (
            "23505",
            'duplicate key value violates unique constraint "invoice_items_pkey"',
            "The id belongs to another row of invoice_items. Choose a new one.",
        ),
        (
            "23505",
            'duplicate key value violates unique constraint "customers_portal_user_id_key"',
            "Another row has the same value already, and it must be unique "
            "(customers_portal_user_id_key).",
        ),
        (
            "23514",
            'new row for relation "jobs" violates check constraint "jobs_title_length"',
            "A value does not fit the rule jobs_title_length.",
        ),
        (
            "23503",
            "the customer is deleted",
            "The customer is deleted, so nothing new can be written for them. "
            "Restore the customer first, or choose another.",
        ),
        (
            "23503",
            "no such customer",
            "The row refers to one that does not exist: no such customer.",
        ),
        ("23505", "login taken", "A value that must be unique is taken: login taken."),
    ],
)
def test_constraints_are_told_in_plain_words(code, message, said):
    """PostgreSQL's own sentences are for programmers; those of our rules are passed on."""
    assert translate(409, {"code": code, "message": message}).detail == said
