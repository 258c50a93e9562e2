#!/usr/bin/env bash
# redis: redis-benchmark's load, background saves while it goes on, Lua, a restart from the saved file, with every data type
# checked by a digest of all keys. Run by ./run. (Debian's redis-server links jemalloc; a preloaded malloc replaces it.)
. "$(dirname "$0")/lib.sh"
need redis-server redis-cli redis-benchmark /usr/bin/python3

port=$(free_port)
cli() { "${UNDER[@]}" redis-cli -h 127.0.0.1 -p "$port" "$@"; }

start()
{
    daemon server.log "${UNDER[@]}" redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$WORK" --dbfilename dump.rdb \
        --appendonly "$1" --daemonize no --loglevel warning --io-threads 2 --logfile ''
    wait_until 20 cli ping
    wait_until 20 loaded
    check_mapped "$daemon"
}

loaded() { cli info persistence | grep '^loading:0' >/dev/null; }
saved() { cli info persistence | grep '^rdb_bgsave_in_progress:0' >/dev/null; }
rewritten() { cli info persistence | grep '^aof_rewrite_in_progress:0' >/dev/null; }

# One SHA-1 over all keys and their values, in the order of the keys.
digest()
{
    cli --raw eval '
        local keys = redis.call("keys", "*")
        table.sort(keys)
        local all = {}
        for _, key in ipairs(keys) do
            local kind, value = redis.call("type", key).ok
            if kind == "string" then value = { redis.call("get", key) }
            elseif kind == "list" then value = redis.call("lrange", key, 0, -1)
            elseif kind == "set" then value = redis.call("smembers", key); table.sort(value)
            elseif kind == "zset" then value = redis.call("zrange", key, 0, -1, "withscores")
            elseif kind == "hash" then
                local names = redis.call("hkeys", key); table.sort(names)
                value = redis.call("hmget", key, unpack(names, 1, math.min(#names, 4000)))
            else value = {} end
            all[#all + 1] = redis.sha1hex(key .. kind .. table.concat(value, "\0"))
            if #all > 1000 then all = { redis.sha1hex(table.concat(all)) } end
        end
        return #keys .. " " .. redis.sha1hex(table.concat(all))' 0
}

start no
# Strings, lists, sets, sorted sets, hashes and expiry: small encodings and large ones, values from 1 byte to 200 KiB.
random_words "$(size 30000 500)" 23 | awk '
    function out(n) { printf "*%d\r\n", n }
    function arg(s) { printf "$%d\r\n%s\r\n", length(s), s }
    { key = $1 % 3000; kind = $1 % 10
      if (kind < 3) { out(3); arg("SET"); arg("s" key); arg($0) }
      else if (kind == 3) { out(3); arg("APPEND"); arg("s" key); arg($0) }
      else if (kind == 4) { out(4); arg("RPUSH"); arg("l" key % 40); arg($2); arg($0) }
      else if (kind == 5) { out(4); arg("SADD"); arg("t" key % 40); arg($2); arg($3) }
      else if (kind == 6) { out(4); arg("ZADD"); arg("z" key % 20); arg($1); arg($3) }
      else if (kind == 7) { out(4); arg("HSET"); arg("h" key % 30); arg($2); arg($0) }
      else if (kind == 8) { out(2); arg("DEL"); arg("s" ($1 * 7) % 3000) }
      else { out(4); arg("SETRANGE"); arg("r" key % 25); arg(($1 * 37) % 200000); arg($0) } }' >load
cli --pipe <load | grep -v '^$'
digest

# A save by a forked child while the data changes, the changes undone by the time it is compared.
requests=$(size 30000 500)
"${UNDER[@]}" redis-benchmark -h 127.0.0.1 -p "$port" -q -n "$requests" -c 30 -r 5000 -d 700 -P 4 --threads 2 \
    -t set,get,incr,lpush,rpop,sadd,hset,zadd,mset >benchmark.log &
load=$!
for ((i = 0; i < $(size 3 1); i++)); do
    wait_until 60 cli bgsave
    wait_until 120 saved
    cli info persistence | tr -d '\r' | grep '^rdb_last_bgsave_status'
done
wait "$load"
grep -ac 'requests per second' benchmark.log || true
cli --raw eval 'local n = 0
    for _, pattern in ipairs { "key:*", "counter:*", "mylist*", "myset*", "myhash*", "myzset*", "element*" } do
        for _, key in ipairs(redis.call("keys", pattern)) do redis.call("unlink", key) end
    end
    return redis.call("dbsize")' 0
before=$(digest)
echo "$before"

cli --raw eval 'local t = {} for i = 1, 60000 do t[i] = "item " .. i * i end
    local s = table.concat(t, ",") redis.call("set", "big", s) return #s .. " " .. redis.sha1hex(s)' 0
cli --raw sort l4 alpha limit 0 3
cli --raw sunion t5 t15 t25 | sort | checksum
cli --raw zrangebyscore z6 100 9000 limit 0 5
cli del big
cli config set list-max-ziplist-size 4 hash-max-ziplist-entries 4 >/dev/null || true
cli config set appendonly yes
wait_until 60 rewritten
cli save
cli shutdown nosave 2>/dev/null || true
status=0
wait "$daemon" || status=$?
forget "$daemon"
echo "the server ended with status $status"

start no
[ "$(digest)" = "$before" ] && echo "the saved file holds the same"
stop "$daemon" TERM
start yes
[ "$(digest)" = "$before" ] && echo "the append-only file holds the same"
stop "$daemon" TERM
grep -aE 'crash|SIGSEGV|assert' server.log || true
