-- Purpose: a signed-in user redeems an invite and is from then on the portal login of its customer.
-- Tables:  private.portal_invites and public.customers at run time.
-- Locks:   at run time the invite's row, then the customer's.
-- Undo:    drop function public.redeem_portal_invite, private.redeem_portal_invite, private.check_invite;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.check_invite(invite private.portal_invites, who uuid)
returns void
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    if who is null or private.is_staff() then
        raise exception 'only a portal user may redeem an invite'
            using errcode = 'insufficient_privilege', hint = 'Sign in with the login that the customer is going to use.';
    elsif invite.id is null then
        raise exception 'no such invite' using errcode = 'PT404', hint = 'Check the token, or ask for a new invite.';
    elsif invite.redeemed_by = who then
        return;
    elsif invite.redeemed_at is not null or invite.revoked_at is not null or invite.expires_at <= now() then
        raise exception 'this invite is no longer valid'
            using errcode = 'PT410',
                detail = case when invite.redeemed_at is not null then 'used' when invite.revoked_at is not null then 'replaced' else 'expired' end,
                hint = 'Ask for a new invite.';
    elsif exists (select from public.customers as c where c.portal_user_id = who) then
        raise exception 'this login belongs to a customer already'
            using errcode = 'PT409', hint = 'Sign in with another login to redeem this invite.';
    end if;
end;
$$;
comment on function private.check_invite(private.portal_invites, uuid) is 'Raises unless this user may redeem this invite, or has done so before.';

create function private.redeem_portal_invite(token text)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
    who uuid := private.current_uid();
    invite private.portal_invites;
    linked uuid;
begin
    select i.* into invite from private.portal_invites as i
    where i.token_hash = sha256(convert_to(left(coalesce(token, ''), 200), 'UTF8')) for update;
    perform private.check_invite(invite, who);
    if invite.redeemed_by is null then
        update public.customers as c set portal_user_id = who
        where c.id = invite.customer_id and c.portal_user_id is null and c.deleted_at is null;
        if not found then
            raise exception 'this customer cannot be linked any more'
                using errcode = 'PT409', detail = 'The account has a portal login or is closed.', hint = 'Ask for a new invite.';
        end if;
        update private.portal_invites as i set redeemed_at = now(), redeemed_by = who where i.id = invite.id;
        perform private.log_invite(invite, 'update', jsonb_build_object('redeemed_by', who));
    end if;
    select c.id into linked from public.customers as c where c.id = invite.customer_id and c.portal_user_id = who;
    if linked is null then
        raise exception 'this invite is no longer valid'
            using errcode = 'PT410', detail = 'The login was unlinked since.', hint = 'Ask for a new invite.';
    end if;
    return linked;
end;
$$;
comment on function private.redeem_portal_invite(text) is 'Checked work of public.redeem_portal_invite.';
revoke execute on function private.check_invite(private.portal_invites, uuid), private.redeem_portal_invite(text) from public;
grant execute on function private.redeem_portal_invite(text) to authenticated;

create function public.redeem_portal_invite(token text)
returns uuid
language sql
set search_path = ''
as $$
    select private.redeem_portal_invite(token);
$$;
comment on function public.redeem_portal_invite(text) is 'Portal user: become the login of the customer who was invited. Returns the customer''s id; repeating it gives the same answer.';
revoke execute on function public.redeem_portal_invite(text) from public, anon, service_role;
grant execute on function public.redeem_portal_invite(text) to authenticated;
