"""What answers look like, for the documentation: one small story in the shapes of the schemas.

Examples of request bodies stand beside their models; these are of answers, which have no better
place, because many tell of several rows that must fit together.
"""

from typing import Any

_CUSTOMER = "c0000000-0000-4000-8000-000000000001"
_STAFF = "a0000000-0000-4000-8000-000000000003"
_JOB = "d0000000-0000-4000-8000-000000000001"
_INVOICE = "e0000000-0000-4000-8000-000000000001"
_OTHER = "10000000-0000-4000-8000-000000000001"
_MADE = "2026-12-01T08:30:00+00:00"
_CHANGED = "2026-12-01T11:15:00.25+00:00"
_STAMPS = {"created_at": _MADE, "updated_at": _CHANGED}

_ITEM = {
    "id": "e1000000-0000-4000-8000-000000000001",
    "position": 1,
    "description": "Boiler service",
    "quantity": 1,
    "unit_price_cents": 12_000,
    "amount_cents": 12_000,
}
_CUSTOMER_ROW = {
    "version": 2,
    **_STAMPS,
    "id": _CUSTOMER,
    "name": "Ada Byron",
    "email": "ada@example.com",
    "phone": "+44 20 7946 0001",
    "address": "1 Mill Lane",
    "branch": "north",
    "preferences": {"newsletter": True},
    "portal_user_id": "b0000000-0000-4000-8000-000000000001",
    "deleted_at": None,
}
_CHANGE = {
    "id": 4711,
    "at": _CHANGED,
    "op": "update",
    "old": {"phone": "+44 20 7946 0000"},
    "new": {"phone": "+44 20 7946 0001"},
    "actor": _STAFF,
    "actor_kind": "staff",
    "request_id": "6f1c2b1e-0d3f-4b7e-9a55-0c8f2f6c7d11",
}
_MEMBER = {"key": _STAFF, "devices": 1, "says": {"name": "Grace Hopper", "role": "agent"}}
_COUNTS = {
    "created": 1,
    "updated": 0,
    "unchanged": 0,
    "failed": 1,
}

