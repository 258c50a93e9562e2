#!/usr/bin/env bash
# PostgreSQL: initdb, a server, pgbench with several clients, parallel queries, procedures, indices, dump and restore, a
# restart after an immediate stop. Run by ./run. As root everything runs as the user postgres.
. "$(dirname "$0")/lib.sh"
for bin in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV); do
    [ ! -x "$bin/postgres" ] || [ ! -x "$bin/pgbench" ] || break
done
PATH=$bin:$PATH
need initdb postgres pgbench psql pg_dump

as=()
if [ "$(id -u)" -eq 0 ]; then
    getent passwd postgres >/dev/null || skip "there is no user postgres"
    as=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
    mkdir "$WORK/pg"
    chown postgres "$WORK/pg"
    chmod 711 "$WORK/pg"
else
    mkdir "$WORK/pg"
fi
cd pg
export HOME=$WORK/pg PGHOST=$WORK/pg PGUSER=postgres PGDATABASE=postgres PGOPTIONS='-c client_min_messages=warning'
pg() { "${as[@]+"${as[@]}"}" "${UNDER[@]}" "$@"; }
sql() { pg psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

# Scans that begin where another one left off would make the order of rows depend on how fast parallel workers were.
start()
{
    daemon ../server.log "${as[@]+"${as[@]}"}" "${UNDER[@]}" "$bin/postgres" -D "$WORK/pg/data" -k "$WORK/pg" -c listen_addresses= \
        -c shared_buffers=32MB -c fsync=off -c synchronize_seqscans=off -c max_parallel_workers_per_gather=2 -c min_parallel_table_scan_size=0 \
        -c parallel_setup_cost=0 -c parallel_tuple_cost=0 -c max_wal_size=200MB -c log_checkpoints=off -c log_min_messages=fatal
    wait_until 60 sql -c 'SELECT 1'
    check_mapped "$daemon"
}

pg initdb -D "$WORK/pg/data" -U postgres -A trust -E UTF8 --locale=C --no-sync --no-instructions >initdb.log
grep -c ' ok$' initdb.log
start
sql -c 'SHOW server_encoding'

pg pgbench -q -i -s "$(size 3 1)" postgres 2>/dev/null >/dev/null
# Each client's random numbers follow from the seed, so the sums do not depend on how the clients interleave.
pg pgbench -n --random-seed=5 -c 6 -j 2 -t "$(size 500 10)" postgres 2>/dev/null | grep -E '^number of (clients|transactions actually)'
pg pgbench -n --random-seed=6 -c 4 -j 2 -C -S -M prepared -t "$(size 40 5)" postgres 2>/dev/null | grep '^number of transactions actually'
sums='SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches),
    (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(delta) FROM pgbench_history), (SELECT count(*) FROM pgbench_history)'
sql -c "$sums"

cat >work.sql <<SQL
CREATE TABLE item AS SELECT i, (i::bigint * 16807) % 2147483647 AS n, md5(i::text) AS name,
    repeat(md5((i * 3)::text), i % 9 + 1) AS body, jsonb_build_object('i', i, 'list', ARRAY[i, i + 1], 'name', md5(i::text)) AS doc
    FROM generate_series(1, $(size 60000 500)) i;
CREATE INDEX ON item (name);
CREATE INDEX ON item USING gin (doc);
CREATE INDEX ON item USING hash (n);
ANALYZE item;
SELECT count(*), sum(n), min(name), max(length(body)) FROM item;
SELECT left(name, 1), count(*), sum(n) FROM item GROUP BY 1 ORDER BY 1;
SELECT md5(string_agg(name, ',' ORDER BY name DESC)) FROM item;
SELECT count(*) FROM item a JOIN item b ON a.n % 1009 = b.i;
SELECT i, rank() OVER (PARTITION BY left(name, 2) ORDER BY n) FROM item ORDER BY name LIMIT 8;
SELECT count(*) FROM item WHERE doc @> '{"list": [77]}';
SELECT md5(jsonb_agg(doc ORDER BY i)::text), length(xmlagg(xmlelement(name e, name) ORDER BY i)::text) FROM item WHERE i < 3000;
SELECT count(*), sum(length(r)) FROM item, regexp_split_to_table(body, '[a-f]+') r WHERE i < 2000;
WITH RECURSIVE t(a, b) AS (SELECT 1, 1::numeric UNION ALL SELECT a + 1, b * a FROM t WHERE a < 300) SELECT max(b) % 1000000007, sum(length(b::text)) FROM t;
SET work_mem = '256kB';
SELECT md5(string_agg(body, '' ORDER BY n)) FROM item WHERE i % 3 = 0;
RESET work_mem;
SET jit = on;
SET jit_above_cost = 0;
SET jit_inline_above_cost = 0;
SET jit_optimize_above_cost = 0;
SELECT sum(n * 3 + i), count(*) FILTER (WHERE n % 7 = 3 AND length(body) > 64), max(n # i) FROM item;
RESET jit;
CREATE FUNCTION walk(top int) RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE s text := ''; a int[] := '{}'; r record;
BEGIN
    FOR k IN 1..top LOOP a := a || k; s := substr(md5(s || k), 1, 20) || left(s, 5000); END LOOP;
    FOR r IN SELECT i, name FROM item WHERE i <= top ORDER BY i LOOP
        BEGIN
            IF r.i % 5 = 0 THEN RAISE EXCEPTION 'five'; END IF;
            s := s || r.name;
        EXCEPTION WHEN raise_exception THEN s := 'x' || s;
        END;
    END LOOP;
    RETURN md5(s) || ' ' || cardinality(a);
END \$\$;
SELECT walk($(size 2000 50));
UPDATE item SET body = body || 'y' WHERE i % 4 = 0;
DELETE FROM item WHERE i % 5 = 0;
VACUUM (FULL, ANALYZE) item;
SELECT count(*), sum(length(body)) FROM item;
SQL
sql -f work.sql
pg pg_dump --no-owner -t item postgres | grep -v '^\(--\|\\\(un\)\{0,1\}restrict\|SET\)' | checksum
pg pg_dump --no-owner postgres >dump.sql
pg createdb again
sql -d again -f dump.sql >/dev/null
sql -d again -c "$sums"

# An immediate stop makes the next start recover from the log.
stop "$daemon" QUIT
start
sql -c "$sums"
stop "$daemon" INT
grep -c 'terminated by signal' ../server.log || true
