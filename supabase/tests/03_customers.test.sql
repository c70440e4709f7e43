-- What a customer sees and may write, tried as that customer; the feed says the same.
begin;
set local search_path = public, extensions;
select plan(12);

insert into auth.users (id, email, aud, role) values
('b1000000-0000-4000-8000-000000000001', 'pgtap-one@example.com', 'authenticated', 'authenticated'),
('b1000000-0000-4000-8000-000000000002', 'pgtap-two@example.com', 'authenticated', 'authenticated');
insert into customers (id, name, portal_user_id) values
('c1000000-0000-4000-8000-000000000001', 'One', 'b1000000-0000-4000-8000-000000000001'),
('c1000000-0000-4000-8000-000000000002', 'Two', 'b1000000-0000-4000-8000-000000000002');
insert into jobs (id, customer_id, title) values
('d1000000-0000-4000-8000-000000000001', 'c1000000-0000-4000-8000-000000000001', 'Own'),
('d1000000-0000-4000-8000-000000000002', 'c1000000-0000-4000-8000-000000000002', 'Foreign');
insert into invoices (id, customer_id) values ('e1000000-0000-4000-8000-000000000001', 'c1000000-0000-4000-8000-000000000001');
-- The feed flushes at commit; here it is asked to do so now.
set constraints all immediate;

select set_config('request.jwt.claims', '{"sub": "b1000000-0000-4000-8000-000000000001", "role": "authenticated"}', true);
set local role authenticated;

select results_eq('select title from jobs', array['Own'], 'a customer reads the own jobs alone');
select is_empty('select 1 from invoices', 'a draft invoice is not shown');
select is_empty($$update jobs set title = 'x' where customer_id = 'c1000000-0000-4000-8000-000000000002' returning 1$$, 'a foreign job is not there');
select throws_ok(
    $$insert into jobs (customer_id, title) values ('c1000000-0000-4000-8000-000000000002', 'x')$$,
    '42501', 'new row violates row-level security policy for table "jobs"', 'no job for somebody else'
);
select throws_ok($$delete from jobs$$, '42501', 'permission denied for table jobs', 'nothing is deleted');
select throws_ok(
    $$update customers set portal_user_id = null$$, '42501', 'permission denied for table customers', 'the link to the portal user stays'
);
select lives_ok($$update customers set phone = '1' where id = 'c1000000-0000-4000-8000-000000000001'$$, 'the own phone number may change');
select is((select phone from customers), '1', 'and it has changed');
select is(
    (select portal_head('customer:c1000000-0000-4000-8000-000000000001') -> 'digest' -> 'jobs' ->> 'count'),
    '1', 'the digest counts the own job'
);
select throws_ok(
    $$select portal_head('customer:c1000000-0000-4000-8000-000000000002')$$, '42501', null, 'another scope is refused'
);
select is(
    (select jsonb_array_length(portal_snapshot('customer:c1000000-0000-4000-8000-000000000001') -> 'tables' -> 'jobs')),
    1, 'the snapshot holds what a select shows'
);

set local role anon;
select set_config('request.jwt.claims', '{"role": "anon"}', true);
select throws_ok($$select 1 from jobs$$, '42501', 'permission denied for table jobs', 'anon may do nothing');

reset role;
select * from finish();
rollback;
