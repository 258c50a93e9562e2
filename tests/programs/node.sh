#!/usr/bin/env bash
# node: worker threads, buffers, zlib, crypto, streams, JSON and child processes. Run by ./run.
. "$(dirname "$0")/lib.sh"
need node

cat >work.js <<'SCRIPT'
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto');
const zlib = require('zlib');
const fs = require('fs');
const { execFile } = require('child_process');

const digest = (data) => crypto.createHash('sha256').update(data).digest('hex');

function work(seed, rounds) {
    const random = (n) => { seed = seed * 16807 % 2147483647; return seed % n; };
    const map = new Map();
    const kept = [];
    for (let i = 0; i < rounds * 2000; i++) {
        map.set('key' + random(3000), { i, text: 'x'.repeat(random(50)), list: [i, i + 1, { deep: i }] });
        if (i % 7 === 0) map.delete('key' + random(3000));
        if (i % 10 === 0) kept[random(200)] = Buffer.alloc(random(60000) + 1, i & 255);
    }
    const json = JSON.stringify([...map].sort((a, b) => (a[0] < b[0] ? -1 : 1)));
    const packed = zlib.deflateSync(json, { level: 6 });
    const again = zlib.inflateSync(packed).toString();
    const text = again.replace(/"key(\d+)"/g, (all, n) => n.split('').reverse().join('')).split(',').sort().join(';');
    const sizes = kept.reduce((sum, b) => sum + (b ? b.length + b[b.length - 1] : 0), 0);
    const cipher = crypto.createCipheriv('aes-128-cbc', Buffer.alloc(16, 1), Buffer.alloc(16, 2));
    const secret = Buffer.concat([cipher.update(json), cipher.final()]);
    return [map.size, json === again, digest(text), sizes, digest(secret)].join(' ');
}

async function main() {
    const rounds = Number(process.argv[2]);
    console.log(work(1, rounds));
    for (let batch = 0; batch < 2; batch++) {
        const results = await Promise.all([1, 2, 3, 4].map((n) => new Promise((resolve, reject) => {
            const worker = new Worker(__filename, { workerData: { seed: 100 * batch + n, rounds } });
            let result;
            const buffer = new SharedArrayBuffer(4096);
            worker.postMessage({ buffer, transfer: new ArrayBuffer(100000) });
            worker.on('message', (m) => { result = m; });
            worker.on('error', reject);
            worker.on('exit', (code) => resolve(`${n}: ${result} sum ${new Int32Array(buffer)[0]} exit ${code}`));
        })));
        console.log(results.join('\n'));
    }
    const terminated = await Promise.all([5, 6].map(async (n) => {
        const worker = new Worker('setInterval(() => { Buffer.alloc(100000); }, 1)', { eval: true });
        await new Promise((resolve) => worker.once('online', resolve));
        return worker.terminate();
    }));
    console.log('terminated', terminated.length);
    const gz = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => new Promise((resolve, reject) =>
        zlib.gzip('text '.repeat(20000 * n), { level: n }, (e, b) => (e ? reject(e) : resolve(zlib.gunzipSync(b).length))))));
    console.log(gz.join(' '));
    const keys = await Promise.all([1, 2, 3, 4].map((n) => new Promise((resolve, reject) =>
        crypto.pbkdf2('p' + n, 'salt', 20000, 32, 'sha256', (e, k) => (e ? reject(e) : resolve(k.toString('hex')))))));
    console.log(keys.join('\n'));
    fs.writeFileSync('big.txt', 'line of text\n'.repeat(100000));
    const hash = crypto.createHash('sha1');
    await new Promise((resolve) => fs.createReadStream('big.txt').pipe(zlib.createGzip()).pipe(zlib.createGunzip())
        .on('data', (d) => hash.update(d)).on('end', resolve));
    console.log(hash.digest('hex'));
    console.log(await new Promise((resolve, reject) => execFile(process.execPath, ['-p', '[1,2,3].map(x => x * x).join()'],
        (e, out) => (e ? reject(e) : resolve(out.trim())))));
}

if (isMainThread) {
    main().catch((e) => { console.error(e); process.exit(1); });
} else {
    parentPort.once('message', ({ buffer, transfer }) => {
        new Int32Array(buffer)[0] = transfer.byteLength;
        parentPort.postMessage(work(workerData.seed, workerData.rounds));
    });
}
SCRIPT
"${UNDER[@]}" node work.js "$(size 20 1)"
