#!/usr/bin/env bash
# sqlite3: tables, indices, joins, triggers, full-text search, JSON, vacuum, dump and reload of a database. Run by ./run.
. "$(dirname "$0")/lib.sh"
need sqlite3

rows=$(size 120000 2000)
cat >work.sql <<SQL
PRAGMA cache_size = 20000;
PRAGMA page_size = 4096;
CREATE TABLE item (id INTEGER PRIMARY KEY, k INTEGER NOT NULL, name TEXT, body TEXT, price REAL);
CREATE TABLE log (id INTEGER, old REAL, new REAL);
BEGIN;
WITH RECURSIVE r(i, x) AS (SELECT 1, 42 UNION ALL SELECT i + 1, (x * 16807) % 2147483647 FROM r WHERE i < $rows)
INSERT INTO item SELECT i, x % 5000, printf('n%08x', x), substr(printf('%.*c', x % 300 + 1, 'b') || hex(x), 1, 300), (x % 10000) / 100.0 FROM r;
COMMIT;
CREATE INDEX item_k ON item (k, price);
CREATE INDEX item_name ON item (name);
CREATE TRIGGER item_log AFTER UPDATE OF price ON item BEGIN INSERT INTO log VALUES (old.id, old.price, new.price); END;
SELECT count(*), sum(length(body)), min(name), max(name) FROM item;
SELECT k % 10 AS g, count(*), round(avg(price), 3), round(total(price), 2) FROM item GROUP BY g ORDER BY g;
UPDATE item SET price = price * 2 WHERE k % 17 = 3;
DELETE FROM item WHERE id % 11 = 5;
SELECT count(*), round(sum(new - old), 2) FROM log;
SELECT a.id, b.id, a.name FROM item a JOIN item b ON a.k = b.k AND a.price < b.price AND b.id < a.id ORDER BY a.price DESC, a.id, b.id LIMIT 20;
SELECT id, name, rank() OVER (PARTITION BY k % 3 ORDER BY price DESC, id) AS r FROM item WHERE id <= 300 ORDER BY k % 3, r LIMIT 30;
SELECT length(group_concat(name, ',')) FROM item;
SELECT json_extract(json_group_array(json_object('id', id, 'name', name)), '\$[100].name') FROM (SELECT * FROM item ORDER BY id);
SELECT count(DISTINCT substr(name, 2, 4)), count(DISTINCT body) FROM item;
CREATE VIRTUAL TABLE doc USING fts5 (body);
INSERT INTO doc SELECT value FROM words;
SELECT count(*) FROM doc WHERE doc MATCH 'the OR tea OR set*';
SELECT rowid, snippet(doc, 0, '[', ']', '..', 4) FROM doc WHERE doc MATCH 'eat*' ORDER BY rowid LIMIT 10;
DROP TABLE words;
VACUUM;
PRAGMA integrity_check;
SQL
random_words "$(size 20000 500)" 3 >words.txt
"${UNDER[@]}" sqlite3 -batch test.db "CREATE TABLE words (value TEXT);" '.separator |' ".import words.txt words"
"${UNDER[@]}" sqlite3 -batch -bail test.db <work.sql
"${UNDER[@]}" sqlite3 -batch test.db .dump >dump.sql
checksum <dump.sql
"${UNDER[@]}" sqlite3 -batch -bail :memory: '.read dump.sql' 'SELECT count(*), sum(id) FROM item;' 'PRAGMA integrity_check;'
for writer in 1 2 3 4; do
    "${UNDER[@]}" sqlite3 -batch -cmd '.timeout 60000' test.db \
        "INSERT INTO log SELECT id, $writer, price FROM item WHERE k % 4 = $writer - 1;" &
    writers[writer]=$!
done
for writer in 1 2 3 4; do wait "${writers[writer]}"; done
"${UNDER[@]}" sqlite3 -batch test.db 'SELECT old, count(*), round(sum(new), 2) FROM log WHERE old IN (1, 2, 3, 4) GROUP BY old;'
