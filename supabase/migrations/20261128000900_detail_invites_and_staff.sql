-- Purpose: refusals that had a hint alone get their detail.
-- Tables:  none.
-- Locks:   none.
-- Undo:    restore the bodies of 20261102000300 and 20261102000400.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.check_invite(invite private.portal_invites, who uuid)
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
        raise exception 'no such invite' using errcode = 'PT404', detail = 'No invite has this token.', hint = 'Check the token, or ask for a new invite.';
    elsif invite.redeemed_by = who then
        return;
    elsif invite.redeemed_at is not null or invite.revoked_at is not null or invite.expires_at <= now() then
        raise exception 'this invite is no longer valid'
            using errcode = 'PT410',
                detail = case when invite.redeemed_at is not null then 'used' when invite.revoked_at is not null then 'replaced' else 'expired' end,
                hint = 'Ask for a new invite.';
    elsif exists (select from public.customers as c where c.portal_user_id = who) then
        raise exception 'this login belongs to a customer already'
            using errcode = 'PT409', detail = format('user: %s', who), hint = 'Sign in with another login to redeem this invite.';
    end if;
end;
$$;

create or replace function private.keep_an_admin()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if exists (select from old_rows as o where o.role = 'admin' and o.active) then
        -- Locking also finds, in REPEATABLE READ, an admin who was demoted after this transaction's snapshot: 40001.
        perform from public.staff as s where s.role = 'admin' and s.active for key share;
        if not found then
            raise exception 'the last admin cannot be demoted, deactivated or removed'
                using errcode = 'check_violation', detail = 'active admins that would remain: 0', hint = 'Make somebody else an admin first.';
        end if;
    end if;
    return null;
end;
$$;
