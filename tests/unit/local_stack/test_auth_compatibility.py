"""The compatibility page says what is refused, and names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.routing import Match

from local_stack.auth.config import AuthConfig
from local_stack.auth.refused import GRANTS, PATHS
from local_stack.auth.server import AuthServer
from local_stack.auth.tokens import TokenIssuer, TokenVerifier
from local_stack.keys import ProjectKeys

# The routes of supabase/auth (internal/api/api.go), with its OAuth server switched on.
GOTRUE_ROUTES = """
GET /health
GET /.well-known/jwks.json
GET /.well-known/openid-configuration
GET /.well-known/oauth-authorization-server
GET /callback
POST /callback
GET /settings
GET /authorize
POST /invite
POST /signup
POST /recover
POST /resend
POST /magiclink
POST /otp
POST /token
GET /verify
POST /verify
POST /logout
GET /reauthenticate
GET /user
PUT /user
GET /user/identities/authorize
DELETE /user/identities/1
GET /user/oauth/grants
DELETE /user/oauth/grants
POST /factors
POST /factors/1/verify
POST /factors/1/challenge
DELETE /factors/1
POST /sso
GET /sso/saml/metadata
POST /sso/saml/acs
GET /admin/audit
GET /admin/users
POST /admin/users
GET /admin/users/1
PUT /admin/users/1
DELETE /admin/users/1
GET /admin/users/1/factors
DELETE /admin/users/1/factors/2
PUT /admin/users/1/factors/2
POST /admin/generate_link
GET /admin/sso/providers
POST /admin/sso/providers
GET /admin/sso/providers/1
PUT /admin/sso/providers/1
DELETE /admin/sso/providers/1
GET /admin/scim-providers
POST /admin/scim-providers
GET /admin/scim-providers/1
POST /admin/scim-providers/1/rotate-token
DELETE /admin/scim-providers/1
POST /admin/oauth/clients
GET /admin/oauth/clients
GET /admin/oauth/clients/1
PUT /admin/oauth/clients/1
DELETE /admin/oauth/clients/1
POST /admin/oauth/clients/1/regenerate_secret
GET /scim/v2/ServiceProviderConfig
GET /scim/v2/Users
PATCH /scim/v2/Users/1
POST /oauth/clients/register
POST /oauth/token
GET /oauth/authorize
GET /oauth/authorizations/1
POST /oauth/authorizations/1/consent
"""

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = (REPOSITORY / "local_stack/auth/COMPATIBILITY.md").read_text(encoding="utf-8")


def test_every_refusal_is_listed_with_status_and_code() -> None:
    """The table of refusals and the code have the same rows."""
    rows = re.findall(r"^\| `([^`]+)` \| (\d{3}) \| `(\w+)` \|$", PAGE, re.MULTILINE)
    paths = {path.replace("{rest:path}", "…"): one for path, one in PATHS.items()}
    grants = {f"grant_type={name}": one for name, one in GRANTS.items()}
    refused = [(name, str(one.status), one.code) for name, one in {**paths, **grants}.items()]
    assert sorted(rows) == sorted(refused)


def test_every_route_of_gotrue_is_served_or_refused_by_name() -> None:
    """No route of GoTrue is unknown here: it would be answered as a path that never was."""
    keys = ProjectKeys.generate()
    config = AuthConfig(issuer="http://127.0.0.1/auth/v1")
    server = AuthServer(config, keys, TokenVerifier(keys), TokenIssuer(keys), "postgresql://")
    unknown = []
    for line in GOTRUE_ROUTES.split("\n")[1:-1]:
        method, path = line.split()
        scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
        if not any(route.matches(scope)[0] is Match.FULL for route in server.app.routes):
            unknown.append(line)
    assert unknown == []


def test_every_named_test_exists() -> None:
    """A row cannot claim a test that has gone."""
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    files = [
        *(REPOSITORY / "tests/integration/auth").glob("test_*.py"),
        *(REPOSITORY / "tests/integration/gateway").glob("test_*.py"),
        *(REPOSITORY / "tests/interop").glob("test_*.py"),
        *(REPOSITORY / "tests/unit/local_stack").glob("test_*.py"),
    ]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    present = set(re.findall(r"def (test_\w+)\(", text))
    assert len(named) > 40
    assert named - present == set()
