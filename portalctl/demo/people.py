"""Who takes part in the demo: the people of `supabase/seed.sql`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PASSWORD: Final = "portal-demo"  # noqa: S105 - the published password of the demo data
CONNECTED_CUSTOMERS: Final = 25


@dataclass(frozen=True, slots=True)
class DemoCustomer:
    """Customer i of the demo data, linked to portal user i."""

    number: int

    @property
    def email(self) -> str:
        """The login of the portal user."""
        return f"customer{self.number:03d}@example.com"

    @property
    def user_id(self) -> str:
        """The portal user's uid."""
        return f"b0000000-0000-4000-8000-{self.number:012d}"

    @property
    def customer_id(self) -> str:
        """The customer's id."""
        return customer_id(self.number)

    @property
    def scope(self) -> str:
        """The key of this customer's change feed."""
        return f"customer:{self.customer_id}"


def customer_id(number: int) -> str:
    """Return the id of customer i of the demo data."""
    return f"c0000000-0000-4000-8000-{number:012d}"


def staff_email(role: str) -> str:
    """Return the login of the demo's staff member of this role."""
    return f"{role}@crm.example"
