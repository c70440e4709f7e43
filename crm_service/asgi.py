"""The application for ASGI servers: ``uvicorn crm_service.asgi:app``."""

from crm_service.app import create_app
from crm_service.observability import configure_logging
from crm_service.settings import Settings

_settings = Settings()  # pyright: ignore[reportCallIssue] - read from the environment
configure_logging(_settings.log_level)
app = create_app(_settings)
