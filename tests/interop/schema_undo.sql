drop function if exists public.interop_shout(text);
drop function if exists public.interop_refuse();
drop function if exists public.interop_notes_of(int);
drop function if exists public.interop_sum(int, int);
drop table if exists public.interop_notes;
drop table if exists public.interop_authors;
delete from auth.users where email like 'interop-%@example.com';
notify pgrst, 'reload schema';
delete from public.messages where body = 'interop';
