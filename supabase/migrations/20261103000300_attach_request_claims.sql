-- Purpose: attach the claim of Idempotency-Keys. It costs nothing for requests that send no fingerprint.
-- Tables:  triggers on staff, customers, leads, lead_notes, calls, jobs, job_notes, invoices, messages, loyalty_transactions.
-- Locks:   share row exclusive on each of them for an instant.
-- Undo:    drop trigger a_claim_request on each table.
set lock_timeout = '2s';
set statement_timeout = '60s';

create trigger a_claim_request before insert or update on public.staff
for each row when (current_setting('request.headers', true) like '%"x-request-fingerprint"%') execute function private.claim_request();
create trigger a_claim_request before insert or update on public.customers
for each row when (current_setting('request.headers', true) like '%"x-request-fingerprint"%') execute function private.claim_request();
create trigger a_claim_request before insert or update on public.leads
for each row when (current_setting('request.headers', true) like '%"x-request-fingerprint"%') execute function private.claim_request();
create trigger a_claim_request before insert or update on public.lead_notes
for each row when (current_setting('request.headers', true) like '%"x-request-fingerprint"%') execute function private.claim_request();
create trigger a_claim_request before insert or update on public.calls
for each row when (current_setting('request.headers', true) like '%"x-request-fingerprint"%') execute function private.claim_request();
create trigger a_claim_request before insert or update on public.jobs
for each row when (current_setting('request.headers', true) like '%"x-request-fingerprint"%') execute function private.claim_request();
create trigger a_claim_request before insert or update on public.job_notes
for each row when (current_setting('request.headers', true) like '%"x-request-fingerprint"%') execute function private.claim_request();
create trigger a_claim_request before insert or update on public.invoices
for each row when (current_setting('request.headers', true) like '%"x-request-fingerprint"%') execute function private.claim_request();
create trigger a_claim_request before insert or update on public.messages
for each row when (current_setting('request.headers', true) like '%"x-request-fingerprint"%') execute function private.claim_request();
create trigger a_claim_request before insert on public.loyalty_transactions
for each row when (current_setting('request.headers', true) like '%"x-request-fingerprint"%') execute function private.claim_request();
