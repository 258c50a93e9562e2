#!/usr/bin/env bash
# python3: a workload of its own, with python's block allocator and with every object from malloc: containers, strings,
# regular expressions, JSON, compression, sqlite3, threads, processes, ctypes. Run by ./run.
. "$(dirname "$0")/lib.sh"
need /usr/bin/python3

cat >work.py <<'SCRIPT'
import bz2, ctypes, gc, hashlib, heapq, json, lzma, multiprocessing, os, pickle, re, sqlite3, subprocess, sys, threading, zlib
from collections import Counter, OrderedDict, defaultdict, deque
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from decimal import Decimal, getcontext
from fractions import Fraction
import array, ast, copy, itertools, random, struct, tempfile, xml.etree.ElementTree as tree

scale = int(sys.argv[1])
def digest(text): return hashlib.sha256(text if isinstance(text, bytes) else str(text).encode()).hexdigest()[:24]

def containers(seed):
    r = random.Random(seed)
    d, live = {}, []
    for i in range(scale * 8000):
        d['key%d' % r.randrange(5000)] = [i, str(i), {'deep': (i, float(i))}]
        if i % 3 == 0: d.pop('key%d' % r.randrange(5000), None)
        if i % 10 == 0: live.append(bytearray(r.randrange(1, 3000)))
        if len(live) > 500: del live[r.randrange(500)]
        if i % 1000 == 0: d = copy.deepcopy(d)
    heap = []
    for k, v in d.items(): heapq.heappush(heap, (v[0], k))
    ordered = [heapq.heappop(heap) for _ in range(len(heap))]
    again = pickle.loads(pickle.dumps(d))
    class Node: pass
    for _ in range(200):
        ring = [Node() for _ in range(50)]
        for a, b in zip(ring, ring[1:] + ring[:1]): a.next, b.previous = b, a
    del ring, a, b
    return digest(sorted(ordered)), digest(json.dumps(again, sort_keys=True)), sum(map(len, live))

def strings():
    words = open('words.txt').read().split()
    c = Counter(words)
    text = ' '.join(words)
    swapped = re.sub(r'(\w+) (\w+)', r'\2 \1', text)
    found = re.findall(r'\b(\w)\w*\1\b', text)
    groups = defaultdict(list)
    for w in words: groups[w[:2], len(w)].append(w[::-1].title())
    s = ''
    for i in range(scale * 2000): s += words[i % len(words)]; s = s if i % 50 else s[-4000:]
    return len(c), digest(sorted(c.items())), digest(swapped), len(found), digest(sorted(groups.items())), digest(s)

def compress():
    data = open('words.txt', 'rb').read()
    out = []
    for level in (1, 6, 9): out.append(len(zlib.compress(data, level)))
    for module in (bz2, lzma): out.append(digest(module.decompress(module.compress(data[:300000]))))
    o = zlib.decompressobj()
    packed, plain = zlib.compress(data), b''
    for i in range(0, len(packed), 777): plain += o.decompress(packed[i:i + 777], 5000)
    while o.unconsumed_tail: plain += o.decompress(o.unconsumed_tail, 5000)
    return out + [plain == data]

def numbers():
    getcontext().prec = 300
    x = sum(Decimal(1) / Decimal(k) for k in range(1, 300))
    n = 1
    for k in range(1, 200 * scale): n = n * (k + 3) % (1 << (k * 5 + 9))
    f = sum(Fraction(1, k) for k in range(1, 200))
    return digest(x), n.bit_length(), digest(f.numerator), digest(array.array('d', (k ** .5 for k in range(20000))).tobytes())

def database():
    c = sqlite3.connect(':memory:')
    c.execute('create table t (i integer primary key, s text, b blob)')
    c.executemany('insert into t values (?, ?, ?)', ((i, 'name%d' % (i * 7919 % 10007), bytes(i % 900)) for i in range(scale * 2000)))
    c.create_function('rev', 1, lambda s: s[::-1])
    return c.execute('select count(*), sum(length(b)), max(rev(s)) from t').fetchone(), len(''.join(c.iterdump()))

def parse():
    source = '\n'.join('def f%d(a, b=%d): return [x * b for x in range(a) if x %% %d] or {"k": lambda: f%d}' % (i, i, i + 2, i) for i in range(300))
    space = {}
    exec(compile(ast.unparse(ast.parse(source)), 'generated', 'exec'), space)
    root = tree.Element('root')
    for i in range(2000): tree.SubElement(tree.SubElement(root, 'e', n=str(i)), 'c').text = 'text' * (i % 20)
    return space['f250'](30), digest(tree.tostring(tree.fromstring(tree.tostring(root))))

def child(n): return n, containers(n)[0]

def foreign():
    libc = ctypes.CDLL(None)
    libc.malloc.restype = libc.realloc.restype = ctypes.c_void_p
    libc.malloc.argtypes, libc.free.argtypes, libc.realloc.argtypes = [ctypes.c_size_t], [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_size_t]
    ok, blocks = True, []
    for i in range(2000):
        p = libc.malloc(i * 13)
        ctypes.memset(p, i & 255, i * 13)
        blocks.append((libc.realloc(p, i * 29 + 1), i))
    for p, i in blocks:
        ok &= ctypes.string_at(p, i * 13) == bytes([i & 255]) * (i * 13)
        libc.free(p)
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))(lambda a, b: a[0] - b[0])
    values = (ctypes.c_int * 500)(*[k * 7919 % 1009 for k in range(500)])
    libc.qsort(values, 500, 4, compare)
    return ok, list(values) == sorted(values)

if __name__ == '__main__':
    for work in (strings, compress, numbers, database, parse, foreign): print(work.__name__, work())
    print(containers(1))
    gc.collect()
    with ThreadPoolExecutor(4) as pool: print(list(pool.map(child, range(6))))
    with multiprocessing.get_context('fork').Pool(3) as pool: print(pool.map(child, range(6)))
    with multiprocessing.get_context('spawn').Pool(2) as pool: print(pool.map(child, range(2)))
    print([subprocess.run([sys.executable, '-c', 'print(sum(range(%d)))' % n], capture_output=True).stdout for n in (10, 1000)])
    threads = [threading.Thread(target=lambda: [bytearray(5000) for _ in range(300)]) for _ in range(50)]
    for t in threads: t.start()
    for t in threads: t.join()
    print('done', threading.active_count())
SCRIPT
random_words "$(size 20000 300)" 3 >words.txt
for allocator in pymalloc malloc; do
    PYTHONHASHSEED=0 PYTHONMALLOC=$allocator "${UNDER[@]}" /usr/bin/python3 work.py "$(size 2 1)"
done
