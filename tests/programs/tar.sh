#!/usr/bin/env bash
# tar with gzip, bzip2 and zstd where present: a tree of many files packed, compared, changed and unpacked again. Run by ./run.
. "$(dirname "$0")/lib.sh"
need tar gzip

mkdir tree
random_words "$(size 15000 500)" 77 | awk '{ d = "tree/d" $1 % 40; if (!(d in seen)) { system("mkdir -p " d); seen[d] = 1 }
    file = d "/a-rather-long-name-of-a-file-that-does-not-fit-into-the-old-header-of-one-hundred-bytes-" $1 % 500
    print >>file; close(file) }'
head -c "$(size 6000000 100000)" /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null >tree/random || head -c 1000000 /dev/zero >tree/random
ln tree/random tree/hard
ln -s random tree/soft
find tree -exec touch -h -d @1700000000 {} +
archive=(--sort=name --owner=0 --group=0 --numeric-owner --mtime=@1700000000)
"${UNDER[@]}" tar "${archive[@]}" --format=gnu -cf tree.tar tree
"${UNDER[@]}" tar "${archive[@]}" --format=posix --pax-option=delete=atime,delete=ctime -cf pax.tar tree
checksum tree.tar pax.tar
"${UNDER[@]}" gzip -n -k -6 tree.tar
"${UNDER[@]}" gzip -t tree.tar.gz
"${UNDER[@]}" tar -tvzf tree.tar.gz --full-time | checksum
mkdir copy
"${UNDER[@]}" tar -xzf tree.tar.gz -C copy
diff -r tree copy/tree && echo same
"${UNDER[@]}" tar -df pax.tar && echo equal
rm -r copy/tree/d1
"${UNDER[@]}" tar -xf pax.tar -C copy --wildcards 'tree/d1/*' --transform 's/-name-/-NAME-/'
find copy/tree/d1 -type f | sort | checksum
"${UNDER[@]}" tar -f pax.tar --delete tree/d2 tree/random
"${UNDER[@]}" tar -tf pax.tar | wc -l
for tool in bzip2 zstd; do
    if command -v $tool >/dev/null; then
        "${UNDER[@]}" tar "${archive[@]}" --use-compress-program=$tool -cf tree.$tool tree/d3 tree/random
        "${UNDER[@]}" $tool -dc <tree.$tool | checksum
    fi
done
