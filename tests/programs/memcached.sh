#!/usr/bin/env bash
# memcached: four worker threads, a client of several connections that sets, gets, changes and deletes values of all sizes,
# and an eviction phase. Run by ./run. The client itself runs under glibc.
. "$(dirname "$0")/lib.sh"
need memcached /usr/bin/python3

cat >client.py <<'SCRIPT'
import hashlib, socket, sys, threading
port, rounds = int(sys.argv[1]), int(sys.argv[2])

class Client:
    def __init__(self):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=60)
        self.file = self.socket.makefile('rwb')
    def line(self, text, data=None):
        self.file.write(text.encode() + b'\r\n' + (data + b'\r\n' if data is not None else b''))
        self.file.flush()
        return self.file.readline().rstrip().decode()
    def get(self, *keys):
        found = {}
        answer = self.line('get ' + ' '.join(keys))
        while answer != 'END':
            _, key, _, length = answer.split()
            found[key] = self.file.read(int(length) + 2)[:-2]
            answer = self.file.readline().rstrip().decode()
        return found

results = {}
def work(n):
    client, model, state, bad = Client(), {}, n + 1, 0
    digest = hashlib.sha256()
    for i in range(rounds * 400):
        state = state * 16807 % 2147483647
        key = 'key-%d-%d' % (n, state % 300)
        action = state // 300 % 10
        if action < 4:
            value = bytes([65 + state % 26]) * (state // 3000 % (150000 if state % 50 == 0 else 2000))
            bad += client.line('set %s %d 0 %d' % (key, state % 1000, len(value)), value) != 'STORED'
            model[key] = value
        elif action < 7:
            keys = [key, 'key-%d-%d' % (n, i % 300), 'none']
            found = client.get(*dict.fromkeys(keys))
            bad += found != {k: model[k] for k in keys if k in model}
            for value in found.values(): digest.update(value)
        elif action == 7:
            bad += client.line('append %s 0 0 5' % key, b'-more') != ('STORED' if key in model else 'NOT_STORED')
            if key in model: model[key] += b'-more'
        elif action == 8:
            bad += client.line('delete ' + key) != ('DELETED' if key in model else 'NOT_FOUND')
            model.pop(key, None)
        else:
            client.line('add counter%d 0 0 1' % n, b'0')
            results['counter', n] = client.line('incr counter%d %d' % (n, i % 9))
    results[n] = '%d wrong, %d keys, %s' % (bad, len(model), digest.hexdigest())

threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
for t in threads: t.start()
for t in threads: t.join()
for n in range(6): print(n, results.get(n), results.get(('counter', n)))

others = [Client() for _ in range(300)]
print(sum(c.line('version').startswith('VERSION') for c in others))
for c in others: c.socket.close()
client = Client()
wrong = missing = 0
for i in range(rounds * 60):
    client.line('set evict%d 0 0 %d' % (i, 100000), b'%06d' % i + b'e' * 99994)
for i in range(rounds * 60):
    value = client.get('evict%d' % i).get('evict%d' % i)
    if value is None: missing += 1
    elif value != b'%06d' % i + b'e' * 99994: wrong += 1
print('wrong after eviction', wrong, 'some evicted', missing > 0 or rounds < 8)
print(client.line('flush_all'), client.get('evict1'))
SCRIPT

port=$(free_port)
daemon server.log "${UNDER[@]}" memcached -u "$(id -un)" -l 127.0.0.1 -p "$port" -U 0 -t 4 -m 64 -c 1000
listening() { /usr/bin/python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)"; }
wait_until 20 listening
check_mapped "$daemon"
/usr/bin/python3 client.py "$port" "$(size 30 1)"
stop "$daemon" TERM
