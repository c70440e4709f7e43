"""The same customers as the integration tests of the client library use."""

from tests.integration.portal_sdk.conftest import account, new_account, owner

__all__ = ["account", "new_account", "owner"]
