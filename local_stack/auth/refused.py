"""What GoTrue has and the local stack does not: refused by name, as a switched-off feature is.

Status and code are those of a hosted project that has the feature disabled, where GoTrue has one,
else its general 404 ``feature_disabled``. Never a 5xx: the official JavaScript client takes those
for a lost connection, drops the message and tries again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from local_stack.auth.errors import NotSupportedError


@dataclass(frozen=True, slots=True)
class Missing:
    """A part of GoTrue that is not here.

    Attributes:
        what: its name for people.
        status: HTTP status of the refusal.
        code: GoTrue's error code.
    """

    what: str
    status: int = 404
    code: str = "feature_disabled"

    def refusal(self) -> NotSupportedError:
        """Return the error to raise."""
        return NotSupportedError(self.what, self.status, self.code)


def _mail(what: str) -> Missing:
    return Missing(what, 400, "email_address_not_authorized")


_SSO: Final = Missing("Single sign-on", 404, "saml_provider_disabled")
_OAUTH: Final = Missing("Sign-in through OAuth providers", 400, "validation_failed")
_OAUTH_SERVER: Final = Missing("The OAuth server")
_OTP: Final = Missing("Sign-in by one-time password", 422, "otp_disabled")
_SCIM: Final = Missing("Provisioning users by SCIM")
_MFA: Final = Missing("Multi-factor authentication")

CHANGE_OF_EMAIL: Final = _mail("Changing one's e-mail address (it needs a mailed confirmation)")
CHANGE_OF_PHONE: Final = Missing(
    "Changing one's phone number (it needs a text message)", 400, "phone_provider_disabled"
)

# Values of grant_type at /token.
GRANTS: Final[Mapping[str, Missing]] = {
    "pkce": Missing("The PKCE flow"),
    "authorization_code": _OAUTH_SERVER,
    "id_token": Missing("Sign-in by id token", 400, "provider_disabled"),
    "web3": Missing("Sign-in by web3 wallet", 422, "web3_provider_disabled"),
}

# Paths, for every method; the routes of Starlette in which the first one that fits counts.
PATHS: Final[Mapping[str, Missing]] = {
    "/otp": _OTP,
    "/verify": Missing("Verifying mailed or texted codes", 422, "otp_disabled"),
    "/magiclink": _mail("Sign-in by magic link"),
    "/recover": _mail("Password recovery by e-mail"),
    "/resend": _mail("Sending a confirmation again"),
    "/reauthenticate": _mail("Reauthentication by e-mail"),
    "/invite": _mail("Inviting users by e-mail"),
    "/admin/generate_link": Missing("Generating links"),
    "/authorize": _OAUTH,
    "/callback": _OAUTH,
    "/sso": _SSO,
    "/sso/{rest:path}": _SSO,
    "/admin/sso/{rest:path}": _SSO,
    "/factors": Missing("Multi-factor authentication", 422, "mfa_totp_enroll_not_enabled"),
    "/factors/{rest:path}": Missing(
        "Multi-factor authentication", 422, "mfa_totp_verify_not_enabled"
    ),
    "/admin/users/{user_id}/factors": _MFA,
    "/admin/users/{user_id}/factors/{rest:path}": _MFA,
    "/passkeys/{rest:path}": Missing("Passkeys"),
    "/user/identities/{rest:path}": Missing("Linking identities", 404, "manual_linking_disabled"),
    "/user/oauth/{rest:path}": _OAUTH_SERVER,
    "/oauth/{rest:path}": _OAUTH_SERVER,
    "/admin/oauth/{rest:path}": _OAUTH_SERVER,
    "/.well-known/oauth-authorization-server": _OAUTH_SERVER,
    "/.well-known/openid-configuration": _OAUTH_SERVER,
    "/admin/custom-providers": Missing("Custom OAuth providers"),
    "/admin/custom-providers/{rest:path}": Missing("Custom OAuth providers"),
    "/admin/audit": Missing("The audit log"),
    "/admin/scim-providers": _SCIM,
    "/admin/scim-providers/{rest:path}": _SCIM,
    "/scim/v2/{rest:path}": _SCIM,
}
