#!/usr/bin/env bash
# java and javac: a threaded program with collections, native zlib and direct buffers, compiled and run. Run by ./run.
. "$(dirname "$0")/lib.sh"
need javac java

cat >Work.java <<'SOURCE'
import java.io.*;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.stream.*;
import java.util.zip.*;

public class Work {
    static String hex(byte[] data) throws Exception {
        StringBuilder s = new StringBuilder();
        for (byte b : MessageDigest.getInstance("SHA-256").digest(data)) s.append(String.format("%02x", b));
        return s.toString();
    }

    static String task(int n, int rounds) throws Exception {
        Random random = new Random(n);
        TreeMap<String, List<Integer>> map = new TreeMap<>();
        for (int i = 0; i < rounds * 1000; i++) {
            map.computeIfAbsent("key" + random.nextInt(2000), k -> new ArrayList<>()).add(i);
            if (i % 5 == 0) map.pollFirstEntry();
        }
        byte[] text = map.toString().getBytes(StandardCharsets.UTF_8);
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        try (DeflaterOutputStream out = new DeflaterOutputStream(packed, new Deflater(n % 9 + 1))) { out.write(text); }
        byte[] again = new InflaterInputStream(new ByteArrayInputStream(packed.toByteArray())).readAllBytes();
        long sum = 0;
        for (int i = 0; i < rounds * 4; i++) {
            ByteBuffer direct = ByteBuffer.allocateDirect(random.nextInt(100000) + 8);
            direct.putLong(0, i);
            sum += direct.getLong(0) + direct.capacity();
        }
        CRC32 crc = new CRC32();
        crc.update(again);
        return n + " " + map.size() + " " + Arrays.equals(text, again) + " " + crc.getValue() + " " + sum + " " + hex(text);
    }

    public static void main(String[] args) throws Exception {
        int rounds = Integer.parseInt(args[0]);
        ExecutorService pool = Executors.newFixedThreadPool(6);
        List<Future<String>> results = new ArrayList<>();
        for (int i = 0; i < 24; i++) { final int n = i; results.add(pool.submit(() -> task(n, rounds))); }
        for (Future<String> r : results) System.out.println(r.get());
        pool.shutdown();
        System.out.println(pool.awaitTermination(10, TimeUnit.SECONDS));

        AtomicLong total = new AtomicLong();
        for (int round = 0; round < rounds; round++) {
            Thread[] threads = new Thread[20];
            for (int i = 0; i < threads.length; i++) {
                final int n = i;
                threads[i] = new Thread(() -> { byte[] b = new byte[n * 1000 + 1]; b[n * 1000] = (byte) n; total.addAndGet(b[n * 1000]); });
                threads[i].start();
            }
            for (Thread t : threads) t.join();
        }
        System.out.println(total.get());
        ConcurrentHashMap<Integer, LongAdder> counts = new ConcurrentHashMap<>();
        IntStream.range(0, rounds * 20000).parallel().forEach(i -> counts.computeIfAbsent(i % 1013, k -> new LongAdder()).add(i));
        System.out.println(counts.size() + " " + counts.values().stream().mapToLong(LongAdder::sum).sum());
        try (ZipOutputStream zip = new ZipOutputStream(new FileOutputStream("out.zip"))) {
            for (int i = 0; i < 50; i++) {
                ZipEntry entry = new ZipEntry("entry" + i);
                zip.putNextEntry(entry);
                zip.write(results.get(i % results.size()).get().repeat(i + 1).getBytes(StandardCharsets.UTF_8));
            }
        }
        long length = 0;
        try (ZipFile zip = new ZipFile("out.zip")) {
            for (ZipEntry e : Collections.list(zip.entries())) length += zip.getInputStream(e).readAllBytes().length;
        }
        System.out.println(length);
    }
}
SOURCE
java=(-XX:-UsePerfData -Xmx256m -XX:ErrorFile="$WORK/hs_err.log")
"${UNDER[@]}" javac "${java[@]/#/-J}" -Xlint:all Work.java 2>&1
for collector in -XX:+UseG1GC -XX:+UseParallelGC; do
    "${UNDER[@]}" java "${java[@]}" $collector Work "$(size 12 1)"
done
"${UNDER[@]}" java "${java[@]}" -Xint -XX:NativeMemoryTracking=summary Work 1 | checksum
