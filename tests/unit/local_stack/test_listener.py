"""What the stack's listener promises its clients."""

from local_stack.listener import Listener, bind_port
from portal_sdk._runtime.http_pool import KEEPALIVE_S


async def test_it_is_the_client_that_ends_a_connection_which_waits():
    """A request that meets the server's close would have to be sent again, effect unknown."""
    bound = bind_port(0, strict=True)
    listener = Listener(lambda *_: None, bound)
    try:
        assert listener._server.config.timeout_keep_alive > KEEPALIVE_S
    finally:
        bound.close()
