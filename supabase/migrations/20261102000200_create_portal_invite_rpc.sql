-- Purpose: staff make an invite for a customer, or take a portal login away again.
-- Tables:  private.portal_invites and public.customers at run time.
-- Locks:   at run time the customer's row.
-- Undo:    drop function public.create_portal_invite, public.unlink_portal_user, private.create_portal_invite,
--          private.unlink_portal_user;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.create_portal_invite(customer_id uuid, valid_for interval)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
    customer public.customers;
    invite private.portal_invites;
    -- Two random uuids: 244 bits from the server's strong random source, no extension needed.
    token text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
begin
    perform private.require_staff('invite customers');
    if valid_for is null or valid_for not between interval '1 minute' and interval '30 days' then
        raise exception 'valid_for must be between 1 minute and 30 days'
            using errcode = 'invalid_parameter_value', detail = format('valid_for: %s', coalesce(valid_for::text, 'null')),
                hint = 'For example 7 days.';
    end if;
    select c.* into customer from public.customers as c where c.id = create_portal_invite.customer_id for update;
    if customer.id is null then
        perform private.raise_no_row('customers', create_portal_invite.customer_id);
    elsif customer.deleted_at is not null or customer.portal_user_id is not null then
        raise exception 'this customer cannot be invited'
            using errcode = 'PT409',
                detail = case when customer.deleted_at is null then 'The customer has a portal login already.' else 'The account is closed.' end,
                hint = 'Unlink the portal login first, or open the account again.';
    end if;
    update private.portal_invites as i set revoked_at = now()
    where i.customer_id = customer.id and i.redeemed_at is null and i.revoked_at is null;
    insert into private.portal_invites as i (customer_id, token_hash, created_by, expires_at)
    values (customer.id, sha256(convert_to(token, 'UTF8')), private.current_uid(), now() + valid_for)
    returning i.* into invite;
    perform private.log_invite(invite, 'insert', jsonb_build_object('expires_at', invite.expires_at));
    return jsonb_build_object('id', invite.id, 'customer_id', customer.id, 'token', token, 'expires_at', invite.expires_at);
end;
$$;
comment on function private.create_portal_invite(uuid, interval) is 'Checked work of public.create_portal_invite.';

create function private.unlink_portal_user(customer_id uuid)
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
    new_version bigint;
begin
    if current_setting('role', true) = 'authenticated' and not private.is_manager() then
        raise exception 'only managers and admins may unlink a portal login'
            using errcode = 'insufficient_privilege', hint = 'Ask a manager.';
    end if;
    update public.customers as c set portal_user_id = null where c.id = unlink_portal_user.customer_id
    returning c.version into new_version;
    if new_version is null then
        perform private.raise_no_row('customers', unlink_portal_user.customer_id);
    end if;
    update private.portal_invites as i set revoked_at = now()
    where i.customer_id = unlink_portal_user.customer_id and i.redeemed_at is null and i.revoked_at is null;
    return new_version;
end;
$$;
comment on function private.unlink_portal_user(uuid) is 'Checked work of public.unlink_portal_user.';
revoke execute on function private.create_portal_invite(uuid, interval), private.unlink_portal_user(uuid) from public;
grant execute on function private.create_portal_invite(uuid, interval), private.unlink_portal_user(uuid) to authenticated, service_role;

create function public.create_portal_invite(customer_id uuid, valid_for interval default interval '7 days')
returns jsonb
language sql
set search_path = ''
as $$
    select private.create_portal_invite(customer_id, valid_for);
$$;
comment on function public.create_portal_invite(uuid, interval) is 'Staff: an invite for a customer without a portal login. The token is in this answer and nowhere else; an earlier invite ends.';

create function public.unlink_portal_user(customer_id uuid)
returns bigint
language sql
set search_path = ''
as $$
    select private.unlink_portal_user(customer_id);
$$;
comment on function public.unlink_portal_user(uuid) is 'Managers: take the portal login away from a customer, at once. Returns the customer''s version.';
revoke execute on function public.create_portal_invite(uuid, interval), public.unlink_portal_user(uuid) from public, anon;
grant execute on function public.create_portal_invite(uuid, interval), public.unlink_portal_user(uuid) to authenticated, service_role;
