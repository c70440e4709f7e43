-- Purpose: a value that a CHECK would refuse without a word of advice is refused by name, with detail and hint. The conditions
--          stand in WHEN, so that good rows pay nothing but the comparison.
-- Tables:  none yet; 20261102001700 attaches the triggers.
-- Locks:   none.
-- Undo:    drop function private.refuse_text, private.refuse_value, private.is_currency.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.is_currency(code text)
returns boolean
language sql
immutable
set search_path = ''
as $$
    -- ISO 4217, currencies in use.
    select code = any (string_to_array(
        'EUR USD GBP CHF AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CLP CNY COP '
        'CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB FJD FKP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY '
        'KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK '
        'NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT '
        'TND TOP TRY TTD TWD TZS UAH UGX UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG', ' '));
$$;
comment on function private.is_currency(text) is 'True for the code of a currency in use (ISO 4217).';

create function private.refuse_text()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    given jsonb := to_jsonb(new);
    place integer := 0;
    length integer;
begin
    while place + 2 < tg_nargs loop
        length := char_length(given ->> tg_argv[place]);
        if length not between tg_argv[place + 1]::integer and tg_argv[place + 2]::integer then
            raise exception '%.% has % characters', tg_table_name, tg_argv[place], length
                using errcode = 'check_violation',
                    detail = format('column: %s, characters: %s', tg_argv[place], length),
                    hint = format('%s takes %s to %s characters.', tg_argv[place], tg_argv[place + 1], tg_argv[place + 2]),
                    schema = tg_table_schema, table = tg_table_name, column = tg_argv[place];
        end if;
        place := place + 3;
    end loop;
    return new;
end;
$$;
comment on function private.refuse_text() is 'BEFORE INSERT OR UPDATE, arguments: column, least and most characters, and so on. Names the first text that is too short or too long.';

create function private.refuse_value()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    raise exception '%.% %', tg_table_name, tg_argv[0], tg_argv[1]
        using errcode = 'check_violation',
            detail = format('column: %s, value: %s', tg_argv[0], left(to_jsonb(new) ->> tg_argv[0], 60)),
            hint = tg_argv[2],
            schema = tg_table_schema, table = tg_table_name, column = tg_argv[0];
end;
$$;
comment on function private.refuse_value() is 'BEFORE INSERT OR UPDATE, arguments: column, what is wrong, what to do. Refuses; the trigger''s WHEN says when.';

revoke execute on function private.refuse_text(), private.refuse_value() from public;
revoke execute on function private.is_currency(text) from public;
grant execute on function private.is_currency(text) to authenticated, service_role;
