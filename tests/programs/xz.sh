#!/usr/bin/env bash
# xz: blocks compressed and decompressed by several threads, at several levels and sizes, and a damaged file. Run by ./run.
. "$(dirname "$0")/lib.sh"
need xz

random_words "$(size 40000 1000)" 13 >words.txt
"${UNDER[@]}" xz -T4 -2 --block-size=128KiB -c words.txt >many.xz
"${UNDER[@]}" xz -T3 -6 --block-size=512KiB -c words.txt >few.xz
"${UNDER[@]}" xz -T1 -0 -c words.txt >one.xz
checksum many.xz few.xz one.xz
"${UNDER[@]}" xz --robot --list many.xz few.xz one.xz | grep -v '^name' | cut -f 1-6
for file in many few one; do
    "${UNDER[@]}" xz -T4 -dc $file.xz | cmp - words.txt && echo "$file came back"
done
"${UNDER[@]}" xz -T4 --lzma2=preset=4,dict=1MiB,mf=bt3 --check=sha256 --block-size=256KiB -c words.txt many.xz | checksum
"${UNDER[@]}" xz --format=lzma -1 -c words.txt | "${UNDER[@]}" xz --format=lzma -dc | checksum
{ head -c 100000 many.xz; echo damage; tail -c +100100 many.xz; } >bad.xz
"${UNDER[@]}" xz -T4 -t bad.xz 2>&1 || echo "status $?"