ANSWERS: dict[str, Any] = {
    "Health": {"status": "ready"},
    "CustomerRead": _CUSTOMER_ROW,
    "LeadRead": {
        "version": 3,
        **_STAMPS,
        "customer_id": _CUSTOMER,
        "status": "qualified",
        "score": 80,
        "conversion_probability": 0.4,
        "source": "trade fair",
        "estimated_value_cents": 250_000,
        "currency": "EUR",
        "assigned_to": _STAFF,
        "next_follow_up_at": "2026-12-03T09:00:00+00:00",
        "closed_at": None,
    },
    "LeadNoteRead": {
        "version": 1,
        **_STAMPS,
        "id": _OTHER,
        "customer_id": _CUSTOMER,
        "author_id": _STAFF,
        "kind": "meeting",
        "body": "Met on site, wants an offer.",
    },
    "CallRead": {
        "version": 2,
        **_STAMPS,
        "id": _OTHER,
        "customer_id": _CUSTOMER,
        "staff_id": _STAFF,
        "direction": "outbound",
        "started_at": "2026-12-01T09:00:00+00:00",
        "ended_at": "2026-12-01T09:07:30+00:00",
        "outcome": "demo_booked",
        "notes": "Wants to see the spring offer.",
        "next_action": "Send the offer",
    },
    "JobRead": {
        "version": 2,
        **_STAMPS,
        "id": _JOB,
        "customer_id": _CUSTOMER,
        "title": "Service the boiler",
        "description": None,
        "address": "1 Mill Lane",
        "status": "scheduled",
        "scheduled_start": "2026-12-02T09:00:00+00:00",
        "scheduled_end": "2026-12-02T11:00:00+00:00",
        "started_at": None,
        "completed_at": None,
        "cancelled_at": None,
        "deleted_at": None,
        "assigned_to": _STAFF,
    },
    "JobAssignment": {
        "job_id": _JOB,
        "assigned_to": _STAFF,
        "version": 1,
        "updated_at": _CHANGED,
    },
    "InvoiceRead": {
        "version": 3,
        **_STAMPS,
        "id": _INVOICE,
        "customer_id": _CUSTOMER,
        "job_id": _JOB,
        "series": "A",
        "number": 1042,
        "status": "sent",
        "currency": "EUR",
        "total_cents": 12_000,
        "lines": [_ITEM],
        "due_on": "2026-12-31",
        "sent_at": _CHANGED,
        "paid_at": None,
        "voided_at": None,
        "notes": None,
        "deleted_at": None,
    },
    "InvoiceItems": {"items": [_ITEM]},
    "OverdueResult": {"due_before": "2026-12-01", "marked": 3},
    "MessageRead": {
        "version": 1,
        **_STAMPS,
        "id": "f0000000-0000-4000-8000-000000000001",
        "customer_id": _CUSTOMER,
        "sender": "staff",
        "sender_id": _STAFF,
        "sender_name": "Grace Hopper",
        "body": "We are on our way.",
        "read_at": None,
        "deleted_at": None,
    },
    "LoyaltyEntryRead": {
        "version": 1,
        "created_at": _MADE,
        "id": _OTHER,
        "customer_id": _CUSTOMER,
        "entry_no": 7,
        "points": 50,
        "balance_after": 320,
        "kind": "award",
        "reason": "Thank you for your patience",
    },
    "LoyaltyAccountRead": {
        "customer_id": _CUSTOMER,
        "balance": 320,
        "last_entry": 7,
        "updated_at": _CHANGED,
    },
    "SecretRead": {
        "version": 1,
        **_STAMPS,
        "customer_id": _CUSTOMER,
        "name": "gate_code",
        "key_id": "2026-11",
    },
    "SecretRevealed": {
        "customer_id": _CUSTOMER,
        "name": "gate_code",
        "value": "4711#",
        "version": 1,
    },
    "Reencrypted": {
        "key_id": "2027-05",
        "renewed": 12,
        "skipped": 0,
        "unreadable": [],
        "more": False,
    },
    "Me": {
        "user_id": _STAFF,
        "full_name": "Grace Hopper",
        "email": "grace@crm.example",
        "role": "agent",
    },
    "StaffRead": {
        "version": 1,
        **_STAMPS,
        "user_id": _STAFF,
        "full_name": "Grace Hopper",
        "email": "grace@crm.example",
        "role": "agent",
        "active": True,
    },
    "Member": _MEMBER,
    "History": {
        "table": "customers",
        "row_id": _CUSTOMER,
        "version": 2,
        "entries": [{**_CHANGE, "version": 2, "actor_name": "Grace Hopper"}],
        "next_before_id": 4711,
    },
    "Difference": {
        "table": "customers",
        "row_id": _CUSTOMER,
        "from_version": 1,
        "to_version": 2,
        "fields": {"phone": {"old": "+44 20 7946 0000", "new": "+44 20 7946 0001"}},
    },
    "Restored": {
        "row": {**_CUSTOMER_ROW, "version": 3, "phone": "+44 20 7946 0000"},
        "change_id": 4650,
        "restored": ["phone"],
        "not_restored": [],
    },
    "ActivityPage": {
        "items": [
            {
                **_CHANGE,
                "table_name": "customers",
                "row_id": _CUSTOMER,
                "customer_id": _CUSTOMER,
                "row_version": 2,
            }
        ],
        "next_before_id": 4711,
    },
    "Dashboard": {
        "first_day": "2026-12-01",
        "last_day": "2026-12-01",
        "zone": "Europe/Berlin",
        "own_only": False,
        "calls": {"total": 14, "connected": 9, "demos_booked": 2},
        "leads": {"active": 31, "new": 4, "won": 3, "lost": 1},
        "conversion_rate": 0.75,
        "jobs_by_status": {"scheduled": 8, "completed": 5},
        "revenue": [
            {
                "currency": "EUR",
                "invoiced_cents": 84_000,
                "paid_cents": 61_000,
                "overdue_cents": 12_000,
            }
        ],
        "loyalty": {"issued": 350, "redeemed": 120},
        "days": [
            {
                "day": "2026-12-01",
                "calls": 14,
                "jobs_completed": 5,
                "invoiced_cents": 84_000,
                "paid_cents": 61_000,
            }
        ],
        "top_performers": [
            {
                "user_id": _STAFF,
                "full_name": "Grace Hopper",
                "calls": 9,
                "demos_booked": 2,
                "leads_won": 2,
            }
        ],
    },
    "BulkResult": {
        **_COUNTS,
        "results": [
            {
                "index": 0,
                "status": "created",
                "id": _CUSTOMER,
                "version": 1,
                "code": None,
                "detail": None,
                "errors": None,
            },
            {
                "index": 1,
                "status": "failed",
                "id": None,
                "version": None,
                "code": "invalid-request",
                "detail": "Correct these: item.email.",
                "errors": [
                    {
                        "field": "item.email",
                        "message": "must be an e-mail address, such as name@example.com",
                    }
                ],
            },
        ],
    },
    "ImportReport": {
        "dry_run": False,
        "read": 2,
        **_COUNTS,
        "problems": [
            {
                "line": 3,
                "key": "1002",
                "code": "invalid-request",
                "detail": "email: must be an e-mail address, such as name@example.com",
            }
        ],
    },
}
"""An example by the name of its schema."""

