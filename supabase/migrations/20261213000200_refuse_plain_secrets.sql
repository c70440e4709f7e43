-- Purpose: an encrypted fact that is not encrypted, or has no proper name, is refused without a word of it. PostgreSQL's own refusal
--          told the whole row, to the caller and to the log: a plain gate code among it.
-- Tables:  trigger on public.customer_secrets.
-- Locks:   share row exclusive on it for an instant.
-- Undo:    drop trigger a_refuse_plain on public.customer_secrets; drop function private.refuse_plain_secret;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.refuse_plain_secret()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if char_length(new.name) <= 40 and new.name ~ '^[a-z][a-z0-9_]*$' then
        raise exception 'the value of % is not encrypted', new.name
            using errcode = 'check_violation',
                detail = format('characters: %s', char_length(new.value)),
                hint = 'Send v1.<key id>.<base64url of nonce and ciphertext>, 20000 characters at most, as crm_service does.',
                schema = tg_table_schema, table = tg_table_name, column = 'value';
    end if;
    raise exception 'malformed name of a value'
        using errcode = 'check_violation',
            detail = format('characters: %s', char_length(new.name)),
            hint = 'A name is 1 to 40 of a-z, 0-9 and _, and begins with a letter, for example gate_code.',
            schema = tg_table_schema, table = tg_table_name, column = 'name';
end;
$$;
comment on function private.refuse_plain_secret() is 'BEFORE INSERT OR UPDATE: refuses a value that is not encrypted, or a malformed name, and repeats neither; the trigger''s WHEN says when.';
revoke execute on function private.refuse_plain_secret() from public;

create trigger a_refuse_plain before insert or update on public.customer_secrets
for each row when (
    new.name !~ '^[a-z][a-z0-9_]{0,39}$' or new.value !~ '^v1\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{38,}$' or char_length(new.value) > 20000
)
execute function private.refuse_plain_secret();
