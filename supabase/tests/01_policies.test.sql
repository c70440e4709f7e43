-- Which policies exist, for whom and for which verb. Run with `supabase test db` or pg_prove.
begin;
set local search_path = public, extensions;
select plan(57);

select is(
    (select count(*) from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' and not relrowsecurity),
    0::bigint, 'row level security is on for every table'
);

select policies_are('public', t.name, t.policies, 'policies of ' || t.name)
from (
    values
    ('activity_log'::name, array['staff read the log, less staff and other agents'' leads']::name[]),
    ('calls', array['agents log their own calls, managers all', 'staff read calls', 'agents edit their own calls, managers all']),
    ('customers', array[
        'staff add customers', 'staff read every customer, a customer the own row', 'staff edit every customer, a customer the own row'
    ]),
    ('invoice_items', array['staff add invoice items', 'staff read invoice items', 'staff edit invoice items']),
    ('invoices', array['staff add invoices', 'staff read every invoice, a customer the own ones but no drafts', 'staff edit invoices']),
    ('job_assignments', array['staff see who does which job', 'staff assign jobs, agents to themselves', 'staff reassign jobs, agents free and own ones']),
    ('customer_secrets', array['staff see which secrets there are']),
    ('job_notes', array['staff add job notes', 'staff read job notes', 'staff edit job notes']),
    ('jobs', array[
        'staff add jobs, a customer requests own ones', 'staff read every job, a customer the own ones',
        'staff edit every job, a customer cancels requested own ones'
    ]),
    ('lead_notes', array[
        'staff add notes to the leads they may see', 'staff read notes on the leads they may see', 'agents edit their own notes, managers all'
    ]),
    ('leads', array[
        'staff add leads, agents for themselves', 'staff read the leads they may see', 'staff edit the leads they may see, agents keep them'
    ]),
    ('loyalty_accounts', array['staff read every account, a customer the own one']),
    ('loyalty_transactions', array['staff append entries, managers also adjust', 'staff read every entry, a customer the own ones']),
    ('messages', array[
        'staff write to every customer, a customer to the own thread', 'staff read every message, a customer the own thread',
        'the receiver marks a message as read'
    ]),
    ('staff', array['staff read staff']),
    ('sync_changes', array['staff read every change, a customer the own scope']),
    ('sync_scopes', array['staff read every scope, a customer the own one'])
) as t (name, policies);

select policy_roles_are('public', tablename, policyname, array['authenticated']::name[])
from pg_policies where schemaname = 'public' order by tablename, policyname;

select is(
    (select count(*) from pg_policies where schemaname = 'realtime' and tablename = 'messages' and roles = '{authenticated}'),
    2::bigint, 'private channels have one policy to receive and one to send'
);

select * from finish();
rollback;
