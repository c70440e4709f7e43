-- Rows that the seed does not have: a closed account, a draft and a sent invoice, a deleted job and message, unread ones.
update public.customers set deleted_at = now() where id = 'c0000000-0000-4000-8000-000000000050';
insert into public.jobs (id, customer_id, title, deleted_at)
values ('d0000000-0000-4000-8000-000000900001', 'c0000000-0000-4000-8000-000000000001', 'Deleted', now());
insert into public.jobs (id, customer_id, title) values
('d0000000-0000-4000-8000-000000900002', 'c0000000-0000-4000-8000-000000000001', 'Of the agent'),
('d0000000-0000-4000-8000-000000900003', 'c0000000-0000-4000-8000-000000000001', 'Of the manager'),
('d0000000-0000-4000-8000-000000900004', 'c0000000-0000-4000-8000-000000000001', 'Free');
insert into public.job_assignments (job_id, assigned_to) values
('d0000000-0000-4000-8000-000000900002', 'a0000000-0000-4000-8000-000000000003'),
('d0000000-0000-4000-8000-000000900003', 'a0000000-0000-4000-8000-000000000002');
insert into public.invoices (id, customer_id) values
('e0000000-0000-4000-8000-000000900001', 'c0000000-0000-4000-8000-000000000001'),
('e0000000-0000-4000-8000-000000900002', 'c0000000-0000-4000-8000-000000000001');
insert into public.invoice_items (id, invoice_id, customer_id, position, description, unit_price_cents) values
('50000000-0000-4000-8000-000000900001', 'e0000000-0000-4000-8000-000000900001', 'c0000000-0000-4000-8000-000000000001', 1, 'Work', 1000),
('50000000-0000-4000-8000-000000900002', 'e0000000-0000-4000-8000-000000900002', 'c0000000-0000-4000-8000-000000000001', 1, 'Work', 1000);
update public.invoices set status = 'sent' where id = 'e0000000-0000-4000-8000-000000900002';
insert into public.messages (id, customer_id, sender, sender_name, body, deleted_at) values
('f0000000-0000-4000-8000-000000900001', 'c0000000-0000-4000-8000-000000000001', 'staff', 'Office', 'Unread', null),
('f0000000-0000-4000-8000-000000900002', 'c0000000-0000-4000-8000-000000000001', 'customer', 'Jo', 'Unread', null),
('f0000000-0000-4000-8000-000000900003', 'c0000000-0000-4000-8000-000000000001', 'staff', 'Office', 'Deleted', now());
insert into public.customer_secrets (customer_id, name, value)
values ('c0000000-0000-4000-8000-000000000001', 'gate_code', 'v1.test.' || repeat('A', 60));