TEXTS = {
    ("/metrics", "text/plain"): 'crm_problems_total{code="stale-version"} 2.0\n',
    (
        "/v1/events",
        "text/event-stream",
    ): 'id: 0b7d1f52-7c3f-5a51-9d3b-3b1a6f0d6c44~812:812:\nevent: status\ndata: {"live":true}\n\n',
    ("/v1/imports/{kind}", "text/csv"): "line,key,code,detail\r\n"
    "3,1002,invalid-request,email: must be an e-mail address\r\n",
    ("/v1/imports/{kind}", "text/event-stream"): 'event: progress\ndata: {"dry_run":false,'
    '"read":2,"created":1,"updated":0,"unchanged":0,"failed":1}\n\n',
    (
        "/v1/exports/{kind}",
        "text/csv",
    ): f"id,name,email\r\n{_CUSTOMER},Ada Byron,ada@example.com\r\n",
}
"""An example by path and media type, of answers that are no JSON."""

HEADERS = {
    "X-Request-Id": ("Names the request in the log and the audit; quote it.", True),
    "X-Problem": ("Last part of the problem's `type`.", True),
    "Retry-After": ("Seconds to wait.", True),
    "WWW-Authenticate": ("`Bearer`, with what is wrong about the token.", True),
    "ETag": ("Version of the row, for `If-Match`.", False),
    "Location": ("Where the row is.", True),
    "X-Merged-Fields": ("What others had changed meanwhile, and was kept.", False),
    "Idempotency-Replayed": ("`true`: a copy of this request had taken effect before.", False),
}
"""What the headers of answers mean, and whether they are always there."""

PARAMETERS = {
    "accept": "`application/json`, `text/event-stream` or `text/csv`: how the report comes.",
    "active": "Only those who are active, or only those who are not.",
    "actor": "User id of who did it.",
    "actor_kind": "What kind of user did it.",
    "assigned_to": "User id of the member of staff who has it, `me` or `nobody`.",
    "before_id": "Only older ones: `next_before_id` of the page before.",
    "branch": "Exactly this branch.",
    "call_id": "Which call.",
    "customer_id": "Which customer.",
    "direction": "Who called whom.",
    "due_before": "Due before this day.",
    "due_from": "Due on this day or later.",
    "entry_id": "Which entry of the ledger.",
    "first_day": "First day of the range; 29 days before the last one if left out.",
    "from_version": "The earlier version; 0 is before the row was made.",
    "idempotency-key": "Names this file, and its lines where no key column does; another file with "
    "it is refused.",
    "invoice_id": "Which invoice.",
    "job_id": "Which job.",
    "kind": "Which kind.",
    "last_day": "Last day of the range; today (UTC) if left out.",
    "limit": "How many at most.",
    "message_id": "Which message.",
    "min_score": "At least this score.",
    "note_id": "Which note.",
    "op": "What was done.",
    "request_id": "`Idempotency-Key`, or `X-Request-Id`, of the request that did it.",
    "role": "Only this role.",
    "row_id": "Id of the row: the customer's for leads, the job's for assignments.",
    "staff_id": "User id of the member of staff, or `me`.",
    "table": "Which table.",
    "to_version": "The later version; the present one if left out.",
    "unread": "Only what customers wrote and nobody has read.",
    "user_id": "User id of the member of staff.",
}
"""What a parameter means that is the same wherever it occurs."""
