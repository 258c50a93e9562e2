#!/usr/bin/env bash
# gcc: C sources, generated ones and this project's own, compiled to assembly and objects, linked and run. Run by ./run.
. "$(dirname "$0")/lib.sh"
need gcc
. "$(dirname "$0")/sources.inc"

write_c_source "$(size 80 10)" >big.c
for level in -O0 '-O2 -g' -O3; do
    # shellcheck disable=SC2086
    "${UNDER[@]}" gcc -std=gnu11 $level -S -o big.s big.c
    echo "assembly $level"
    checksum big.s
done
"${UNDER[@]}" gcc -std=gnu11 -O2 -flto -frandom-seed=1 -c -o big.o big.c
"${UNDER[@]}" gcc -O2 -flto -frandom-seed=1 -o big big.o
"${UNDER[@]}" ./big
own_sources | while read -r source; do
    "${UNDER[@]}" gcc -std=gnu11 -O2 -g -w -S -I"$SOURCE" -I"$SOURCE/src" -I"$SOURCE/include" -o own.s "$SOURCE/$source" 2>/dev/null || true
    [ ! -e own.s ] || echo "$source $(checksum own.s)"
    rm -f own.s
done
echo 'int f(int x) { retrun x + undeclared; } struct s { int a; } int g(struct s *p) { return p->b; }' >wrong.c
"${UNDER[@]}" gcc -Wall -c wrong.c 2>&1 || echo "status $?"
