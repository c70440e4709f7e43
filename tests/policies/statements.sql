-- One statement per line of matrix.csv, named "table verb row_class". $me is the persona's uid. None has RETURNING: that asks the
-- SELECT policy of the new row, too, and would hide a WITH CHECK that lets everything pass.
-- name: staff select any
select from public.staff where user_id = 'a0000000-0000-4000-8000-000000000004'
-- name: staff insert any
insert into public.staff (user_id, full_name, email, role) values ('b0000000-0000-4000-8000-000000000999', 'X', 'x@crm.example', 'admin')
-- name: staff update own_role
update public.staff set role = 'admin' where user_id = 'a0000000-0000-4000-8000-000000000003'
-- name: staff delete any
delete from public.staff where user_id = 'a0000000-0000-4000-8000-000000000004'
-- name: customers select own
select from public.customers where id = 'c0000000-0000-4000-8000-000000000001'
-- name: customers select foreign
select from public.customers where id = 'c0000000-0000-4000-8000-000000000003'
-- name: customers select deleted
select from public.customers where id = 'c0000000-0000-4000-8000-000000000050'
-- name: customers insert any
insert into public.customers (name, email) values ('New', 'new@example.com')
-- name: customers insert linked
insert into public.customers (name, portal_user_id) values ('New', 'b0000000-0000-4000-8000-000000000999')
-- name: customers update own_phone
update public.customers set phone = '1' where id = 'c0000000-0000-4000-8000-000000000001'
-- name: customers update own_preferences
update public.customers set preferences = '{"a": 1}' where id = 'c0000000-0000-4000-8000-000000000001'
-- name: customers update own_branch
update public.customers set branch = 'west' where id = 'c0000000-0000-4000-8000-000000000001'
-- name: customers update own_link
update public.customers set portal_user_id = null where id = 'c0000000-0000-4000-8000-000000000001'
-- name: customers update own_deleted
update public.customers set deleted_at = now() where id = 'c0000000-0000-4000-8000-000000000001'
-- name: customers update foreign_phone
update public.customers set phone = '1' where id = 'c0000000-0000-4000-8000-000000000003'
-- name: customers delete own
delete from public.customers where id = 'c0000000-0000-4000-8000-000000000001'
-- name: customer_secrets select any
select customer_id, name, key_id, version from public.customer_secrets where customer_id = 'c0000000-0000-4000-8000-000000000001'
-- name: customer_secrets select value
select value from public.customer_secrets where customer_id = 'c0000000-0000-4000-8000-000000000001'
-- name: customer_secrets insert any
insert into public.customer_secrets (customer_id, name) values ('c0000000-0000-4000-8000-000000000001', 'other')
-- name: customer_secrets update any
update public.customer_secrets set name = 'other' where customer_id = 'c0000000-0000-4000-8000-000000000001'
-- name: customer_secrets delete any
delete from public.customer_secrets where customer_id = 'c0000000-0000-4000-8000-000000000001'
-- name: leads select assigned_to_agent
select from public.leads where customer_id = 'c0000000-0000-4000-8000-000000000002'
-- name: leads select assigned_to_manager
select from public.leads where customer_id = 'c0000000-0000-4000-8000-000000000004'
-- name: leads insert to_self
insert into public.leads (customer_id, assigned_to) select 'c0000000-0000-4000-8000-000000000150', (select s.user_id from public.staff as s where s.user_id = $me)
-- name: leads insert to_other
insert into public.leads (customer_id, assigned_to) values ('c0000000-0000-4000-8000-000000000150', 'a0000000-0000-4000-8000-000000000002')
-- name: leads update assigned_score
update public.leads set score = score + 1 where customer_id = 'c0000000-0000-4000-8000-000000000002'
-- name: leads update foreign_score
update public.leads set score = 1 where customer_id = 'c0000000-0000-4000-8000-000000000004'
-- name: leads update reassign
update public.leads set assigned_to = 'a0000000-0000-4000-8000-000000000002' where customer_id = 'c0000000-0000-4000-8000-000000000002'
-- name: leads delete any
delete from public.leads where customer_id = 'c0000000-0000-4000-8000-000000000002'
-- name: lead_notes select on_agents_lead
select from public.lead_notes where id = '20000000-0000-4000-8000-000000000002'
-- name: lead_notes select on_managers_lead
select from public.lead_notes where id = '20000000-0000-4000-8000-000000000004'
-- name: lead_notes insert on_agents_lead
insert into public.lead_notes (customer_id, body) values ('c0000000-0000-4000-8000-000000000002', 'x')
-- name: lead_notes insert on_managers_lead
insert into public.lead_notes (customer_id, body) values ('c0000000-0000-4000-8000-000000000004', 'x')
-- name: lead_notes update by_agent
update public.lead_notes set body = 'y' where id = '20000000-0000-4000-8000-000000000002'
-- name: lead_notes update by_manager
update public.lead_notes set body = 'y' where id = '20000000-0000-4000-8000-000000000007'
-- name: lead_notes update author
update public.lead_notes set author_id = 'a0000000-0000-4000-8000-000000000001' where id = '20000000-0000-4000-8000-000000000002'
-- name: lead_notes delete any
delete from public.lead_notes where id = '20000000-0000-4000-8000-000000000002'
-- name: calls select any
select from public.calls where id = '30000000-0000-4000-8000-000000000001'
-- name: calls insert own
insert into public.calls (customer_id, direction) values ('c0000000-0000-4000-8000-000000000001', 'inbound')
-- name: calls insert for_manager
insert into public.calls (customer_id, direction, staff_id) values ('c0000000-0000-4000-8000-000000000001', 'inbound', 'a0000000-0000-4000-8000-000000000002')
-- name: calls update by_agent
update public.calls set notes = 'x' where id = '30000000-0000-4000-8000-000000000002'
-- name: calls update by_manager
update public.calls set notes = 'x' where id = '30000000-0000-4000-8000-000000000001'
-- name: calls update customer
update public.calls set customer_id = 'c0000000-0000-4000-8000-000000000009' where id = '30000000-0000-4000-8000-000000000002'
-- name: calls delete any
delete from public.calls where id = '30000000-0000-4000-8000-000000000002'
-- name: jobs select own
select from public.jobs where id = 'd0000000-0000-4000-8000-000000000001'
-- name: jobs select foreign
select from public.jobs where id = 'd0000000-0000-4000-8000-000000000003'
-- name: jobs select deleted
select from public.jobs where id = 'd0000000-0000-4000-8000-000000900001'
-- name: jobs insert own_requested
insert into public.jobs (customer_id, title) values ('c0000000-0000-4000-8000-000000000001', 'x')
-- name: jobs insert own_scheduled
insert into public.jobs (customer_id, title, status, scheduled_start) values ('c0000000-0000-4000-8000-000000000001', 'x', 'scheduled', now())
-- name: jobs insert own_in_progress
insert into public.jobs (customer_id, title, status) values ('c0000000-0000-4000-8000-000000000001', 'x', 'in_progress')
-- name: jobs insert foreign_requested
insert into public.jobs (customer_id, title) values ('c0000000-0000-4000-8000-000000000003', 'x')
-- name: jobs update cancel_requested
update public.jobs set status = 'cancelled' where id = 'd0000000-0000-4000-8000-000000000201'
-- name: jobs update schedule_requested
update public.jobs set status = 'scheduled', scheduled_start = now() where id = 'd0000000-0000-4000-8000-000000000201'
-- name: jobs update start_requested
update public.jobs set status = 'in_progress' where id = 'd0000000-0000-4000-8000-000000000201'
-- name: jobs update cancel_scheduled
update public.jobs set status = 'cancelled' where id = 'd0000000-0000-4000-8000-000000000001'
-- name: jobs update title_requested
update public.jobs set title = 'x' where id = 'd0000000-0000-4000-8000-000000000201'
-- name: jobs update reopen_completed
update public.jobs set status = 'in_progress' where id = 'd0000000-0000-4000-8000-000000000801'
-- name: jobs update customer
update public.jobs set customer_id = 'c0000000-0000-4000-8000-000000000009' where id = 'd0000000-0000-4000-8000-000000000201'
-- name: jobs update deleted
update public.jobs set deleted_at = now() where id = 'd0000000-0000-4000-8000-000000000201'
-- name: jobs delete own
delete from public.jobs where id = 'd0000000-0000-4000-8000-000000000001'
-- name: job_notes select any
select from public.job_notes where id = '40000000-0000-4000-8000-000000000001'
-- name: job_notes insert any
insert into public.job_notes (job_id, customer_id, body) values ('d0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000001', 'x')
-- name: job_notes update any
update public.job_notes set body = 'y' where id = '40000000-0000-4000-8000-000000000001'
-- name: job_notes delete any
delete from public.job_notes where id = '40000000-0000-4000-8000-000000000001'
-- name: job_assignments select agents
select from public.job_assignments where job_id = 'd0000000-0000-4000-8000-000000900002'
-- name: job_assignments select managers
select from public.job_assignments where job_id = 'd0000000-0000-4000-8000-000000900003'
-- name: job_assignments insert to_self
insert into public.job_assignments (job_id, assigned_to) values ('d0000000-0000-4000-8000-000000900004', (select user_id from public.staff where user_id = $me and active))
-- name: job_assignments insert to_other
insert into public.job_assignments (job_id, assigned_to) values ('d0000000-0000-4000-8000-000000900004', 'a0000000-0000-4000-8000-000000000001')
-- name: job_assignments update give_back_agents
update public.job_assignments set assigned_to = null where job_id = 'd0000000-0000-4000-8000-000000900002'
-- name: job_assignments update give_back_managers
update public.job_assignments set assigned_to = null where job_id = 'd0000000-0000-4000-8000-000000900003'
-- name: job_assignments update agents_to_other
update public.job_assignments set assigned_to = 'a0000000-0000-4000-8000-000000000001' where job_id = 'd0000000-0000-4000-8000-000000900002'
-- name: job_assignments delete any
delete from public.job_assignments where job_id = 'd0000000-0000-4000-8000-000000900002'
-- name: invoices select own_paid
select from public.invoices where id = 'e0000000-0000-4000-8000-000000000001'
-- name: invoices select own_draft
select from public.invoices where id = 'e0000000-0000-4000-8000-000000900001'
-- name: invoices select foreign
select from public.invoices where id = 'e0000000-0000-4000-8000-000000000003'
-- name: invoices insert draft
insert into public.invoices (customer_id) values ('c0000000-0000-4000-8000-000000000001')
-- name: invoices insert sent
insert into public.invoices (customer_id, status) values ('c0000000-0000-4000-8000-000000000001', 'sent')
-- name: invoices insert total
insert into public.invoices (customer_id, total_cents) values ('c0000000-0000-4000-8000-000000000001', 5)
-- name: invoices update draft_notes
update public.invoices set notes = 'x' where id = 'e0000000-0000-4000-8000-000000900001'
-- name: invoices update send
update public.invoices set status = 'sent' where id = 'e0000000-0000-4000-8000-000000900001'
-- name: invoices update pay
update public.invoices set status = 'paid' where id = 'e0000000-0000-4000-8000-000000900002'
-- name: invoices update pay_draft
update public.invoices set status = 'paid' where id = 'e0000000-0000-4000-8000-000000900001'
-- name: invoices update void
update public.invoices set status = 'void' where id = 'e0000000-0000-4000-8000-000000900002'
-- name: invoices update unpay
update public.invoices set status = 'sent' where id = 'e0000000-0000-4000-8000-000000000001'
-- name: invoices update sent_due_on
update public.invoices set due_on = '2030-01-01' where id = 'e0000000-0000-4000-8000-000000900002'
-- name: invoices update total
update public.invoices set total_cents = 5 where id = 'e0000000-0000-4000-8000-000000900002'
-- name: invoices update customer
update public.invoices set customer_id = 'c0000000-0000-4000-8000-000000000009' where id = 'e0000000-0000-4000-8000-000000900002'
-- name: invoices delete own
delete from public.invoices where id = 'e0000000-0000-4000-8000-000000900001'
-- name: invoice_items select any
select from public.invoice_items where id = '50000000-0000-4000-8000-000000900001'
-- name: invoice_items insert into_draft
insert into public.invoice_items (invoice_id, customer_id, position, description, unit_price_cents) values ('e0000000-0000-4000-8000-000000900001', 'c0000000-0000-4000-8000-000000000001', 9, 'x', 5)
-- name: invoice_items insert into_sent
insert into public.invoice_items (invoice_id, customer_id, position, description, unit_price_cents) values ('e0000000-0000-4000-8000-000000900002', 'c0000000-0000-4000-8000-000000000001', 9, 'x', 5)
-- name: invoice_items update of_draft
update public.invoice_items set description = 'y' where id = '50000000-0000-4000-8000-000000900001'
-- name: invoice_items update of_sent
update public.invoice_items set description = 'y' where id = '50000000-0000-4000-8000-000000900002'
-- name: invoice_items delete any
delete from public.invoice_items where id = '50000000-0000-4000-8000-000000900001'
-- name: messages select own
select from public.messages where id = 'f0000000-0000-4000-8000-000000000001'
-- name: messages select foreign
select from public.messages where id = 'f0000000-0000-4000-8000-000000000003'
-- name: messages select deleted
select from public.messages where id = 'f0000000-0000-4000-8000-000000900003'
-- name: messages insert own_thread
insert into public.messages (customer_id, body) values ('c0000000-0000-4000-8000-000000000001', 'x')
-- name: messages insert foreign_thread
insert into public.messages (customer_id, body) values ('c0000000-0000-4000-8000-000000000003', 'x')
-- name: messages insert deleted
insert into public.messages (customer_id, body, deleted_at) values ('c0000000-0000-4000-8000-000000000001', 'x', now())
-- name: messages update read_staff_message
update public.messages set read_at = now() where id = 'f0000000-0000-4000-8000-000000900001'
-- name: messages update read_customer_message
update public.messages set read_at = now() where id = 'f0000000-0000-4000-8000-000000900002'
-- name: messages update unread
update public.messages set read_at = null where id = 'f0000000-0000-4000-8000-000000000001'
-- name: messages update body
update public.messages set body = 'y' where id = 'f0000000-0000-4000-8000-000000000001'
-- name: messages update deleted
update public.messages set deleted_at = now() where id = 'f0000000-0000-4000-8000-000000000001'
-- name: messages delete own
delete from public.messages where id = 'f0000000-0000-4000-8000-000000000001'
-- name: loyalty_accounts select own
select from public.loyalty_accounts where customer_id = 'c0000000-0000-4000-8000-000000000001'
-- name: loyalty_accounts select foreign
select from public.loyalty_accounts where customer_id = 'c0000000-0000-4000-8000-000000000003'
-- name: loyalty_accounts insert any
insert into public.loyalty_accounts (customer_id, balance) values ('c0000000-0000-4000-8000-000000000001', 5)
-- name: loyalty_accounts update any
update public.loyalty_accounts set balance = 5 where customer_id = 'c0000000-0000-4000-8000-000000000001'
-- name: loyalty_accounts delete any
delete from public.loyalty_accounts where customer_id = 'c0000000-0000-4000-8000-000000000001'
-- name: loyalty_transactions select own
select from public.loyalty_transactions where id = '10000000-0000-4000-8000-000000000001'
-- name: loyalty_transactions select foreign
select from public.loyalty_transactions where id = '10000000-0000-4000-8000-000000000003'
-- name: loyalty_transactions insert award
insert into public.loyalty_transactions (customer_id, points, kind) values ('c0000000-0000-4000-8000-000000000001', 5, 'award')
-- name: loyalty_transactions insert redeem
insert into public.loyalty_transactions (customer_id, points, kind) values ('c0000000-0000-4000-8000-000000000001', -5, 'redeem')
-- name: loyalty_transactions insert adjust
insert into public.loyalty_transactions (customer_id, points, kind) values ('c0000000-0000-4000-8000-000000000001', -5, 'adjust')
-- name: loyalty_transactions insert overdraft
insert into public.loyalty_transactions (customer_id, points, kind) values ('c0000000-0000-4000-8000-000000000001', -500000, 'redeem')
-- name: loyalty_transactions insert balance
insert into public.loyalty_transactions (customer_id, points, kind, entry_no, balance_after) values ('c0000000-0000-4000-8000-000000000001', 5, 'award', 1, 5000)
-- name: loyalty_transactions update any
update public.loyalty_transactions set points = 500 where id = '10000000-0000-4000-8000-000000000001'
-- name: loyalty_transactions delete any
delete from public.loyalty_transactions where id = '10000000-0000-4000-8000-000000000001'
-- name: activity_log select about_jobs
select from public.activity_log where table_name = 'jobs' and row_id = 'd0000000-0000-4000-8000-000000000001'
-- name: activity_log select about_staff
select from public.activity_log where table_name = 'staff' and row_id = 'a0000000-0000-4000-8000-000000000001'
-- name: activity_log select about_agents_lead
select from public.activity_log where table_name = 'leads' and row_id = 'c0000000-0000-4000-8000-000000000002'
-- name: activity_log select about_managers_lead
select from public.activity_log where table_name = 'leads' and row_id = 'c0000000-0000-4000-8000-000000000004'
-- name: activity_log insert any
insert into public.activity_log (table_name, row_id, op, actor_kind) values ('jobs', 'x', 'update', 'staff')
-- name: activity_log update any
update public.activity_log set actor = null
-- name: activity_log delete any
delete from public.activity_log
-- name: sync_scopes select own
select from public.sync_scopes where scope = 'customer:c0000000-0000-4000-8000-000000000001'
-- name: sync_scopes select foreign
select from public.sync_scopes where scope = 'customer:c0000000-0000-4000-8000-000000000003'
-- name: sync_scopes insert any
insert into public.sync_scopes (scope) values ('customer:x')
-- name: sync_scopes update any
update public.sync_scopes set n = n + 1
-- name: sync_scopes delete any
delete from public.sync_scopes
-- name: sync_changes select own
select from public.sync_changes where scope = 'customer:c0000000-0000-4000-8000-000000000001' and n = 1
-- name: sync_changes select foreign
select from public.sync_changes where scope = 'customer:c0000000-0000-4000-8000-000000000003' and n = 1
-- name: sync_changes insert any
insert into public.sync_changes (scope, n, table_name, row_id, op, version, committed_at) values ('customer:x', 1, 'jobs', gen_random_uuid(), 'remove', 1, now())
-- name: sync_changes update any
update public.sync_changes set "row" = null
-- name: sync_changes delete any
delete from public.sync_changes
