#!/usr/bin/env bash
# ld, as and ar: many objects assembled, archived and linked, dynamically, statically, shared and relocatable. Run by ./run.
. "$(dirname "$0")/lib.sh"
need gcc g++ ld
. "$(dirname "$0")/sources.inc"

objects=$(size 120 10)
for ((i = 0; i < objects; i++)); do
    cat >"part$i.c" <<END
#include <stdio.h>
int value$i = $i; static char buffer${i}[$((i * 13 + 1))]; const char *const text$i = "part number $i";
int part$(((i + 1) % objects))(int);
int part$i(int depth) { buffer${i}[depth % sizeof buffer$i] = (char)depth;
    return depth <= 0 ? value$i : part$(((i + 1) % objects))(depth - 1) + (text${i}[5] == 'n') + buffer${i}[0]; }
END
done
echo 'int part0(int); int printf(const char *, ...); int main(void) { printf("%d\n", part0(1000)); return 0; }' >main.c
gcc -O1 -g -ffunction-sections -fPIC -c part*.c main.c
write_cxx_source 1 >cxx.cc
g++ -std=c++17 -O1 -g -S -o cxx.s cxx.cc
"${UNDER[@]}" as -o cxx.o cxx.s
"${UNDER[@]}" ar rcsD libparts.a part*.o
"${UNDER[@]}" ranlib -D libparts.a
"${UNDER[@]}" nm libparts.a | checksum
"${UNDER[@]}" gcc -o main main.o libparts.a
"${UNDER[@]}" gcc -static -Wl,--gc-sections,-Map=main.map -o main-static main.o libparts.a
"${UNDER[@]}" gcc -shared -Wl,-z,now -o libparts.so part*.o
"${UNDER[@]}" ld -r -o all.o part*.o
"${UNDER[@]}" g++ -Wl,--build-id=sha1 -pthread -o cxx cxx.o
"${UNDER[@]}" objdump -d -C cxx >cxx.dis
"${UNDER[@]}" strip -o cxx-stripped cxx
"${UNDER[@]}" readelf -aW all.o >all.elf
checksum cxx.o libparts.a main main-static main.map libparts.so all.o cxx cxx.dis cxx-stripped all.elf
./main
./main-static
./cxx 1
"${UNDER[@]}" ld -o broken main.o 2>&1 | sed 's/^.*ld: /ld: /' || echo "status $?"
