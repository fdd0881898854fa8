create table moon (planet text not null, name text primary key);
insert into moon values ('Mars', 'Phobos'), ('Mars', 'Deimos'), ('Earth', 'Moon');
