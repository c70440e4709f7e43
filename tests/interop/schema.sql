-- Purpose: tables of the interop sessions. Dropped again by schema_undo.sql, so the shared stack stays as it was.
create table public.interop_authors (
    id int primary key,
    name text not null
);
create table public.interop_notes (
    id int primary key,
    author_id int references public.interop_authors (id),
    title text not null,
    tags text[] not null default '{}',
    details jsonb not null default '{}',
    rating numeric(4, 2),
    owner uuid not null default auth.uid()
);
create index interop_notes_author_id_idx on public.interop_notes (author_id);

insert into public.interop_authors values (1, 'Ada'), (2, 'Blaise'), (3, 'Çelik, "the pen"');

alter table public.interop_authors enable row level security;
alter table public.interop_notes enable row level security;
create policy "signed-in users read authors" on public.interop_authors
for select to authenticated using (true);
create policy "users have their own notes" on public.interop_notes
for all to authenticated using (owner = (select auth.uid())) with check (owner = (select auth.uid()));
grant select on public.interop_authors to authenticated;
grant select, insert, update, delete on public.interop_notes to authenticated;
grant all on public.interop_authors, public.interop_notes to service_role;

create function public.interop_sum(a int, b int default 10)
returns int
language sql
immutable
set search_path = ''
as $$ select a + b $$;

create function public.interop_notes_of(author int)
returns setof public.interop_notes
language sql
stable
set search_path = ''
as $$ select * from public.interop_notes where author_id = author $$;

create function public.interop_refuse()
returns void
language plpgsql
set search_path = ''
as $$ begin raise exception 'not today' using errcode = 'P0001', detail = 'it rains', hint = 'try tomorrow'; end $$;

create function public.interop_shout(words text)
returns void
language sql
set search_path = ''
as $$ select realtime.send(jsonb_build_object('words', words), 'shout', 'interop:square', false) $$;

grant execute on function
    public.interop_sum(int, int), public.interop_notes_of(int), public.interop_refuse() to authenticated;
grant execute on function public.interop_shout(text) to service_role;

alter publication supabase_realtime add table public.interop_notes;
notify pgrst, 'reload schema';
