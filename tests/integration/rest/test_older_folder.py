"""A database that an older version made gets what the REST server asks for, and keeps its own."""

from local_stack.postgres.bootstrap import apply_bootstrap

OLD = "bytea, bytea, bytea, bytea, bytea, bytea, bytea, bytea, bytea, bytea[], boolean"
AS_IT_WAS = f"""
drop function _local_stack.begin_request(bytea, boolean);
create function _local_stack.begin_request({OLD}) returns void language sql as '';
update _local_stack.bootstrap set name = '26_rest_session.sql', checksum = 'old'
    where name = '27_rest_session.sql';
"""


async def test_the_session_function_is_added_without_a_reset(rest, http):
    assert (await http.get("/rpc/add?a=1")).status_code == 200
    await rest.sql(AS_IT_WAS)
    assert (await http.get("/rpc/add?a=1")).status_code != 200
    outcome = await apply_bootstrap(rest.database.admin_url, {})
    assert (outcome.applied, outcome.outdated) == (("27_rest_session.sql",), ())
    assert (await http.get("/rpc/add?a=1")).json() == 11
    assert await rest.sql(f"select '_local_stack.begin_request({OLD})'::regprocedure")
    await rest.sql(f"drop function _local_stack.begin_request({OLD})")
