-- Purpose: invoices are marked as overdue by a day that has begun, somewhere on earth at least: any agent could mark those that are not due, by
--          naming a day to come.
-- Tables:  public.invoices at run time.
-- Locks:   none.
-- Undo:    restore public.mark_overdue_invoices of 20261218000110.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function public.mark_overdue_invoices(due_before date default null)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    day date := coalesce(due_before, (now() at time zone 'UTC')::date);
    -- Where days begin first, clocks are 14 hours ahead of UTC.
    latest date := (now() at time zone 'UTC' + interval '14 hours')::date;
    marked bigint;
begin
    if current_setting('role', true) = 'authenticated' and not (select private.is_staff()) then
        raise exception 'only staff may mark invoices' using errcode = 'insufficient_privilege', hint = 'Sign in as an active staff member.';
    end if;
    if day > latest then
        raise exception 'due_before must be a day that has begun'
            using errcode = 'invalid_parameter_value', detail = format('due_before: %s', day),
                hint = format('The latest day that has begun somewhere on earth is %s.', latest);
    end if;
    update public.invoices as i set status = 'overdue'
    where i.status = 'sent' and i.due_on < day and i.deleted_at is null;
    get diagnostics marked = row_count;
    return private.keep_answer(jsonb_build_object('due_before', day, 'marked', marked));
end;
$$;
