#!/usr/bin/env bash
# nginx: a master with two workers that serve files over loopback to many kept-alive connections, with gzip, ranges, a proxy
# to itself, rewrites and a reload in between. Run by ./run. The client itself runs under glibc.
. "$(dirname "$0")/lib.sh"
need nginx /usr/bin/python3

port=$(free_port)
mkdir www temp
random_words 20000 41 >www/words.txt
for ((i = 0; i < 40; i++)); do head -c $((i * i * 100 + 1)) www/words.txt >"www/file$i.txt"; done
user=
[ "$(id -u)" -ne 0 ] || user="user $(id -un) $(id -gn);"
temp_paths=
for module in proxy fastcgi uwsgi scgi; do
    nginx -V 2>&1 | grep -- "--without-http_${module}_module" >/dev/null || temp_paths+="${module}_temp_path $WORK/temp; "
done
cat >nginx.conf <<END
$user
daemon off;
worker_processes 2;
pid $WORK/nginx.pid;
error_log stderr error;
events { worker_connections 512; }
http {
    types { text/plain txt; }
    access_log $WORK/access.log;
    log_not_found off;
    client_body_temp_path $WORK/temp;
    $temp_paths
    keepalive_requests 1000;
    server {
        listen 127.0.0.1:$port;
        root $WORK/www;
        gzip on; gzip_types text/plain; gzip_min_length 500;
        location /again/ { proxy_pass http://127.0.0.1:$port/; proxy_buffers 4 4k; proxy_busy_buffers_size 8k; }
        location ~ ^/swap/(.*)-(.*)\$ { return 200 "\$2-\$1 \$arg_x \$http_x_long"; }
        location /moved { rewrite ^/moved/(.*)\$ /\$1 last; }
        location /list/ { alias $WORK/www/; autoindex on; autoindex_format json; }
    }
}
END
cat >client.py <<'SCRIPT'
import gzip, hashlib, http.client, os, sys, threading
port, rounds = int(sys.argv[1]), int(sys.argv[2])
results = {}

def work(n):
    digest, count = hashlib.sha256(), {}
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
    for i in range(rounds):
        f = (n * 7 + i) % 40
        for path, headers in (('/file%d.txt' % f, {}), ('/again/file%d.txt' % f, {'Accept-Encoding': 'gzip'}),
                              ('/moved/file%d.txt' % f, {'Range': 'bytes=10-%d' % (50 + i), 'Accept-Encoding': 'identity'}),
                              ('/swap/%d-%s?x=%s' % (i, 'b' * (i % 300), 'y' * 100), {'X-Long': 'z' * (i % 3000)}),
                              ('/none%d' % i, {})):
            connection.request('GET', path, headers=headers)
            response = connection.getresponse()
            body = response.read()
            if response.getheader('Content-Encoding') == 'gzip': body = gzip.decompress(body)
            if response.status == 404: body = b''
            digest.update(body)
            count[response.status] = count.get(response.status, 0) + 1
    connection.close()
    results[n] = '%s %s' % (sorted(count.items()), digest.hexdigest())

threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
for t in threads: t.start()
for t in threads: t.join()
for n in range(12): print(n, results[n])
connection = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
connection.request('GET', '/list/')
print(connection.getresponse().read().count(b'"name"'))
connection.request('POST', '/again/file1.txt', body=b'x' * 500000)
print(connection.getresponse().status)
SCRIPT

daemon server.log "${UNDER[@]}" nginx -c "$WORK/nginx.conf" -p "$WORK"
listening() { /usr/bin/python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)"; }
wait_until 20 listening
check_mapped "$daemon"
workers=$(pgrep -P "$daemon")
for worker in $workers; do check_mapped "$worker"; done
/usr/bin/python3 client.py "$port" "$(size 60 2)"

# The old workers end when they have answered what they had; only the new ones serve the second load.
kill -HUP "$daemon"
# shellcheck disable=SC2086 # a list of pids
old_workers_gone() { ! kill -0 $workers && [ "$(pgrep -c -P "$daemon")" -eq 2 ]; }
wait_until 60 old_workers_gone
/usr/bin/python3 client.py "$port" "$(size 60 2)"
if command -v ab >/dev/null; then
    "${UNDER[@]}" ab -q -k -c 20 -n "$(size 10000 100)" "http://127.0.0.1:$port/file20.txt" | grep -E '^(Complete|Failed) req'
fi
if command -v curl >/dev/null; then
    "${UNDER[@]}" curl -s --noproxy '*' --compressed "http://127.0.0.1:$port/file[0-39].txt" | checksum
fi
stop "$daemon" QUIT
