"""The variables that point a program at a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local_stack.keys import ProjectKeys


def environment(keys: ProjectKeys, api_url: str, database_url: str) -> dict[str, str]:
    """Return the variables that Supabase's own tools print and read."""
    return {
        "SUPABASE_URL": api_url,
        "SUPABASE_PUBLISHABLE_KEY": keys.publishable,
        "SUPABASE_SECRET_KEY": keys.secret,
        "SUPABASE_ANON_KEY": keys.anon,
        "SUPABASE_SERVICE_ROLE_KEY": keys.service_role,
        "SUPABASE_JWT_SECRET": keys.jwt_secret,
        "SUPABASE_DB_URL": database_url,
    }
